//! Rows that no network is needed for: live counters by themselves, and all of them in a logistic regression.

use super::logistic::Logistic;
use super::replay::Replay;
use super::{Log, Part};

/// Share of the examples at the beginning that the blend is not fitted to: counters have to fill first.
const FILLING: f64 = 0.1;

/// Probabilities of all candidates, and what they took.
#[derive(Clone, Debug)]
pub struct Scored {
    /// By candidate.
    pub probabilities: Vec<f32>,
    /// Seconds for one of them.
    pub seconds: f64,
}

/// By candidate: whether its request is of one of these parts.
fn of_parts(log: &Log, parts: &[Part]) -> Vec<bool> {
    log.requests.iter().flat_map(|request| request.candidates.clone().map(|_| parts.contains(&request.part))).collect()
}

/// A score as a probability, with what all scores took: fitted on the validation part, its order unchanged.
fn calibrated(log: &Log, scores: Vec<f32>, seconds: f64) -> Scored {
    let fit = Logistic::fit(&scores, 1, &log.labels, &of_parts(log, &[Part::Validation])).rising();
    let probabilities: Vec<f32> = scores.chunks_exact(1).map(|score| fit.probability(score)).collect();
    Scored { seconds: seconds / probabilities.len() as f64, probabilities }
}

/// How popular an item is by the behaviors with it so far.
pub fn popularity(log: &Log, replay: &Replay) -> Scored {
    calibrated(log, replay.input("popularity"), replay.counters_s)
}

/// What follows the user's last item.
pub fn transition(log: &Log, replay: &Replay) -> Scored {
    calibrated(log, replay.input("transition"), replay.counters_s)
}

/// How newly the user had the item.
pub fn repeat(log: &Log, replay: &Replay) -> Scored {
    calibrated(log, replay.input("repeat_age"), replay.counters_s)
}

/// The largest cosine of the item's vector with those of the history.
pub fn content_cosine(log: &Log, replay: &Replay) -> Scored {
    calibrated(log, replay.cosines.iter().map(|[max, _]| *max).collect(), replay.cosines_s)
}

/// All inputs in a logistic regression, fitted to training and validation.
pub fn blend(log: &Log, replay: &Replay) -> Scored {
    let width = replay.names.len();
    let inputs = replay.with_whole_history();
    let mut chosen = of_parts(log, &[Part::Train, Part::Validation]);
    let filled = (FILLING * chosen.len() as f64) as usize;
    chosen[..filled].fill(false);
    let fit = Logistic::fit(&inputs, width, &log.labels, &chosen);
    let start = std::time::Instant::now();
    let probabilities: Vec<f32> = inputs.chunks_exact(width).map(|row| fit.probability(row)).collect();
    let seconds = replay.counters_s + replay.cosines_s + start.elapsed().as_secs_f64();
    Scored { seconds: seconds / probabilities.len() as f64, probabilities }
}
