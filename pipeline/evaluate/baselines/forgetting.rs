//! Counts of types and mixtures of gaps that forget exponentially; one per group of contexts.

use super::em::{Fit, Moments, maximize};
use super::frequencies::Context;
use crate::evaluate::Past;
use crate::evaluate::mixture::{Component, shares};

/// Components of every mixture.
pub const COMPONENTS: usize = 3;
const FIT: Fit = Fit { components: COMPONENTS, iterations: 40, prior: 20.0 };
/// A type that was forgotten keeps this count.
const FORGOTTEN: f64 = 1e-3;

/// What an event multiplies the past by.
fn retention(half_life: f64) -> f64 {
    0.5_f64.powf(half_life.recip())
}

/// The start counts for at most what the forgetting remembers.
fn capped(all: f64, retention: f64) -> f64 {
    ((1.0 - retention).recip() / all).min(1.0)
}

/// Frequencies of types, by group.
#[derive(Clone, Debug, Default)]
pub struct KindCounts {
    kinds: usize,
    retention: f64,
    /// `[group][kind]`
    counts: Vec<f64>,
    /// By group: their sum.
    totals: Vec<f64>,
}

impl KindCounts {
    /// Counts the targets of `past`, one more each.
    pub fn fit(past: Past<'_>, context: Context, half_life: f64) -> Self {
        let (kinds, groups, retention) = (past.kinds(), context.groups(past), retention(half_life));
        let mut counts = vec![1.0; groups * kinds];
        for (group, target) in context.targets(past) {
            counts[group * kinds + past.event(target).kind as usize] += 1.0;
        }
        let totals = counts.chunks(kinds).map(|row| row.iter().sum()).collect();
        let mut fitted = Self { kinds, retention, counts, totals };
        for group in 0..groups {
            fitted.scale(group, capped(fitted.totals[group], retention));
        }
        fitted
    }

    fn scale(&mut self, group: usize, factor: f64) {
        if factor < 1.0 {
            self.counts[group * self.kinds..(group + 1) * self.kinds].iter_mut().for_each(|count| *count *= factor);
            self.totals[group] *= factor;
        }
    }

    /// One more event of the group.
    pub fn learn(&mut self, group: usize, kind: u32) {
        self.scale(group, self.retention);
        self.counts[group * self.kinds + kind as usize] += 1.0;
        self.totals[group] += 1.0;
    }

    /// Probability of `kind` in the group.
    pub fn probability(&self, group: usize, kind: u32) -> f64 {
        let all = self.totals[group] + FORGOTTEN * self.kinds as f64;
        (self.counts[group * self.kinds + kind as usize] + FORGOTTEN) / all
    }

    /// Probabilities of all types in the group, appended to `probabilities`.
    pub fn distribution(&self, group: usize, probabilities: &mut Vec<f64>) {
        probabilities.extend((0..self.kinds as u32).map(|kind| self.probability(group, kind)));
    }
}

/// Log-normal mixtures of gaps, by group, which follow the stream by stepwise EM (Cappé and Moulines 2009).
#[derive(Clone, Debug, Default)]
pub struct GapMixtures {
    retention: f64,
    /// `[group][component]`
    moments: Vec<Moments>,
    mixtures: Vec<Component>,
}

impl GapMixtures {
    /// Fits the gaps of the targets of `past`.
    pub fn fit(past: Past<'_>, context: Context) -> Self {
        let gaps: Vec<(usize, f64)> = context.targets(past).map(|(group, i)| (group, past.log_gap(i))).collect();
        let moments = match context {
            Context::None => FIT.pooled(&gaps.iter().map(|(_, y)| *y).collect::<Vec<_>>(), |_| ()),
            Context::PreviousKind => FIT.grouped(&gaps, past.kinds(), |_| ()),
        };
        let mixtures = vec![Component { weight: 1.0, mean: 0.0, sigma: 1.0 }; moments.len()];
        Self { moments, mixtures, ..Self::default() }.forgetting(f64::INFINITY)
    }

    /// The same, forgetting from now on.
    #[must_use]
    pub fn forgetting(mut self, half_life: f64) -> Self {
        self.retention = retention(half_life);
        for group in 0..self.moments.len() / COMPONENTS {
            let moments = &mut self.moments[group * COMPONENTS..][..COMPONENTS];
            let cap = capped(moments.iter().map(|m| m.count).sum(), self.retention);
            moments.iter_mut().for_each(|moments| moments.scale(cap));
            maximize(moments, &mut self.mixtures[group * COMPONENTS..][..COMPONENTS]);
        }
        self
    }

    /// The mixture of the group.
    pub fn mixture(&self, group: usize) -> &[Component] {
        &self.mixtures[group * COMPONENTS..][..COMPONENTS]
    }

    /// One more gap of the group, with logarithm `y`: one step of EM.
    pub fn learn(&mut self, group: usize, y: f64) {
        let mut shared = [0.0; COMPONENTS];
        shares(self.mixture(group), y, &mut shared);
        let moments = &mut self.moments[group * COMPONENTS..][..COMPONENTS];
        for (moments, share) in moments.iter_mut().zip(shared) {
            moments.scale(self.retention);
            moments.add(share, y);
            // A component that explains nothing for long keeps its place, not its weight.
            if moments.count < FORGOTTEN {
                moments.scale(FORGOTTEN / moments.count);
            }
        }
        maximize(moments, &mut self.mixtures[group * COMPONENTS..][..COMPONENTS]);
    }
}
