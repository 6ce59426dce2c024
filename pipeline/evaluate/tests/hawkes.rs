//! The compensator is the integral of the intensity; EM never makes its objective worse; what is old is forgotten.

use super::em::assert_falls;
use super::worlds;
use crate::evaluate::baselines::Hawkes;
use crate::evaluate::baselines::hawkes::excitation::Excitations;
use crate::evaluate::baselines::hawkes::fit::{Fit, Statistics};
use crate::evaluate::baselines::hawkes::parameters::{Features, Parameters};
use crate::evaluate::prequential::score;
use crate::evaluate::regimes::Truth;
use crate::evaluate::{Forecaster, Score};

#[test]
fn em_of_hawkes_never_rises() {
    let stream = worlds::stream(&worlds::hawkes(), 6000);
    let mut objective = Vec::new();
    Fit::new(stream.whole(), &[0.3, 2.0]).run(80, |nats| objective.push(nats));
    assert_falls(&objective);
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
fn excitation_is_the_sum_over_all_that_happened() {
    let stream = worlds::stream(&worlds::hawkes(), 3000);
    let (past, rates) = (stream.whole(), [0.2, 1.7]);
    let mut excitations = Excitations::new(past, &rates);
    for position in (0..past.len()).step_by(11).chain([40, 2000, 41]) {
        let now = past.event(position).time_ms;
        let expected = |rate: f64, kind: u32| -> f64 {
            let own = past.history(position).iter().map(|i| past.event(*i as usize)).filter(|e| e.kind == kind);
            own.map(|e| (-rate * (now - e.time_ms) as f64 / past.unit_ms()).exp()).sum()
        };
        let cells = rates.iter().flat_map(|rate| (0..3).map(move |kind| (*rate, kind)));
        for (x, (rate, kind)) in excitations.after(past, position).iter().zip(cells) {
            assert!((x - expected(rate, kind)).abs() < 1e-9, "{x} at {position}, rate {rate}, kind {kind}");
        }
    }
}

#[test]
fn statistics_forget_by_half_lives() {
    let mut statistics = Statistics { caused: vec![600.0, 200.0], exposure: vec![40.0, 8.0] };
    statistics.forget(256, 128.0);
    assert_eq!((statistics.caused.as_slice(), statistics.exposure.as_slice()), (&[150.0, 50.0][..], &[10.0, 2.0][..]));
    statistics.cap(f64::INFINITY);
    assert_eq!(statistics.caused, [150.0, 50.0]);
    statistics.cap(100.0 * std::f64::consts::LN_2);
    assert!(
        (statistics.caused[0] - 75.0).abs() < 1e-9 && (statistics.exposure[1] - 1.0).abs() < 1e-9,
        "{statistics:?}"
    );
}

#[test]
fn online_hawkes_follows_the_regimes() {
    let each = 5000;
    let process = worlds::there_and_back(each);
    let stream = worlds::stream(&process, 3 * each);
    let mut model = Hawkes::default();
    model.tune(stream.until(2 * each), each).unwrap();
    model.fit(stream.until(each)).unwrap();
    assert_eq!(model.half_life(), 1000.0, "the shortest, since the validation part is another regime");
    let mut truth = Truth::new(&process);
    truth.fit(stream.until(each)).unwrap();
    let [learner, truth]: [Vec<f64>; 2] = [&mut model as &mut dyn Forecaster, &mut truth]
        .map(|model| score(stream.whole(), each, model).unwrap().figures(Score::nats));
    let regret = |range: std::ops::Range<usize>| {
        let n = range.len() as f64;
        range.map(|i| learner[i] - truth[i]).sum::<f64>() / n
    };
    assert!(regret(0..256) > 0.3, "before the first block is learned: {}", regret(0..256));
    // One pass of EM a block is slow, but it gets there.
    assert!(regret(each - 1000..each) < 0.1, "at the end of the second regime: {}", regret(each - 1000..each));
}
