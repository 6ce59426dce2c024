//! What a row reads of the whole history for each candidate: nothing of it is trained, so it is made once.

use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::keys::{Keys, Version, dot};
use super::log::{Behavior, Log, Request};

/// Behaviors that are found for a candidate, at most.
pub const FOUND: usize = 50;
/// Bins of a histogram of cosines.
const BINS: usize = 22;
/// Histograms of a candidate: of what was found, and of the newest behaviors.
pub const TIERS: usize = 2 * BINS;

/// What one row reads, for all candidates of a log.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    /// (candidates, dim): the long interest; empty where the row has none of this kind.
    pub reads: Vec<f32>,
    /// Behaviors found for candidate c: places `found_offsets[c]..found_offsets[c + 1]`; empty where nothing is sought.
    pub found_offsets: Vec<usize>,
    /// Their places in the history, counted from the newest.
    pub found_ages: Vec<u32>,
    /// Their cosines; 0 where they were not found by them.
    pub found_similarities: Vec<f32>,
    /// (candidates, [`TIERS`]); empty where the row has none.
    pub tiers: Vec<u8>,
    /// What it took, in seconds.
    pub seconds: f64,
}

/// Hyperplanes and how many of them name a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// `sdim.bits`
    pub bits: usize,
    /// `sdim.group_bits`
    pub group_bits: usize,
}

/// A request, what it sees, and what it is to know items by.
struct Sight<'a> {
    request: &'a Request,
    /// Newest first.
    history: &'a [Behavior],
    candidates: &'a [u32],
    keys: &'a Version,
}

/// Calls `each` with every request and what it sees, and measures.
fn of_requests(
    log: &Log,
    keys: &Keys,
    history_max: usize,
    mut each: impl FnMut(&mut Interest, Sight<'_>),
) -> Interest {
    let start = Instant::now();
    let mut interest = Interest::default();
    let mut newest_first = Vec::new();
    for request in &log.requests {
        newest_first.clear();
        newest_first.extend(log.history(request, history_max).iter().rev());
        let candidates = &log.candidates[request.candidates.clone()];
        each(&mut interest, Sight { request, history: &newest_first, candidates, keys: keys.at(request.time_ms) });
    }
    interest.seconds = start.elapsed().as_secs_f64();
    interest
}

/// The mean of the history's vectors.
pub fn mean(log: &Log, keys: &Keys, history_max: usize) -> Interest {
    let mut mean = vec![0.0; keys.dim];
    of_requests(log, keys, history_max, |interest, sight| {
        mean.fill(0.0);
        for behavior in sight.history {
            mean.iter_mut().zip(sight.keys.of(behavior.item)).for_each(|(sum, x)| *sum += x);
        }
        mean.iter_mut().for_each(|sum| *sum /= sight.history.len().max(1) as f32);
        sight.candidates.iter().for_each(|_| interest.reads.extend(&mean));
    })
}

/// The newest behaviors with an item of the candidate's category (SIM's hard search).
pub fn hard(log: &Log, keys: &Keys, history_max: usize) -> Interest {
    let of = |item: u32| log.items.categories[item as usize];
    of_requests(log, keys, history_max, |interest, sight| {
        for &item in sight.candidates {
            let category = of(item);
            let alike = |behavior: &Behavior| category != 0 && of(behavior.item) == category;
            let ages = (0..).zip(sight.history).filter(|(_, behavior)| alike(behavior)).map(|(age, _)| age);
            interest.find(ages.take(FOUND).map(|age| (age, 0.0)));
        }
    })
}

/// SDIM's read (equation 12): the mean over groups of the candidate's bucket, made unit length.
pub fn sdim(log: &Log, keys: &Keys, history_max: usize, hash: Hash) -> Interest {
    let Hash { bits, group_bits } = hash;
    let dim = keys.dim;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut normal = || (0..12).map(|_| random.next_u32() as f32 / u32::MAX as f32).sum::<f32>() - 6.0;
    let planes: Vec<f32> = (0..bits * dim).map(|_| normal()).collect();
    let groups = bits / group_bits;
    let buckets: Vec<Vec<u16>> = keys
        .versions()
        .iter()
        .map(|version| {
            let bucket = |vector: &[f32], group: usize| {
                let bit = |k: usize| dot(vector, &planes[(group * group_bits + k) * dim..][..dim]) > 0.0;
                (0..group_bits).map(|k| u16::from(bit(k)) << k).sum::<u16>()
            };
            let vectors = version.vectors.chunks_exact(dim);
            vectors.flat_map(|vector| (0..groups).map(move |group| bucket(vector, group))).collect()
        })
        .collect();
    let mut table = vec![0.0_f32; (groups << group_bits) * dim];
    of_requests(log, keys, history_max, |interest, sight| {
        let buckets = &buckets[keys.version_at(sight.request.time_ms)];
        let of = |item: u32| &buckets[item as usize * groups..][..groups];
        table.fill(0.0);
        for behavior in sight.history {
            for (group, &bucket) in of(behavior.item).iter().enumerate() {
                let row = &mut table[((group << group_bits) + bucket as usize) * dim..][..dim];
                row.iter_mut().zip(sight.keys.of(behavior.item)).for_each(|(sum, x)| *sum += x);
            }
        }
        for &item in sight.candidates {
            let mut read = vec![0.0; dim];
            for (group, &bucket) in of(item).iter().enumerate() {
                let row = &table[((group << group_bits) + bucket as usize) * dim..][..dim];
                let norm = dot(row, row).sqrt();
                if norm > 1e-6 {
                    read.iter_mut().zip(row).for_each(|(sum, x)| *sum += x / norm / groups as f32);
                }
            }
            interest.reads.extend(read);
        }
    })
}

/// MUSE's search: the most similar behaviors (ties: newer first), and the histograms of SimTier.
pub fn muse(log: &Log, keys: &Keys, history_max: usize) -> Interest {
    of_requests(log, keys, history_max, |interest, sight| {
        for &item in sight.candidates {
            let vector = sight.keys.of(item);
            let mut cosines: Vec<(u32, f32)> = Vec::new();
            for (age, behavior) in (0..).zip(sight.history) {
                let other = sight.keys.of(behavior.item);
                if other.iter().any(|x| *x != 0.0) {
                    cosines.push((age, dot(vector, other)));
                }
            }
            let mut tiers = [0; TIERS];
            for (_, cosine) in cosines.iter().take_while(|(age, _)| (*age as usize) < FOUND) {
                tiers[BINS + bin(*cosine)] += 1;
            }
            let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
            if cosines.len() > FOUND {
                cosines.select_nth_unstable_by(FOUND, order);
                cosines.truncate(FOUND);
            }
            cosines.sort_unstable_by(order);
            cosines.iter().for_each(|(_, cosine)| tiers[bin(*cosine)] += 1);
            interest.tiers.extend(tiers);
            interest.find(cosines.into_iter());
        }
    })
}

/// SimTier's bin of a cosine.
fn bin(cosine: f32) -> usize {
    ((cosine / 0.1).ceil() as i32 + 10).clamp(0, BINS as i32 - 1) as usize
}

impl Interest {
    fn find(&mut self, found: impl Iterator<Item = (u32, f32)>) {
        if self.found_offsets.is_empty() {
            self.found_offsets.push(0);
        }
        for (age, similarity) in found {
            self.found_ages.push(age);
            self.found_similarities.push(similarity);
        }
        self.found_offsets.push(self.found_ages.len());
    }
}
