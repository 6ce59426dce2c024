//! What a Hawkes process says of a user's next event.

use super::fit::Statistics;
use super::parameters::{Features, Parameters};
use super::survival::Survival;
use crate::evaluate::{Judgment, Outcome};

/// The conditional intensity of the next event, given what a user's past left of excitation.
#[derive(Clone, Debug, Default)]
pub struct Intensity {
    rates: Vec<f64>,
    parameters: Parameters,
    survival: Survival,
}

impl Intensity {
    /// Of decay `rates` in 1 / unit.
    pub fn new(rates: &[f64], parameters: Parameters) -> Self {
        Self { rates: rates.to_vec(), parameters, survival: Survival::new(rates) }
    }

    /// Its parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Its survival function.
    pub fn survival(&self) -> &Survival {
        &self.survival
    }

    /// New parameters, those of greatest posterior for `statistics`.
    pub fn maximize(&mut self, statistics: &Statistics) {
        self.parameters.maximize(statistics);
    }

    /// Judges the forecast that starts from `excitation`, `[rate][kind]`; `features` is scratch.
    pub fn judge(&self, features: &mut Features, excitation: &[f64], outcome: &Outcome) -> Judgment {
        features.fill(&self.rates, excitation, outcome.gap());
        let (gap_nats, kind_nats) = self.parameters.nats(features, outcome.kind as usize);
        let (likely_kind, median_gap) = self.survival.likely(&self.parameters, excitation);
        Judgment { gap_nats, kind_nats, likely_kind, median_gap }
    }
}
