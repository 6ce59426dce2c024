//! What a mixture of log-normal distributions says about a gap.

use super::{Config, SIGMA_MIN};

/// Forecasts, one per sequence of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecasts {
    unit_ms: f64,
    log_gap_mean: f64,
    log_gap_deviation: f64,
    components: usize,
    types: usize,
    /// (sequences, 3 components), standardized
    mixtures: Vec<f32>,
    /// (sequences, types)
    shares: Vec<f32>,
}

/// Means above this count as this: 100,000 years.
const GAP_MS_MAX: f64 = 3.2e15;

impl Forecasts {
    pub(super) fn new(config: &Config, mixtures: Vec<f32>, shares: Vec<f32>) -> Forecasts {
        Forecasts {
            unit_ms: config.unit_ms,
            log_gap_mean: config.log_gap_mean,
            log_gap_deviation: config.log_gap_deviation,
            components: config.components,
            types: config.types,
            mixtures,
            shares,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shares.len() / self.types
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    /// The probability of each type, whenever the event comes: (types).
    pub fn types(&self, n: usize) -> &[f32] {
        &self.shares[n * self.types..][..self.types]
    }

    /// The distribution of the gap.
    pub fn gap(&self, n: usize) -> Mixture {
        let row = &self.mixtures[n * 3 * self.components..][..3 * self.components];
        let (logits, rest) = row.split_at(self.components);
        let (means, deviations) = rest.split_at(self.components);
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        let shares: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - most).exp()).collect();
        let total: f64 = shares.iter().sum();
        let log_unit = self.unit_ms.ln() + self.log_gap_mean;
        let parts = shares.iter().zip(means.iter().zip(deviations));
        let component = |(share, (&mean, &log)): (&f64, (&f32, &f32))| Component {
            share: share / total,
            mean: log_unit + self.log_gap_deviation * f64::from(mean),
            deviation: SIGMA_MIN + self.log_gap_deviation * f64::from(log.min(3.0)).exp(),
        };
        Mixture { components: parts.map(component).collect() }
    }
}

/// A mixture of log-normal distributions of a gap in ms.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    components: Vec<Component>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Component {
    share: f64,
    /// Of ln(gap in ms).
    mean: f64,
    deviation: f64,
}

impl Mixture {
    /// A mixture of components: share, and mean and standard deviation of ln(gap in ms).
    pub fn new(components: impl IntoIterator<Item = (f64, f64, f64)>) -> Mixture {
        let component = |(share, mean, deviation)| Component { share, mean, deviation };
        Mixture { components: components.into_iter().map(component).collect() }
    }

    /// What [`Mixture::new`] takes.
    pub fn components(&self) -> impl ExactSizeIterator<Item = (f64, f64, f64)> {
        self.components.iter().map(|c| (c.share, c.mean, c.deviation))
    }

    /// The mean gap in ms; at most 100,000 years.
    pub fn expected_ms(&self) -> f64 {
        let mean = |c: &Component| c.share * (c.mean + 0.5 * c.deviation * c.deviation).min(GAP_MS_MAX.ln()).exp();
        self.components.iter().map(mean).sum::<f64>().min(GAP_MS_MAX)
    }

    /// The gap in ms that is exceeded with this probability, to a millionth.
    pub fn quantile_ms(&self, survival: f64) -> f64 {
        let ends = |side: f64| self.components.iter().map(move |c| c.mean + side * 8.0 * c.deviation);
        let (mut low, mut high) = (ends(-1.0).fold(f64::MAX, f64::min), ends(1.0).fold(f64::MIN, f64::max));
        while high - low > 1e-6 {
            let middle = 0.5 * (low + high);
            *(if self.survival_at(middle) > survival { &mut low } else { &mut high }) = middle;
        }
        (0.5 * (low + high)).min(GAP_MS_MAX.ln()).exp()
    }

    /// The median gap in ms.
    pub fn median_ms(&self) -> f64 {
        self.quantile_ms(0.5)
    }

    /// The probability that no event comes within `elapsed_ms`.
    pub fn survival(&self, elapsed_ms: f64) -> f64 {
        if elapsed_ms <= 0.0 { 1.0 } else { self.survival_at(elapsed_ms.ln()) }
    }

    /// ln of the density of a gap of `gap_ms` (at least 1), per ms.
    pub fn log_density(&self, gap_ms: f64) -> f64 {
        let log = gap_ms.max(1.0).ln();
        let one = |c: &Component| {
            let z = (log - c.mean) / c.deviation;
            c.share.ln() - 0.5 * z * z - c.deviation.ln() - 0.5 * std::f64::consts::TAU.ln()
        };
        let most = self.components.iter().map(one).fold(f64::MIN, f64::max);
        most + self.components.iter().map(|c| (one(c) - most).exp()).sum::<f64>().ln() - log
    }

    fn survival_at(&self, log: f64) -> f64 {
        self.components.iter().map(|c| c.share * survival((log - c.mean) / c.deviation)).sum()
    }
}

/// 1 - Phi(x), to 7.5e-8 (Abramowitz & Stegun 26.2.17).
fn survival(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let tail =
        series.into_iter().fold(0.0, |sum, c| (sum + c) * t) * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    if x < 0.0 { 1.0 - tail } else { tail }
}
