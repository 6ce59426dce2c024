//! The survival function of the standard normal distribution, far into its tail.

use super::real::Real;
use super::vectorized::Isa;

/// From here on Mills' ratio is a continued fraction; below, a series.
const TAIL: f64 = 2.0;

/// (ln Q(x), phi(x) / Q(x)): the logarithm of the survival function Q(x) = 1 - Phi(x), and the hazard, which is minus
/// its slope. Laplace's continued fraction of Mills' ratio, and the series of Phi (Abramowitz & Stegun 26.2.11, 14).
#[inline(always)]
pub(crate) fn log_survival<T: Real, I: Isa>(x: T) -> (T, T) {
    let half_square = T::of(0.5) * x * x;
    let log_root = T::of(0.5 * (2.0 * std::f64::consts::PI).ln());
    if x > T::of(TAIL) {
        // Q / phi = 1 / (x + 1 / (x + 2 / (x + 3 / ...))).
        let mut fraction = x;
        for n in (1..=60).rev() {
            fraction = x + T::of(n as f64) / fraction;
        }
        return (-half_square - log_root - fraction.fast_ln::<I>(), fraction);
    }
    // Phi(x) - 1/2 = phi(x) (x + x^3 / 3 + x^5 / (3 5) + ...); far below, Q is 1.
    let near = if x < T::of(-9.0) { T::of(-9.0) } else { x };
    let density = (-T::of(0.5) * near * near - log_root).fast_exp::<I>();
    let (mut term, mut sum) = (near, near);
    for n in 1..100 {
        term *= near * near / T::of((2 * n + 1) as f64);
        sum += term;
    }
    let survival = T::of(0.5) - density * sum;
    (survival.fast_ln::<I>(), (-half_square - log_root).fast_exp::<I>() / survival)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::vectorized::Baseline;

    #[test]
    fn survival_is_right_from_one_end_to_the_other() {
        // ln Q, computed to 20 digits elsewhere: mpmath's log(erfc(x / sqrt(2)) / 2).
        let known = [
            (0.0, -std::f64::consts::LN_2),
            (1.0, -1.841_021_645_009_263_8),
            (-1.0, -0.172_753_779_023_449_9),
            (-3.0, -0.001_350_809_964_748_202_8),
            (2.9, -6.284_058_234_947_419),
            (5.0, -15.064_998_393_988_72),
            (10.0, -53.231_285_151_512_47),
            (40.0, -804.608_442_013_754),
        ];
        for (x, expected) in known {
            let (found, _) = log_survival::<f64, Baseline>(x);
            assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{x}: {found} {expected}");
            let (single, _) = log_survival::<f32, Baseline>(x as f32);
            assert!((f64::from(single) - expected).abs() < 2e-6 + 1e-6 * expected.abs(), "{x}: {single} {expected}");
        }
        for step in -120..200 {
            let (x, h) = (f64::from(step) * 0.1, 1e-5);
            let slope = (log_survival::<f64, Baseline>(x + h).0 - log_survival::<f64, Baseline>(x - h).0) / (2.0 * h);
            let (_, hazard) = log_survival::<f64, Baseline>(x);
            assert!((slope + hazard).abs() < 1e-6 * hazard.max(1e-3) + 2e-10, "{x}: {slope} {hazard}");
        }
    }
}
