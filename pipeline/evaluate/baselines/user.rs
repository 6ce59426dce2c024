//! By the user's own past: his counts of types and the mean and spread of his log gaps, shrunk towards everybody's.

use super::marginal::{Marginal, Marginals};
use crate::evaluate::Past;
use crate::evaluate::mixture::{Component, SIGMA_MIN, nats};
use crate::evaluate::prequential::{Step, steps};
use crate::evaluate::sample::{least, mean_variance};

/// Strengths of the priors that are tried, in pseudo-events.
const KIND_PRIORS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0];
const MEAN_PRIORS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 128.0];
const VARIANCE_PRIORS: [f64; 6] = [1.0, 4.0, 8.0, 16.0, 32.0, 128.0];

/// Everybody's and each user's own counts.
#[derive(Clone, Debug)]
pub struct User {
    priors: Priors,
    /// Mean and variance of log gaps of all.
    log_gap: (f64, f64),
    /// Everybody's types, one more each.
    kinds: Vec<f64>,
    own: Vec<Own>,
}

/// How many events of his own weigh as much as what is known of everybody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Priors {
    /// For types.
    pub kind: f64,
    /// For the mean of log gaps.
    pub mean: f64,
    /// For their variance.
    pub variance: f64,
}

/// A user's events up to one place of his history.
#[derive(Clone, Debug, Default)]
struct Own {
    events: usize,
    /// By type.
    kinds: Vec<f64>,
    /// Sum and sum of squares of the log gaps, of which there are `events − 1`.
    sum: f64,
    squares: f64,
}

impl Default for User {
    fn default() -> Self {
        let priors = Priors { kind: 8.0, mean: 2.0, variance: 8.0 };
        Self { priors, log_gap: (0.0, 4.0), kinds: Vec::new(), own: Vec::new() }
    }
}

impl User {
    /// The strengths chosen.
    pub fn priors(&self) -> Priors {
        self.priors
    }

    /// The user's own counts up to and with the event at `position`. They go on from where they stood, but for a place
    /// already passed start anew.
    fn own(&mut self, past: Past<'_>, position: usize) -> &Own {
        let own = &mut self.own[past.event(position).user as usize];
        let history = past.history(position);
        if own.events > history.len() {
            *own = Own::default();
        }
        own.kinds.resize(past.kinds(), 0.0);
        for position in &history[own.events..] {
            let position = *position as usize;
            own.kinds[past.event(position).kind as usize] += 1.0;
            if past.previous(position).is_some() {
                let y = past.log_gap(position);
                own.sum += y;
                own.squares += y * y;
            }
        }
        own.events = history.len();
        own
    }

    /// Probability of `kind` for one with these counts.
    fn probability(&self, own: &Own, everybody: f64, kind: usize, prior: f64) -> f64 {
        (own.kinds[kind] + prior * self.kinds[kind] / everybody) / (own.events as f64 + prior)
    }
}

/// The log-normal of one with these gaps, shrunk to everybody's mean and variance by priors of these strengths.
fn gap(own: &Own, (mean, variance): (f64, f64), (mean_prior, variance_prior): (f64, f64)) -> Component {
    let n = own.events.saturating_sub(1) as f64;
    let shrunk = (own.sum + mean_prior * mean) / (n + mean_prior);
    let spread = (own.squares - 2.0 * shrunk * own.sum + n * shrunk * shrunk).max(0.0);
    let variance = (spread + variance_prior * variance) / (n + variance_prior);
    Component { weight: 1.0, mean: shrunk, sigma: variance.max(SIGMA_MIN * SIGMA_MIN).sqrt() }
}

impl Marginal for User {
    fn tune(&mut self, past: Past<'_>, warm_up: usize) {
        self.fit(past.until(warm_up));
        let grid: Vec<(f64, f64)> = MEAN_PRIORS.iter().flat_map(|m| VARIANCE_PRIORS.map(|v| (*m, v))).collect();
        let (mut kind_losses, mut gap_losses) = ([0.0; KIND_PRIORS.len()], vec![0.0; grid.len()]);
        for step in steps(past, warm_up) {
            match step {
                Step::Fold(position) => self.learn(past, position),
                Step::Issue { after, target } => {
                    let own = self.own(past, after).clone();
                    let (kind, y) = (past.event(target).kind as usize, past.log_gap(target));
                    let everybody = self.kinds.iter().sum();
                    for (loss, prior) in kind_losses.iter_mut().zip(KIND_PRIORS) {
                        *loss -= self.probability(&own, everybody, kind, prior).ln();
                    }
                    for (loss, priors) in gap_losses.iter_mut().zip(&grid) {
                        *loss += nats(&[gap(&own, self.log_gap, *priors)], y);
                    }
                }
            }
        }
        let kind = least(&kind_losses, &KIND_PRIORS).unwrap_or(self.priors.kind);
        let (mean, variance) = least(&gap_losses, &grid).unwrap_or((self.priors.mean, self.priors.variance));
        self.priors = Priors { kind, mean, variance };
    }

    fn fit(&mut self, past: Past<'_>) {
        self.own = vec![Own::default(); past.users()];
        self.kinds = vec![1.0; past.kinds()];
        (0..past.len()).for_each(|position| self.learn(past, position));
        let gaps: Vec<f64> = past.targets(0..past.len()).map(|i| past.log_gap(i)).collect();
        if !gaps.is_empty() {
            self.log_gap = mean_variance(&gaps);
        }
    }

    fn forecast(&mut self, past: Past<'_>, after: usize, forecast: &mut Marginals) {
        self.own(past, after);
        let own = &self.own[past.event(after).user as usize];
        let everybody = self.kinds.iter().sum();
        forecast.gap.push(gap(own, self.log_gap, (self.priors.mean, self.priors.variance)));
        let probability = |kind| self.probability(own, everybody, kind, self.priors.kind);
        forecast.kinds.extend((0..self.kinds.len()).map(probability));
    }

    fn learn(&mut self, past: Past<'_>, position: usize) {
        self.kinds[past.event(position).kind as usize] += 1.0;
    }
}
