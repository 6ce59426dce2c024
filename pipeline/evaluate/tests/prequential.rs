//! Who is asked what, and when.

use super::worlds;
use crate::evaluate::prequential::score;
use crate::evaluate::{EvaluateError, Forecaster, Judgment, Outcome, Past, prequential};
use std::ops::Range;

/// Counts the blocks it has learned, and says with every forecast how many they were.
#[derive(Default)]
struct Counter {
    block: usize,
    blocks: usize,
    learned: Vec<Range<usize>>,
    issued: Vec<usize>,
    fitted: Option<(usize, usize)>,
    judges: usize,
    nats: f64,
}

impl Forecaster for Counter {
    fn name(&self) -> &str {
        "counter"
    }

    fn block(&self) -> usize {
        self.block
    }

    fn tune(&mut self, past: Past<'_>, warm_up: usize) -> Result<(), EvaluateError> {
        self.fitted = Some((past.len(), warm_up));
        Ok(())
    }

    fn fit(&mut self, past: Past<'_>) -> Result<(), EvaluateError> {
        assert_eq!(self.fitted.map(|(until, _)| until), Some(past.len()));
        Ok(())
    }

    fn issue(&mut self, past: Past<'_>, after: &[usize]) -> Result<(), EvaluateError> {
        assert_eq!(past.len(), after.iter().max().unwrap() + 1, "nothing is seen that comes after");
        assert!(after.iter().all(|after| *after < past.len()) && after.len() <= 256);
        self.issued = after.to_vec();
        Ok(())
    }

    fn score(&mut self, outcomes: &[Outcome], judgments: &mut Vec<Judgment>) -> Result<(), EvaluateError> {
        assert_eq!(outcomes.len(), self.issued.len());
        self.judges += outcomes.len();
        let gap_nats = self.blocks as f64 + self.nats;
        judgments.extend(outcomes.iter().map(|outcome| Judgment {
            gap_nats,
            kind_nats: 0.0,
            likely_kind: 1,
            median_gap: 9.0 / outcome.unit_ms,
        }));
        Ok(())
    }

    fn learn(&mut self, past: Past<'_>, events: Range<usize>) -> Result<(), EvaluateError> {
        assert_eq!(past.len(), events.end);
        self.blocks += 1;
        self.learned.push(events);
        Ok(())
    }
}

#[test]
fn a_forecast_knows_the_whole_blocks_folded_at_its_issue() {
    let stream = worlds::stream(&worlds::hawkes(), 4000);
    let (past, from) = (stream.whole(), stream.split().scored);
    for block in [1, 7, 256, 5000] {
        let mut counter = Counter { block, ..Counter::default() };
        let scores = prequential(&stream, &mut counter).unwrap();
        assert_eq!(counter.fitted, Some((from, stream.split().warm_up)));
        assert_eq!(scores.positions, past.targets(from..past.len()).collect::<Vec<_>>());
        for (target, score) in scores.positions.iter().zip(&scores.each) {
            let folded = (past.previous(*target).unwrap() + 1).saturating_sub(from);
            assert_eq!(score.nats(), (folded / block) as f64, "block {block}, target {target}");
        }
        let whole = (past.len() - from) / block;
        let expected: Vec<Range<usize>> = (0..whole).map(|b| from + b * block..from + (b + 1) * block).collect();
        assert_eq!(counter.learned, expected);
        assert_eq!(counter.judges, scores.each.len(), "each forecast is judged once");
    }
}

#[test]
fn hits_and_errors_are_those_of_the_judgment() {
    let stream = worlds::stream(&worlds::hawkes(), 4000);
    let past = stream.whole();
    let scores = score(past, 2000, &mut Counter { block: 256, ..Counter::default() }).unwrap();
    for ((target, user), score) in scores.positions.iter().zip(&scores.users).zip(&scores.each) {
        let event = past.event(*target);
        assert_eq!((*user, score.hit), (event.user, event.kind == 1));
        assert!((score.log10_error - ((past.gap_ms(*target) as f64 + 1.0) / 10.0).log10().abs()).abs() < 1e-9);
    }
}

#[test]
fn a_score_that_is_no_number_is_an_error() {
    let stream = worlds::stream(&worlds::hawkes(), 4000);
    let mut counter = Counter { block: 256, nats: f64::NAN, ..Counter::default() };
    let error = score(stream.whole(), 2000, &mut counter).unwrap_err().to_string();
    assert!(error.starts_with("model `counter` gave NaN nats to event "), "{error}");
}
