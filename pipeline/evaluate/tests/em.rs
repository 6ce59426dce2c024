//! EM never makes its objective worse.

use super::worlds;
use crate::evaluate::baselines::em::Fit;

const FIT: Fit = Fit { components: 3, iterations: 40, prior: 20.0 };

/// It falls, by all that matters in the first passes, and never rises but for rounding.
pub fn assert_falls(objective: &[f64]) {
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
fn a_mixture_of_nothing_is_wide_and_one_of_equal_gaps_keeps_its_width() {
    let none = FIT.pooled(&[], |_| ());
    assert!(none.iter().all(|m| m.component(3.0).sigma == 2.0 && m.component(3.0).mean == 0.0));
    let equal = FIT.pooled(&[0.7; 100], |_| ());
    let all = equal.iter().map(|m| m.count).sum();
    for component in equal.iter().map(|m| m.component(all)) {
        assert!((component.mean - 0.7).abs() < 1e-9 && component.sigma == 0.05, "{component:?}");
    }
}
