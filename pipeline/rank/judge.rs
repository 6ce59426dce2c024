//! How answers did on the feedback that came after them: progressive validation (Blum et al. 1999). Each candidate that is
//! labeled is held against what was answered before anything was known of it.
//!
//! These are figures of one worker and no part of the state: a task that begins somewhere knows nothing of answers from before.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// What was answered to a request; nothing where it was not (yet). Clones are the same answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered(Arc<OnceLock<Told>>);

/// Probabilities.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    /// (candidates): by the live counters.
    rates: Vec<f32>,
    /// (candidates) by model.
    models: Vec<(&'static str, Vec<f32>)>,
}

impl Answered {
    /// Takes the answer: probabilities of the candidates, by the live counters and by each model that had a version.
    pub fn tell(&self, rates: Vec<f32>, models: Vec<(&'static str, Vec<f32>)>) {
        // A request is answered once.
        let _ = self.0.set(Told { rates, models });
    }
}

/// A labeled candidate beside what was answered of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The model's probability.
    pub p: f32,
    /// How often the item was taken where it was shown, by the live counters: the trivial answer.
    pub rate: f32,
    /// Whether the user took it.
    pub label: bool,
}

/// What was heard since answers were last given.
#[derive(Debug, Default)]
pub struct Judge {
    heard: Vec<(Answered, Vec<usize>, bool)>,
    judged: BTreeMap<&'static str, Vec<Judged>>,
}

impl Judge {
    /// Candidates of a request, by their places, were taken or left.
    pub fn hear(&mut self, answered: Answered, places: Vec<usize>, label: bool) {
        self.heard.push((answered, places, label));
    }

    /// Holds what was heard against the answers, which are given by now.
    pub fn judge(&mut self) {
        for (answered, places, label) in self.heard.drain(..) {
            let Some(Told { rates, models }) = answered.0.get() else { continue };
            for (model, probabilities) in models {
                let judged = places.iter().map(|&at| Judged { p: probabilities[at], rate: rates[at], label });
                self.judged.entry(model).or_default().extend(judged);
            }
        }
    }

    /// What was judged since the last call, by model.
    pub fn take(&mut self) -> BTreeMap<&'static str, Vec<Judged>> {
        std::mem::take(&mut self.judged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_meet_the_answers_from_before() {
        let (answered, never, mut judge) = (Answered::default(), Answered::default(), Judge::default());
        // Feedback may come before its transaction answers.
        judge.hear(answered.clone(), vec![1], true);
        judge.hear(never, vec![0], true);
        answered.tell(vec![0.1, 0.2, 0.3], vec![("muse", vec![0.4, 0.5, 0.6])]);
        judge.judge();
        judge.hear(answered, vec![0, 2], false);
        judge.judge();
        let judged = |p, rate, label| Judged { p, rate, label };
        let all = vec![judged(0.5, 0.2, true), judged(0.4, 0.1, false), judged(0.6, 0.3, false)];
        assert_eq!(judge.take(), BTreeMap::from([("muse", all)]));
        assert!(judge.take().is_empty());
    }
}
