//! Baselines against their definitions, computed anew for every event.

use super::worlds;
use crate::evaluate::baselines::marginal::{Marginal, Marginals};
use crate::evaluate::baselines::{Blend, Independent, User, bigram, constant};
use crate::evaluate::prequential::{Step, steps};
use crate::evaluate::{Forecaster, Past, Score, Stream, prequential};

/// Passes through the scored half and compares each forecast with `expected` of its place.
fn compare(model: &mut dyn Marginal, stream: &Stream, mut expected: impl FnMut(Past<'_>, usize) -> Vec<f64>) {
    let split = stream.split();
    model.fit(stream.until(split.scored));
    for step in steps(stream.whole(), split.scored) {
        match step {
            Step::Fold(position) => model.learn(stream.until(position + 1), position),
            Step::Issue { after, .. } => {
                let (seen, mut forecast) = (after.max(split.scored - 1) + 1, Marginals::default());
                let past = stream.until(seen);
                model.forecast(past, after, &mut forecast);
                for (p, q) in forecast.kinds.iter().zip(expected(past, after)) {
                    assert!((p - q).abs() < 1e-9, "{p} is not {q}, after {after}");
                }
                let weights: f64 = forecast.gap.iter().map(|component| component.weight).sum();
                assert!((weights - 1.0).abs() < 1e-9);
            }
        }
    }
}

/// Counts of types among events that `which` takes.
fn counts(past: Past<'_>, which: impl Fn(usize) -> bool) -> Vec<f64> {
    let mut counts = vec![0.0; past.kinds()];
    (0..past.len()).filter(|i| which(*i)).for_each(|i| counts[past.event(i).kind as usize] += 1.0);
    counts
}

/// Shares of counts to each of which `more` is added.
fn shares(counts: &[f64], more: f64) -> Vec<f64> {
    let sum: f64 = counts.iter().map(|count| count + more).sum();
    counts.iter().map(|count| (count + more) / sum).collect()
}

#[test]
fn constant_and_bigram_count_targets() {
    let stream = worlds::stream(&worlds::hawkes(), 1200);
    compare(&mut constant(), &stream, |past, _| shares(&counts(past, |i| past.previous(i).is_some()), 1.0 + 1e-3));
    compare(&mut bigram(), &stream, |past, after| {
        let follows = |i: usize| past.previous(i).is_some_and(|j| past.event(j).kind == past.event(after).kind);
        shares(&counts(past, follows), 1.0 + 1e-3)
    });
}

#[test]
fn user_adds_his_own_counts_to_everybody_s() {
    let stream = worlds::stream(&worlds::hawkes(), 1200);
    let mut model = User::default();
    let prior = model.priors().kind;
    compare(&mut model, &stream, |past, after| {
        let everybody = shares(&counts(past, |_| true), 1.0);
        let own = counts(past, |i| past.event(i).user == past.event(after).user && i <= after);
        let all: f64 = own.iter().sum();
        own.iter().zip(everybody).map(|(own, p)| (own + prior * p) / (all + prior)).collect()
    });
}

#[test]
fn blend_is_about_as_good_as_its_best_part() {
    let stream = worlds::stream(&worlds::hawkes(), 12_000);
    let mut blend = Independent::new("blend", Blend::default());
    let nats = |model: &mut dyn Forecaster| prequential(&stream, model).unwrap().mean(Score::nats);
    let parts = [
        nats(&mut Independent::new("constant", constant())),
        nats(&mut Independent::new("bigram", bigram())),
        nats(&mut Independent::new("user", User::default())),
    ];
    let blended = nats(&mut blend);
    // Weights follow only the last thousand events, and slowly.
    assert!(blended < parts[1] + 0.03 && blended < parts[0] - 0.05 && blended < parts[2] - 0.05, "{blended} {parts:?}");
    let (kinds, gaps) = blend.model().weights();
    assert!(kinds[1] > kinds[0] && kinds[1] > kinds[2], "{kinds:?}");
    for weights in [kinds, gaps] {
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && weights.iter().all(|w| *w > 0.0));
    }
}
