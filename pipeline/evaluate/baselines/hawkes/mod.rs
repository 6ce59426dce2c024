//! A multivariate Hawkes process with exponential kernels (Hawkes 1971), its parameters shared by all users, fitted by
//! EM and following the stream by stepwise EM, block by block.
//!
//! With s the time since the user's previous event, in units, and X the excitation that was left then:
//!
//! ```text
//! λ_k(s) = μ_k + Σ_d Σ_j A[k, d, j] · X_dj · exp(−b_d s)
//! ```
//!
//! # Layout
//! - [`excitation`]: what of a user's past still excites him.
//! - [`intensity`]: what the process says of the next event: of its [`parameters`], and of its [`survival`] function.
//! - [`fit`]: the EM.

pub mod excitation;
pub mod fit;
pub mod intensity;
pub mod parameters;
pub mod survival;

use crate::evaluate::prequential::score;
use crate::evaluate::sample::{least, quantile};
use crate::evaluate::{EvaluateError, Forecaster, Judgment, Outcome, Past, Score};
use excitation::Excitations;
use fit::{Fit, Statistics};
use intensity::Intensity;
use parameters::{Features, Parameters};
use std::ops::Range;

/// Sets of decay rates that are tried: one over the quantiles of the gaps at these shares.
const RATES: [&[f64]; 6] = [&[0.5], &[0.9], &[0.1, 0.9], &[0.3, 0.95], &[0.1, 0.5, 0.9], &[0.2, 0.6, 0.98]];
/// Half-lives of the statistics that are tried, in events.
const HALF_LIVES: [f64; 5] = [1000.0, 3000.0, 10_000.0, 30_000.0, f64::INFINITY];
/// Passes of EM when rates are compared, and when they are settled.
const TRIAL: usize = 80;
const PASSES: usize = 150;
/// Events from one step of EM to the next.
const BLOCK: usize = 256;

/// The process, with what it follows the stream by.
#[derive(Clone, Debug)]
pub struct Hawkes {
    /// In 1 / unit.
    rates: Vec<f64>,
    /// In events.
    half_life: f64,
    intensity: Intensity,
    statistics: Statistics,
    /// For forecasts, and for learning, which comes later.
    issuing: Excitations,
    learning: Excitations,
    /// By forecast issued last: the excitation it starts from.
    issued: Vec<f64>,
    features: Features,
}

impl Default for Hawkes {
    fn default() -> Self {
        Self {
            rates: vec![1.0],
            half_life: f64::INFINITY,
            intensity: Intensity::default(),
            statistics: Statistics::default(),
            issuing: Excitations::default(),
            learning: Excitations::default(),
            issued: Vec::new(),
            features: Features::default(),
        }
    }
}

impl Hawkes {
    /// Decay rates chosen, in 1 / unit.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// Half-life chosen, in events.
    pub fn half_life(&self) -> f64 {
        self.half_life
    }

    /// Goes on from what was fitted.
    fn settle(&mut self, past: Past<'_>, (parameters, statistics): (Parameters, Statistics)) {
        self.intensity = Intensity::new(&self.rates, parameters);
        self.issuing = Excitations::new(past, &self.rates);
        self.learning = Excitations::new(past, &self.rates);
        self.statistics = statistics;
        self.statistics.cap(self.half_life);
    }

    /// Features at the gap of the event at `target`, which came after the one at `before`.
    fn lay_out(&mut self, past: Past<'_>, before: usize, target: usize) {
        self.features.fill(&self.rates, self.learning.after(past, before), past.gap(target));
    }

    /// −log likelihood of everything from position `from` on, with parameters as they are.
    fn nats(&mut self, past: Past<'_>, from: usize) -> f64 {
        let mut nats = 0.0;
        for target in past.targets(from..past.len()) {
            let Some(before) = past.previous(target) else { continue };
            self.lay_out(past, before, target);
            let (gap, kind) = self.intensity.parameters().nats(&self.features, past.event(target).kind as usize);
            nats += gap + kind;
        }
        nats
    }
}

impl Forecaster for Hawkes {
    fn name(&self) -> &str {
        "hawkes"
    }

    fn block(&self) -> usize {
        BLOCK
    }

    fn tune(&mut self, past: Past<'_>, warm_up: usize) -> Result<(), EvaluateError> {
        let fitted = past.until(warm_up);
        let mut gaps: Vec<f64> = fitted.targets(0..warm_up).map(|i| past.gap(i)).collect();
        gaps.sort_unstable_by(f64::total_cmp);
        if gaps.is_empty() {
            return Ok(());
        }
        let mut best = (f64::INFINITY, self.rates.clone(), None);
        for shares in RATES {
            self.rates = shares.iter().filter_map(|share| quantile(&gaps, *share)).map(f64::recip).collect();
            let found = Fit::new(fitted, &self.rates).run(TRIAL, |_| ());
            self.settle(past, found.clone());
            let nats = self.nats(past, warm_up);
            if nats < best.0 {
                best = (nats, self.rates.clone(), Some(found));
            }
        }
        let (_, rates, Some(found)) = best else { return Ok(()) };
        self.rates = rates;
        let mut losses = Vec::new();
        for half_life in HALF_LIVES {
            self.half_life = half_life;
            self.settle(past, found.clone());
            losses.push(score(past, warm_up, self)?.mean(Score::nats));
        }
        self.half_life = least(&losses, &HALF_LIVES).unwrap_or(f64::INFINITY);
        Ok(())
    }

    fn fit(&mut self, past: Past<'_>) -> Result<(), EvaluateError> {
        let found = Fit::new(past, &self.rates).run(PASSES, |_| ());
        self.settle(past, found);
        Ok(())
    }

    fn issue(&mut self, past: Past<'_>, after: &[usize]) -> Result<(), EvaluateError> {
        self.issued.clear();
        for after in after {
            self.issued.extend_from_slice(self.issuing.after(past, *after));
        }
        Ok(())
    }

    fn score(&mut self, outcomes: &[Outcome], judgments: &mut Vec<Judgment>) -> Result<(), EvaluateError> {
        let width = self.issued.len() / outcomes.len().max(1);
        for (excitation, outcome) in self.issued.chunks(width.max(1)).zip(outcomes) {
            judgments.push(self.intensity.judge(&mut self.features, excitation, outcome));
        }
        Ok(())
    }

    fn learn(&mut self, past: Past<'_>, events: Range<usize>) -> Result<(), EvaluateError> {
        self.statistics.forget(events.len(), self.half_life);
        for target in past.targets(events) {
            let Some(before) = past.previous(target) else { continue };
            self.lay_out(past, before, target);
            self.statistics.add(self.intensity.parameters(), &self.features, past.event(target).kind as usize);
        }
        self.intensity.maximize(&self.statistics);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Event, Stream};

    #[test]
    fn a_block_is_added_to_what_is_left_of_those_before() {
        let event = |i: u32| Event { user: i % 5, kind: i % 2, time_ms: 1000 * i64::from(i) + i64::from(i * i % 7) };
        let stream = Stream::new((0..1000).map(event).collect(), 2).unwrap();
        let mut model = Hawkes { half_life: 100.0, ..Hawkes::default() };
        model.fit(stream.until(500)).unwrap();
        let before = model.statistics.clone();
        model.learn(stream.until(600), 500..600).unwrap();
        let caused = |statistics: &Statistics| statistics.caused.iter().sum::<f64>();
        assert!((caused(&model.statistics) - (0.5 * caused(&before) + 100.0)).abs() < 1e-6);
        let waited: f64 = (500..600).map(|i| stream.whole().gap(i)).sum();
        assert!((model.statistics.exposure[0] - (0.5 * before.exposure[0] + waited)).abs() < 1e-6);
    }
}
