//! What a user has been doing of late, as a vector of fixed width: the query by which prompts are chosen.
//!
//! Of each of the newest events in the context: which type came after which, and after what gap. These are counted in a
//! signed hashed histogram (feature hashing, Weinberger et al. 2009). Nothing in it is learned: a regime has the same
//! query when it comes back, whatever was learned in between, and more types change nothing.

use super::{Batch, Config};
use crate::ops::Real;

/// Width of a sketch.
pub(super) const SKETCH: usize = 64;
/// Gaps are told apart by steps of this part of their deviation.
const GAP_STEP: f64 = 0.5;

/// Per sequence, of its context: (sequences, [`SKETCH`]); zero without context.
pub(super) fn sketches<T: Real>(batch: &Batch<'_>, config: &Config) -> Vec<T> {
    let mut all = vec![0.0; batch.sequences() * SKETCH];
    for (b, sketch) in all.chunks_exact_mut(SKETCH).enumerate() {
        let range = batch.range(b);
        let end = (range.start + batch.context[b] as usize).min(range.end);
        for i in end.saturating_sub(config.retrieval).max(range.start)..end {
            let kind = u64::from(batch.types[i]);
            let mut count = |feature: [u64; 3]| {
                let hash = feature.into_iter().fold(0x9e37_79b9_7f4a_7c15, |hash, part| mix(hash ^ part));
                sketch[(hash >> 1) as usize % SKETCH] += if hash & 1 == 0 { 1.0 } else { -1.0 };
            };
            if i == range.start {
                count([0, kind, 0]);
                continue;
            }
            let gap = config.standardized(batch.times_ms[i].saturating_sub(batch.times_ms[i - 1]));
            let before = u64::from(batch.types[i - 1]);
            count([1, before, kind]);
            count([2, before, (gap / GAP_STEP).floor() as i64 as u64]);
        }
    }
    all.into_iter().map(T::of).collect()
}

/// The finalizer of splitmix64 (Steele et al. 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
