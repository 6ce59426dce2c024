//! What a model must be able to do, and what its forecasts are judged by.

use super::past::GAP_MIN_MS;
use super::{EvaluateError, Past};
use std::ops::Range;

/// A model that forecasts each user's next event.
///
/// A protocol calls [`tune`](Self::tune) and [`fit`](Self::fit) once, then over the stream, again and again:
/// [`issue`](Self::issue) for events just folded, [`score`](Self::score) of these forecasts, [`learn`](Self::learn).
///
/// A forecast is a value: how well it meets the event that comes is a function of the forecast and that event. So the
/// protocol asks for the score right after the issue, when the parameters of the issue are still in force; that
/// is the score which the service would note when the event arrives. No model has to keep versions, and since
/// `issue` sees no event after those it forecasts from, nothing of the gap gets into the forecast.
///
/// Between two calls of `learn` parameters do not change: a batched model may answer a whole block at once, on the
/// device where it lives: [`issue`](Self::issue) runs it over the users' histories, [`score`](Self::score) the heads
/// that need the gap, [`learn`](Self::learn) is one training step. A frozen model is one whose `learn` does nothing.
/// Models that go on from one network in different ways share its fit: fit it once, and give copies to
/// [`prequential::score`](super::prequential::score).
pub trait Forecaster {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// Events from one update of parameters to the next; a forecast uses those of the last whole block.
    fn block(&self) -> usize {
        256
    }

    /// Chooses settings: fits on `[0, warm_up)`, tries on `[warm_up, past.len())`.
    ///
    /// # Errors
    /// What keeps the model from fitting.
    fn tune(&mut self, past: Past<'_>, warm_up: usize) -> Result<(), EvaluateError>;

    /// Starts afresh with the settings it has, and fits all of `past`, which may be empty: then it is untrained.
    ///
    /// # Errors
    /// What keeps the model from fitting.
    fn fit(&mut self, past: Past<'_>) -> Result<(), EvaluateError>;

    /// Makes the forecast of the user's next event after each of the positions `after`, from the parameters in force
    /// and the user's events up to that position ([`Past::history`]) alone. Positions come in any order, and may come
    /// again.
    ///
    /// # Errors
    /// What keeps the model from forecasting.
    fn issue(&mut self, past: Past<'_>, after: &[usize]) -> Result<(), EvaluateError>;

    /// Judges the forecasts of the last call of [`issue`](Self::issue), in its order, by what happened: appends one
    /// judgment each.
    ///
    /// # Errors
    /// What keeps the model from judging.
    fn score(&mut self, outcomes: &[Outcome], judgments: &mut Vec<Judgment>) -> Result<(), EvaluateError>;

    /// Learns from `events`, the newest of `past`; a frozen model does nothing.
    ///
    /// # Errors
    /// What keeps the model from learning.
    fn learn(&mut self, past: Past<'_>, events: Range<usize>) -> Result<(), EvaluateError> {
        let _ = (past, events);
        Ok(())
    }
}

/// The event that came after a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Its position in the stream.
    pub position: usize,
    /// Its type.
    pub kind: u32,
    /// Time since the user's previous event, in ms.
    pub gap_ms: i64,
    /// One unit of densities, in ms.
    pub unit_ms: f64,
}

impl Outcome {
    /// The event at `position` of `past`.
    pub fn at(past: Past<'_>, position: usize) -> Self {
        let (kind, gap_ms) = (past.event(position).kind, past.gap_ms(position));
        Self { position, kind, gap_ms, unit_ms: past.unit_ms() }
    }

    /// The gap in units at which the density is taken: at least [`GAP_MIN_MS`].
    pub fn gap(&self) -> f64 {
        self.gap_ms.max(GAP_MIN_MS) as f64 / self.unit_ms
    }
}

/// What a forecast said of the event that came, and what it would have bet on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgment {
    /// −log density of the gap, in nats per unit.
    pub gap_nats: f64,
    /// −log probability of the type; of the type given the gap, where the two depend on each other.
    pub kind_nats: f64,
    /// The most probable type with the gap integrated out.
    pub likely_kind: u32,
    /// Median of the gap, in units.
    pub median_gap: f64,
}

/// How well one event was forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// −log density of the gap, in nats per unit.
    pub gap_nats: f64,
    /// −log probability of the type.
    pub kind_nats: f64,
    /// Whether the type was the most probable one.
    pub hit: bool,
    /// |log10(gap + 1) − log10(median + 1)|, both in ms.
    pub log10_error: f64,
}

impl Score {
    /// The score of a forecast that judged so about `outcome`.
    pub fn new(judgment: &Judgment, outcome: &Outcome) -> Self {
        let median_ms = judgment.median_gap * outcome.unit_ms;
        Self {
            gap_nats: judgment.gap_nats,
            kind_nats: judgment.kind_nats,
            hit: judgment.likely_kind == outcome.kind,
            log10_error: ((outcome.gap_ms as f64 + 1.0).log10() - (median_ms + 1.0).log10()).abs(),
        }
    }

    /// −log density of gap and type together, in nats per event and unit.
    pub fn nats(&self) -> f64 {
        self.gap_nats + self.kind_nats
    }
}
