//! EM never makes its objective worse; a compensator is the integral of its intensity.

use super::worlds;
use crate::evaluate::baselines::em::{Fit, quantile};
use crate::evaluate::baselines::hawkes::fit::Fit as HawkesFit;
use crate::evaluate::baselines::hawkes::parameters::{Features, Parameters};

const FIT: Fit = Fit { components: 3, iterations: 40, prior: 20.0 };

/// It falls, by all that matters in the first passes, and never rises but for rounding.
fn assert_falls(objective: &[f64]) {
    for pair in objective.windows(2) {
        assert!(pair[1] <= pair[0] + 1e-9 * pair[0].abs(), "{} after {}", pair[1], pair[0]);
    }
    assert!(objective[objective.len() - 1] < objective[0] - 1.0, "{objective:?}");
}

#[test]
fn em_of_mixtures_never_rises() {
    let stream = worlds::stream(&worlds::hawkes(), 6000);
    let past = stream.whole();
    let gaps: Vec<(usize, f64)> = past
        .targets(0..past.len())
        .map(|i| (past.event(past.previous(i).unwrap()).kind as usize, past.log_gap(i)))
        .collect();
    let mut objective = Vec::new();
    FIT.pooled(&gaps.iter().map(|(_, y)| *y).collect::<Vec<_>>(), |nats| objective.push(nats));
    assert_falls(&objective);
    objective.clear();
    FIT.grouped(&gaps, 3, |nats| objective.push(nats));
    assert_falls(&objective);
}

#[test]
fn em_of_hawkes_never_rises() {
    let stream = worlds::stream(&worlds::hawkes(), 6000);
    let mut objective = Vec::new();
    HawkesFit::new(stream.whole(), &[0.3, 2.0]).run(80, |nats| objective.push(nats));
    assert_falls(&objective);
}

#[test]
fn a_mixture_of_nothing_is_wide_and_one_of_equal_gaps_keeps_its_width() {
    let none = FIT.pooled(&[], |_| ());
    assert!(none.iter().all(|m| m.component(3.0).sigma == 2.0 && m.component(3.0).mean == 0.0));
    let equal = FIT.pooled(&[0.7; 100], |_| ());
    let all = equal.iter().map(|m| m.count).sum();
    for component in equal.iter().map(|m| m.component(all)) {
        assert!((component.mean - 0.7).abs() < 1e-9 && component.sigma == 0.05, "{component:?}");
    }
}

#[test]
fn a_compensator_is_the_integral_of_the_intensity() {
    let (rates, excitation) = ([0.4, 3.0], [0.5, 0.0, 1.7, 0.2, 2.0, 0.0]);
    let rows: Vec<f64> = (0..21).map(|i| 0.05 + 0.03 * f64::from(i % 5)).collect();
    let parameters = Parameters::new(rows, 7);
    let mut features = Features::default();
    let mut intensity = |gap: f64| {
        features.fill(&rates, &excitation, gap);
        let own = parameters.rows().map(|row| row.iter().zip(&features.intensity).map(|(a, x)| a * x).sum::<f64>());
        own.sum::<f64>()
    };
    let (end, steps) = (2.5, 20_000);
    let width = end / f64::from(steps);
    let integral: f64 = (0..steps).map(|step| width * intensity((f64::from(step) + 0.5) * width)).sum();
    let at_end = intensity(end);
    let (nats, _) = parameters.nats(&features, 0);
    assert!((nats + at_end.ln() - integral).abs() < 1e-6, "{} and {integral}", nats + at_end.ln());
}

#[test]
fn quantiles_lie_between_neighbors() {
    assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), Some(2.0));
    assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
    assert_eq!(quantile(&[1.0], 0.9), Some(1.0));
    assert_eq!(quantile(&[], 0.5), None);
}
