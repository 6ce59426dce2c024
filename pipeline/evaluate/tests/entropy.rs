//! No model beats the truth, and each comes as near to it as its form allows.

use super::worlds::{self, UNIT_MS};
use crate::evaluate::baselines::all;
use crate::evaluate::regimes::{Process, Truth};
use crate::evaluate::{Score, Scores, Stream, prequential};

fn truth(process: &Process, stream: &Stream) -> Scores {
    prequential(stream, &mut Truth::new(process)).unwrap()
}

/// Mean and standard error of what `model` scores more than `truth`.
fn regret(model: &Scores, truth: &Scores) -> (f64, f64) {
    let more: Vec<f64> = model.each.iter().zip(&truth.each).map(|(a, b)| a.nats() - b.nats()).collect();
    let n = more.len() as f64;
    let mean = more.iter().sum::<f64>() / n;
    let variance = more.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, (variance / n).sqrt())
}

#[test]
fn the_truth_scores_the_entropy() {
    let process = worlds::poisson();
    let stream = worlds::stream(&process, 40_000);
    let scores = truth(&process, &stream);
    let rate = process.regimes[0].base.iter().sum::<f64>() * stream.unit_ms() / UNIT_MS;
    let kinds: f64 = process.regimes[0].base.iter().map(|p| -p * p.ln()).sum();
    let entropy = 1.0 - rate.ln() + kinds;
    let deviation = scores.each.iter().map(|s| (s.nats() - entropy).powi(2)).sum::<f64>() / scores.each.len() as f64;
    let error = (deviation / scores.each.len() as f64).sqrt();
    let mean = scores.mean(Score::nats);
    assert!((mean - entropy).abs() < 3.0 * error, "{mean} of an entropy of {entropy} ± {error}");
}

#[test]
fn no_model_beats_a_poisson_process_and_all_come_close() {
    let process = worlds::poisson();
    let stream = worlds::stream(&process, 20_000);
    let truth = truth(&process, &stream);
    for mut model in all() {
        let scores = prequential(&stream, model.as_mut()).unwrap();
        let (more, error) = regret(&scores, &truth);
        assert!(more > -3.0 * error, "{}: {more} ± {error} below the entropy", model.name());
        // A log-normal is no exponential: `user` has only one.
        assert!(more < if model.name() == "user" { 0.3 } else { 0.05 }, "{}: {more} above", model.name());
    }
}

#[test]
fn no_model_beats_a_hawkes_process_and_the_hawkes_model_finds_it() {
    let process = worlds::hawkes();
    let stream = worlds::stream(&process, 20_000);
    let truth = truth(&process, &stream);
    for mut model in all() {
        let scores = prequential(&stream, model.as_mut()).unwrap();
        let (more, error) = regret(&scores, &truth);
        assert!(more > -3.0 * error, "{}: {more} ± {error} below the entropy", model.name());
        let simple = model.name() != "hawkes";
        assert_eq!(more > 0.02, simple, "{}: {more} above the truth", model.name());
    }
}
