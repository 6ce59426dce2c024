//! Fits log-normal mixtures by expectation maximization (Dempster, Laird and Rubin 1977).

use crate::evaluate::mixture::{Component, SIGMA_MIN, shares};
use crate::evaluate::sample::{mean_variance, quantile};

/// What one component of a mixture was fitted to: weight, sum and sum of squares of its share of log gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many log gaps.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub squares: f64,
}

impl Moments {
    /// Adds `share` of the log gap `y`.
    pub fn add(&mut self, share: f64, y: f64) {
        self.count += share;
        self.sum += share * y;
        self.squares += share * y * y;
    }

    /// All three times `factor`.
    pub fn scale(&mut self, factor: f64) {
        self.count *= factor;
        self.sum *= factor;
        self.squares *= factor;
    }

    /// The component of likeliest mean and sigma, of the share `count / all`.
    pub fn component(&self, all: f64) -> Component {
        let mean = self.sum / self.count;
        let variance = self.squares / self.count - mean * mean;
        Component { weight: self.count / all, mean, sigma: variance.max(SIGMA_MIN * SIGMA_MIN).sqrt() }
    }

    /// Log likelihood of these log gaps under `component`, but for a constant.
    fn log_likelihood(&self, component: &Component) -> f64 {
        let Component { weight, mean, sigma } = *component;
        let spread = self.squares - 2.0 * mean * self.sum + self.count * mean * mean;
        self.count * (weight / sigma).ln() - 0.5 * spread / (sigma * sigma)
    }
}

/// The mixture of likeliest parameters for `moments`, into `mixture`.
pub fn maximize(moments: &[Moments], mixture: &mut [Component]) {
    let all: f64 = moments.iter().map(|m| m.count).sum();
    for (component, moments) in mixture.iter_mut().zip(moments) {
        *component = moments.component(all);
    }
}

/// How mixtures are fitted.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// Components of every mixture.
    pub components: usize,
    /// Passes over the data.
    pub iterations: usize,
    /// Groups are drawn to the mixture of all gaps as if so many of its gaps had been seen in each: a conjugate prior.
    pub prior: f64,
}

impl Fit {
    /// The moments of one mixture of all log gaps. Without any they are those of one pseudo-gap for each component:
    /// about a unit long, or e² times longer or shorter.
    ///
    /// `watch` sees the objective before each pass, −log likelihood in nats.
    pub fn pooled(&self, gaps: &[f64], mut watch: impl FnMut(f64)) -> Vec<Moments> {
        let mut moments = vec![Moments { count: 1.0, sum: 0.0, squares: 4.0 }; self.components];
        let mut mixture = self.start(gaps);
        for _ in 0..if gaps.is_empty() { 0 } else { self.iterations } {
            moments.fill(Moments::default());
            watch(self.expect(gaps.iter().map(|y| (0, *y)), &mixture, &mut moments));
            maximize(&moments, &mut mixture);
        }
        moments
    }

    /// The moments of one mixture per group, group by group; `gaps` are groups with log gaps.
    ///
    /// `watch` sees the objective of the groups before each pass, in nats but for a constant: −log likelihood less
    /// log prior.
    pub fn grouped(&self, gaps: &[(usize, f64)], groups: usize, mut watch: impl FnMut(f64)) -> Vec<Moments> {
        let all: Vec<f64> = gaps.iter().map(|(_, y)| *y).collect();
        let mut pooled = self.pooled(&all, |_| ());
        let mut mixture = self.start(&all);
        maximize(&pooled, &mut mixture);
        let share = self.prior / pooled.iter().map(|m| m.count).sum::<f64>();
        pooled.iter_mut().for_each(|moments| moments.scale(share));
        let prior = pooled.repeat(groups);
        let (mut moments, mut mixtures) = (prior.clone(), mixture.repeat(groups));
        for _ in 0..if gaps.is_empty() { 0 } else { self.iterations } {
            moments.copy_from_slice(&prior);
            let nats = self.expect(gaps.iter().copied(), &mixtures, &mut moments);
            watch(nats - prior.iter().zip(&mixtures).map(|(prior, c)| prior.log_likelihood(c)).sum::<f64>());
            for (moments, mixture) in moments.chunks(self.components).zip(mixtures.chunks_mut(self.components)) {
                maximize(moments, mixture);
            }
        }
        moments
    }

    /// Components of one width at even quantiles.
    fn start(&self, gaps: &[f64]) -> Vec<Component> {
        let mut sorted = gaps.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (_, variance) = mean_variance(gaps);
        let parts = self.components as f64;
        let component = |c: usize| Component {
            weight: 1.0 / parts,
            mean: quantile(&sorted, (c as f64 + 0.5) / parts).unwrap_or(0.0),
            sigma: variance.sqrt() / parts + 0.1,
        };
        (0..self.components).map(component).collect()
    }

    /// Adds each component's share of its group's log gaps to `moments`; −log likelihood.
    fn expect(&self, gaps: impl Iterator<Item = (usize, f64)>, mixtures: &[Component], moments: &mut [Moments]) -> f64 {
        let mut shared = vec![0.0; self.components];
        let mut total = 0.0;
        for (group, y) in gaps {
            let range = group * self.components..(group + 1) * self.components;
            total += shares(&mixtures[range.clone()], y, &mut shared);
            for (moments, share) in moments[range].iter_mut().zip(&shared) {
                moments.add(*share, y);
            }
        }
        total
    }
}
