//! Intervals by the percentile bootstrap over users (Efron 1979): events of one user hang together, users do not.

use super::sample::quantile;
use super::{Score, Scores};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::Serialize;

/// How often users are drawn anew.
pub const RESAMPLES: usize = 1000;
/// The same draws for every model of a stream.
const SEED: u64 = 7;
/// Share of the resamples on either side of the interval.
const TAIL: f64 = 0.025;

/// A mean over events, and the 95 % interval of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// 2.5 % of the resamples are below.
    pub low: f64,
    /// 2.5 % of the resamples are above.
    pub high: f64,
}

/// The mean of `values`, one for each event of which `users` tells whose it is; at least one.
pub fn mean(users: &[u32], values: &[f64]) -> Interval {
    assert_eq!(users.len(), values.len(), "one value for each event");
    assert!(!values.is_empty(), "a mean of nothing");
    let by_user = sums(users, values);
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let (mut sum, mut events) = (0.0, 0.0);
            for _ in 0..by_user.len() {
                let drawn = by_user[below(&mut random, by_user.len())];
                sum += drawn.0;
                events += drawn.1;
            }
            sum / events
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let end = |share| quantile(&means, share).unwrap_or(mean);
    Interval { mean, low: end(TAIL), high: end(1.0 - TAIL) }
}

/// The mean of what `a` has more than `b` of a figure, event by event.
pub fn difference(a: &Scores, b: &Scores, figure: impl Fn(&Score) -> f64) -> Interval {
    assert_eq!(a.positions, b.positions, "two models are compared on the same events");
    let values: Vec<f64> = a.each.iter().zip(&b.each).map(|(a, b)| figure(a) - figure(b)).collect();
    mean(&a.users, &values)
}

/// By user who has any: sum and number of his values, in the order of the numbers of users.
fn sums(users: &[u32], values: &[f64]) -> Vec<(f64, f64)> {
    let all = users.iter().max().map_or(0, |user| *user as usize + 1);
    let mut sums = vec![(0.0, 0.0); all];
    for (user, value) in users.iter().zip(values) {
        let own = &mut sums[*user as usize];
        own.0 += value;
        own.1 += 1.0;
    }
    sums.retain(|(_, events)| *events > 0.0);
    sums
}

/// A number below `n`, all alike but for one part in 2⁶⁴ / n.
fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}
