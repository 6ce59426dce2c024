//! The forecaster that knows the process: what it scores is the entropy, as far as a sample shows it.

use super::Process;
use crate::evaluate::baselines::hawkes::excitation::Excitations;
use crate::evaluate::baselines::hawkes::intensity::Intensity;
use crate::evaluate::baselines::hawkes::parameters::{Features, Parameters};
use crate::evaluate::{EvaluateError, Forecaster, Judgment, Outcome, Past};

/// Forecasts a [`Process`] by its own conditional intensity.
#[derive(Clone, Debug)]
pub struct Truth {
    process: Process,
    /// By regime, in units of the stream.
    intensities: Vec<Intensity>,
    excitations: Excitations,
    /// By forecast issued last: its regime, and the excitation it starts from.
    regimes: Vec<usize>,
    issued: Vec<f64>,
    features: Features,
}

impl Truth {
    /// Knows `process`.
    pub fn new(process: &Process) -> Self {
        Self {
            process: process.clone(),
            intensities: Vec::new(),
            excitations: Excitations::default(),
            regimes: Vec::new(),
            issued: Vec::new(),
            features: Features::default(),
        }
    }
}

impl Forecaster for Truth {
    fn name(&self) -> &str {
        "truth"
    }

    fn tune(&mut self, _: Past<'_>, _: usize) -> Result<(), EvaluateError> {
        Ok(())
    }

    fn fit(&mut self, past: Past<'_>) -> Result<(), EvaluateError> {
        let scale = past.unit_ms() / self.process.unit_ms;
        let mut rates = Vec::new();
        self.intensities.clear();
        for regime in &self.process.regimes {
            let rows = regime.base.iter().zip(&regime.excitation);
            let rows = rows.flat_map(|(base, row)| std::iter::once(base).chain(row)).map(|x| x * scale).collect();
            rates.push(regime.decay * scale);
            self.intensities.push(Intensity::new(&rates[rates.len() - 1..], Parameters::new(rows, 1 + past.kinds())));
        }
        self.excitations = Excitations::new(past, &rates);
        Ok(())
    }

    fn issue(&mut self, past: Past<'_>, after: &[usize]) -> Result<(), EvaluateError> {
        self.regimes.clear();
        self.issued.clear();
        for after in after {
            let regime = self.process.regime(*after);
            self.regimes.push(regime);
            let excitation = &self.excitations.after(past, *after)[regime * past.kinds()..][..past.kinds()];
            self.issued.extend_from_slice(excitation);
        }
        Ok(())
    }

    fn score(&mut self, outcomes: &[Outcome], judgments: &mut Vec<Judgment>) -> Result<(), EvaluateError> {
        let excitations = self.issued.chunks(self.process.kinds());
        for ((regime, excitation), outcome) in self.regimes.iter().zip(excitations).zip(outcomes) {
            judgments.push(self.intensities[*regime].judge(&mut self.features, excitation, outcome));
        }
        Ok(())
    }
}
