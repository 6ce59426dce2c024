//! Models whose gap and type do not depend on each other given the history.

use crate::evaluate::mixture::{Component, log_median, nats};
use crate::evaluate::{EvaluateError, Forecaster, Judgment, Outcome, Past};
use std::ops::Range;

/// A forecast of a user's next event: a mixture of gaps, a distribution of types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marginals {
    /// Log-normal mixture of the gap, in units.
    pub gap: Vec<Component>,
    /// Probability of each type.
    pub kinds: Vec<f64>,
}

impl Marginals {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.gap.clear();
        self.kinds.clear();
    }

    /// The most probable type; the first of equals.
    fn likely_kind(&self) -> u32 {
        let mut likely = 0;
        for (kind, probability) in self.kinds.iter().enumerate() {
            if *probability > self.kinds[likely] {
                likely = kind;
            }
        }
        likely as u32
    }

    fn judge(&self, outcome: &Outcome) -> Judgment {
        Judgment {
            gap_nats: nats(&self.gap, outcome.gap().ln()),
            kind_nats: -self.kinds[outcome.kind as usize].ln(),
            likely_kind: self.likely_kind(),
            median_gap: log_median(&self.gap).exp(),
        }
    }
}

/// A model that forecasts gap and type apart, and learns after every event.
pub trait Marginal {
    /// Chooses settings: fits on `[0, warm_up)`, tries on the rest.
    fn tune(&mut self, past: Past<'_>, warm_up: usize);

    /// Starts afresh with the settings it has, and fits all of `past`.
    fn fit(&mut self, past: Past<'_>);

    /// The forecast after the event at `after`, into an empty `forecast`.
    fn forecast(&mut self, past: Past<'_>, after: usize, forecast: &mut Marginals);

    /// Learns from the event at `position`.
    fn learn(&mut self, past: Past<'_>, position: usize);
}

/// Such a model as a [`Forecaster`].
#[derive(Clone, Debug)]
pub struct Independent<M> {
    name: &'static str,
    model: M,
    /// The forecasts issued last; only the first of them are in use.
    issued: Vec<Marginals>,
}

impl<M: Marginal> Independent<M> {
    /// The model, under a name for reports.
    pub fn new(name: &'static str, model: M) -> Self {
        Self { name, model, issued: Vec::new() }
    }

    /// The model itself.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The forecasts issued last, in their order; there may be more of earlier calls behind them.
    pub fn issued(&self) -> &[Marginals] {
        &self.issued
    }
}

impl<M: Marginal> Forecaster for Independent<M> {
    fn name(&self) -> &str {
        self.name
    }

    fn block(&self) -> usize {
        1
    }

    fn tune(&mut self, past: Past<'_>, warm_up: usize) -> Result<(), EvaluateError> {
        self.model.tune(past, warm_up);
        Ok(())
    }

    fn fit(&mut self, past: Past<'_>) -> Result<(), EvaluateError> {
        self.model.fit(past);
        Ok(())
    }

    fn issue(&mut self, past: Past<'_>, after: &[usize]) -> Result<(), EvaluateError> {
        if self.issued.len() < after.len() {
            self.issued.resize_with(after.len(), Marginals::default);
        }
        for (forecast, after) in self.issued.iter_mut().zip(after) {
            forecast.clear();
            self.model.forecast(past, *after, forecast);
        }
        Ok(())
    }

    fn score(&mut self, outcomes: &[Outcome], judgments: &mut Vec<Judgment>) -> Result<(), EvaluateError> {
        judgments.extend(self.issued.iter().zip(outcomes).map(|(forecast, outcome)| forecast.judge(outcome)));
        Ok(())
    }

    fn learn(&mut self, past: Past<'_>, events: Range<usize>) -> Result<(), EvaluateError> {
        events.for_each(|position| self.model.learn(past, position));
        Ok(())
    }
}
