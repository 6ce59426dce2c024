//! What is old counts for half after a half-life, and the start for no more than what is remembered.

use super::worlds;
use crate::evaluate::baselines::forgetting::{COMPONENTS, GapMixtures, KindCounts};
use crate::evaluate::baselines::frequencies::Context;

#[test]
fn counts_are_those_of_weights_that_halve() {
    let stream = worlds::stream(&worlds::hawkes(), 2000);
    let half_life = 30.0;
    for context in [Context::None, Context::PreviousKind] {
        let mut counts = KindCounts::fit(stream.until(1000), context, half_life);
        let groups = context.groups(stream.whole());
        let begin: Vec<f64> = (0..groups as u32 * 3).map(|i| counts.probability(i as usize / 3, i % 3)).collect();
        let learned: Vec<u32> = (0..40).map(|i| i * i % 5 % 3).collect();
        learned.iter().for_each(|kind| counts.learn(groups - 1, *kind));
        let left = |ago: usize| 0.5_f64.powf(ago as f64 / half_life);
        let remembered = 1.0 / (1.0 - left(1));
        for kind in 0..3 {
            // Probabilities of the start hold 0.001 of their own for each kind.
            let start = begin[(groups - 1) * 3 + kind as usize] * (remembered + 0.003) - 0.001;
            let own = |(ago, k): (usize, &u32)| if *k == kind { left(ago) } else { 0.0 };
            let newest: f64 = learned.iter().rev().enumerate().map(own).sum();
            let all: f64 = (0..40).map(left).sum::<f64>() + left(40) * remembered;
            let expected = (newest + left(40) * start + 0.001) / (all + 0.003);
            let got = counts.probability(groups - 1, kind);
            assert!((got - expected).abs() < 1e-9, "{got} is not {expected}, {context:?}");
            assert!(groups == 1 || counts.probability(0, kind) == begin[kind as usize], "other groups stay");
        }
    }
}

#[test]
fn mixtures_move_where_gaps_are_now_and_only_if_they_forget() {
    let stream = worlds::stream(&worlds::hawkes(), 2000);
    let fitted = GapMixtures::fit(stream.until(1000), Context::None);
    let mean = |mixtures: &GapMixtures| mixtures.mixture(0).iter().map(|c| c.weight * c.mean).sum::<f64>();
    let learned = |half_life: f64| {
        let mut mixtures = fitted.clone().forgetting(half_life);
        (0..120).for_each(|i| mixtures.learn(0, 5.0 + 0.1 * f64::from(i % 3)));
        assert!((mixtures.mixture(0).iter().map(|c| c.weight).sum::<f64>() - 1.0).abs() < 1e-9);
        mean(&mixtures)
    };
    // In twelve half-lives one part in 4096 is left of gaps below one unit; with none, 120 events stand beside 850.
    assert!((learned(10.0) - 5.1).abs() < 0.01, "{}", learned(10.0));
    assert!(learned(f64::INFINITY) < 1.0, "{}", learned(f64::INFINITY));
    assert_eq!(fitted.mixture(0).len(), COMPONENTS);
}

/// The state of what explains nothing does not sink to zero, where no step of EM could ever raise it.
#[test]
fn a_component_without_gaps_can_come_back() {
    let stream = worlds::stream(&worlds::hawkes(), 2000);
    let mut mixtures = GapMixtures::fit(stream.until(1000), Context::None).forgetting(10.0);
    (0..2000).for_each(|_| mixtures.learn(0, 6.0));
    assert!(mixtures.mixture(0).iter().all(|c| c.weight > 1e-5 && c.mean.is_finite() && c.sigma >= 0.05));
    (0..200).for_each(|_| mixtures.learn(0, -6.0));
    let mean: f64 = mixtures.mixture(0).iter().map(|c| c.weight * c.mean).sum();
    assert!((mean + 6.0).abs() < 0.1, "{mean}");
}
