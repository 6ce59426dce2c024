//! The process is the one it says, and a learner follows its regimes.

use super::worlds;
use crate::evaluate::baselines::{Independent, bigram};
use crate::evaluate::prequential::score;
use crate::evaluate::regimes::{Truth, events_until_back};
use crate::evaluate::{Forecaster, Score, Stream};

#[test]
fn one_seed_is_one_stream_in_stream_order() {
    let process = worlds::there_and_back(1000);
    let events = process.events(4000);
    assert_eq!(events, process.events(4000));
    assert_eq!(events[..2000], process.events(2000), "a longer stream begins like a shorter one");
    assert_eq!(events, Stream::new(events.clone(), process.kinds()).unwrap().whole().events());
    assert_eq!([0, 999, 1000, 1999, 2000, 5000].map(|i| process.regime(i)), [0, 0, 1, 1, 0, 0]);
    let other = crate::evaluate::regimes::Process { seed: 99, ..process };
    assert_ne!(events, other.events(4000));
}

/// Each regime's own density fits its stretch better than the other's does.
#[test]
fn the_truth_knows_which_regime_is_in_force() {
    let process = worlds::there_and_back(4000);
    let stream = worlds::stream(&process, 12_000);
    let nats = |process: &_| {
        let mut truth = Truth::new(process);
        truth.fit(stream.until(0)).unwrap();
        score(stream.whole(), 0, &mut truth).unwrap()
    };
    let truth = nats(&process);
    let mut swapped = process.clone();
    swapped.stretches.iter_mut().for_each(|stretch| stretch.regime = 1 - stretch.regime);
    let swapped = nats(&swapped);
    for stretch in 0..3 {
        let within = |scores: &crate::evaluate::Scores| {
            let range = stretch * 4000..(stretch + 1) * 4000;
            let own: Vec<f64> = scores
                .positions
                .iter()
                .zip(&scores.each)
                .filter(|(position, _)| range.contains(*position))
                .map(|(_, score)| score.nats())
                .collect();
            own.iter().sum::<f64>() / own.len() as f64
        };
        assert!(within(&truth) + 0.2 < within(&swapped), "stretch {stretch}");
    }
}

/// What the generator says of an event is what the forecaster that knows the process says, but for the unit.
#[test]
fn the_draws_tell_how_likely_they_were() {
    let process = worlds::there_and_back(1000);
    let stream = worlds::stream(&process, 3000);
    let mut truth = Truth::new(&process);
    truth.fit(stream.until(0)).unwrap();
    let scores = score(stream.whole(), 0, &mut truth).unwrap();
    let drawn: Vec<_> = process.draws().take(3000).collect();
    assert_eq!(drawn.iter().filter(|drawn| drawn.truth_nats.is_none()).count(), process.users as usize);
    let unit = (stream.whole().unit_ms() / process.unit_ms).ln();
    let mut compared = 0;
    for (position, score) in scores.positions.iter().zip(&scores.each) {
        // Gaps of the same millisecond are drawn as one millisecond; the protocol has its own floor.
        let own = drawn[*position].truth_nats.unwrap() - unit;
        assert!((own - score.nats()).abs() < 1e-6, "{position}: {own} {}", score.nats());
        compared += 1;
    }
    assert!(compared > 2500, "{compared}");
}

/// Λ at the event is exponential of mean one (the time-rescaling theorem): so is its variance.
#[test]
fn rescaled_gaps_are_exponential() {
    let process = worlds::hawkes();
    let stream = worlds::stream(&process, 20_000);
    let past = stream.whole();
    let regime = &process.regimes[0];
    let rescaled: Vec<f64> = past
        .targets(0..past.len())
        .map(|target| {
            let (mut at, mut excited) = (0.0, vec![0.0; process.kinds()]);
            for position in past.history(past.previous(target).unwrap()) {
                let event = past.event(*position as usize);
                let gap = (event.time_ms as f64 - at) / process.unit_ms;
                excited.iter_mut().for_each(|x| *x *= (-regime.decay * gap).exp());
                excited[event.kind as usize] += 1.0;
                at = event.time_ms as f64;
            }
            let gap = past.gap_ms(target) as f64 / process.unit_ms;
            let added: f64 =
                regime.excitation.iter().flat_map(|row| row.iter().zip(&excited)).map(|(a, x)| a * x).sum();
            regime.base.iter().sum::<f64>() * gap + added * (1.0 - (-regime.decay * gap).exp()) / regime.decay
        })
        .collect();
    let n = rescaled.len() as f64;
    let mean = rescaled.iter().sum::<f64>() / n;
    let variance = rescaled.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    // Gaps still open at the end are missing, the longest ones: 150 of them, so the mean is a little low.
    assert!((mean - 1.0).abs() < 0.03 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");
}

#[test]
fn a_learner_follows_the_regimes_and_is_measured_when_it_is_back() {
    let each = 6000;
    let process = worlds::there_and_back(each);
    let stream = worlds::stream(&process, 3 * each);
    let mut model = Independent::new("bigram", bigram());
    model.tune(stream.until(2 * each), each).unwrap();
    model.fit(stream.until(each)).unwrap();
    let mut truth = Truth::new(&process);
    truth.fit(stream.until(each)).unwrap();
    let learner = score(stream.whole(), each, &mut model).unwrap();
    let truth = score(stream.whole(), each, &mut truth).unwrap();
    let regret: Vec<f64> = learner.each.iter().zip(&truth.each).map(|(a, b)| a.nats() - b.nats()).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    // Right after a change it is at its worst.
    assert!(mean(&regret[..300]) > mean(&regret[each / 2..each]) + 0.1);
    let nats = learner.figures(Score::nats);
    let settled = mean(&nats[nats.len() - each / 2..]);
    let back = events_until_back(&nats, each, settled, 0.05, 300).unwrap();
    assert!((300..each / 2).contains(&back), "back after {back} events");
}

#[test]
fn being_back_is_the_end_of_the_first_window_that_is_near() {
    let nats = [1.0, 1.0, 3.0, 2.0, 1.1, 1.0, 1.0, 1.0];
    assert_eq!(events_until_back(&nats, 2, 1.0, 0.05, 2), Some(4));
    assert_eq!(events_until_back(&nats, 2, 0.5, 0.05, 2), None);
    assert_eq!(events_until_back(&[-1.0, 0.0, -0.96], 1, -1.0, 0.05, 1), Some(2), "below zero too");
}
