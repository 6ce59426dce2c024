//! Log-normal mixtures of gaps: density and median.

/// No sigma (of the natural logarithm) is below this: no model gains density from the resolution of a clock.
pub const SIGMA_MIN: f64 = 0.05;
/// ln √(2π).
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// One log-normal of a mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Its share, above 0.
    pub weight: f64,
    /// Mean of the log gap.
    pub mean: f64,
    /// Standard deviation of the log gap, at least [`SIGMA_MIN`].
    pub sigma: f64,
}

/// −log density, per unit, of the gap with logarithm `y` under a mixture.
pub fn nats(mixture: &[Component], y: f64) -> f64 {
    let exponent = |c: &Component| {
        let z = (y - c.mean) / c.sigma;
        (c.weight / c.sigma).ln() - 0.5 * z * z
    };
    let largest = mixture.iter().map(exponent).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = mixture.iter().map(|c| (exponent(c) - largest).exp()).sum();
    LN_SQRT_2PI + y - largest - sum.ln()
}

/// Logarithm of the median gap of a mixture whose weights sum to one, by bisection.
pub fn log_median(mixture: &[Component]) -> f64 {
    let (mut low, mut high) = mixture.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), c| {
        (low.min(c.mean - 8.0 * c.sigma), high.max(c.mean + 8.0 * c.sigma))
    });
    while high - low > 1e-6 {
        let middle = 0.5 * (low + high);
        let below: f64 = mixture.iter().map(|c| c.weight * normal_cdf((middle - c.mean) / c.sigma)).sum();
        if below < 0.5 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The standard normal distribution function, within 1e-7 (Abramowitz and Stegun, 26.2.17).
pub fn normal_cdf(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let polynomial =
        t * (0.319_381_53 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-0.5 * z * z - LN_SQRT_2PI).exp() * polynomial;
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// The share that each component of `mixture` has in the log gap `y`, into `shares`; returns −log density of `y`
/// itself, in nats.
pub fn shares(mixture: &[Component], y: f64, shares: &mut [f64]) -> f64 {
    let mut largest = f64::NEG_INFINITY;
    for (share, c) in shares.iter_mut().zip(mixture) {
        let z = (y - c.mean) / c.sigma;
        *share = (c.weight / c.sigma).ln() - 0.5 * z * z;
        largest = largest.max(*share);
    }
    let mut sum = 0.0;
    for share in shares.iter_mut() {
        *share = (*share - largest).exp();
        sum += *share;
    }
    shares.iter_mut().for_each(|share| *share /= sum);
    LN_SQRT_2PI - largest - sum.ln()
}
