//! How well scores rank, and how probable they were.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::evaluate::sample::quantile;

/// How often users are drawn anew.
pub const RESAMPLES: usize = 200;
/// The same draws for every model of a log.
const SEED: u64 = 7;
/// Share of the resamples on either side of the interval.
const TAIL: f64 = 0.025;
/// Probabilities count as at least so far from 0 and 1.
const CLIP: f64 = 1e-7;

/// Area under the ROC curve: the probability that a positive is scored above a negative, ties one half. None where all
/// labels are one.
pub fn auc(labels: &[bool], scores: &[f32]) -> Option<f64> {
    let order = ranked(scores);
    weighted_auc(&order, labels, scores, |_| 1)
}

/// Places by score.
fn ranked(scores: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| scores[a as usize].total_cmp(&scores[b as usize]));
    order
}

/// The same where example i stands there `weight(i)` times; `order` is by score.
fn weighted_auc(order: &[u32], labels: &[bool], scores: &[f32], weight: impl Fn(usize) -> u64) -> Option<f64> {
    // Twice the pairs that are ranked rightly, and the negatives below.
    let (mut right, mut below, mut positives) = (0_u128, 0_u64, 0_u64);
    for equal in order.chunk_by(|&a, &b| scores[a as usize] == scores[b as usize]) {
        let (mut own, mut others) = (0, 0);
        for &at in equal {
            let at = at as usize;
            *(if labels[at] { &mut own } else { &mut others }) += weight(at);
        }
        right += u128::from(own) * u128::from(2 * below + others);
        below += others;
        positives += own;
    }
    let pairs = 2.0 * positives as f64 * below as f64;
    (pairs > 0.0).then(|| right as f64 / pairs)
}

/// AUC of each user alone, weighted by his examples; users with one label only are passed over. None where all are.
pub fn gauc(users: &[u32], labels: &[bool], scores: &[f32]) -> Option<f64> {
    let (mut sum, mut examples) = (0.0, 0);
    for own in by_user(users) {
        let of = |at: &u32| *at as usize;
        let labels: Vec<bool> = own.iter().map(|at| labels[of(at)]).collect();
        let scores: Vec<f32> = own.iter().map(|at| scores[of(at)]).collect();
        if let Some(auc) = auc(&labels, &scores) {
            sum += auc * own.len() as f64;
            examples += own.len();
        }
    }
    (examples > 0).then(|| sum / examples as f64)
}

/// Places of each user's examples, by the number of the user.
fn by_user(users: &[u32]) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..users.len() as u32).collect();
    order.sort_by_key(|at| users[*at as usize]);
    order.chunk_by(|&a, &b| users[a as usize] == users[b as usize]).map(<[u32]>::to_vec).collect()
}

/// Mean −log probability of the labels, in nats.
pub fn log_loss(labels: &[bool], probabilities: &[f32]) -> f64 {
    let loss = |(label, p): (&bool, &f32)| {
        let p = f64::from(*p).clamp(CLIP, 1.0 - CLIP);
        if *label { -p.ln() } else { -(1.0 - p).ln() }
    };
    labels.iter().zip(probabilities).map(loss).sum::<f64>() / labels.len().max(1) as f64
}

/// The 95 % interval of the AUC, by the percentile bootstrap over users: examples of one user hang together.
pub fn auc_interval(users: &[u32], labels: &[bool], scores: &[f32]) -> Option<[f64; 2]> {
    let mut names: Vec<u32> = users.to_vec();
    names.sort_unstable();
    names.dedup();
    let place: Vec<u32> = users.iter().map(|user| names.partition_point(|name| name < user) as u32).collect();
    let order = ranked(scores);
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut drawn = vec![0_u64; names.len()];
    let mut aucs: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            drawn.fill(0);
            for _ in 0..names.len() {
                drawn[((u128::from(random.next_u64()) * names.len() as u128) >> 64) as usize] += 1;
            }
            weighted_auc(&order, labels, scores, |at| drawn[place[at] as usize])
        })
        .collect();
    aucs.sort_unstable_by(f64::total_cmp);
    Some([quantile(&aucs, TAIL)?, quantile(&aucs, 1.0 - TAIL)?])
}
