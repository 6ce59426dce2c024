//! What a forecast says of its density, its median and its likeliest type is one and the same distribution.

use super::worlds;
use crate::evaluate::Outcome;
use crate::evaluate::baselines::all;
use crate::evaluate::regimes::Truth;

/// Units in which a whole number of ms is as good as any number.
const UNIT_MS: f64 = 1e12;
/// Gaps from e^-18 to e^18 units.
const REACH: f64 = 18.0;
const STEP: f64 = 0.01;

#[test]
fn a_forecast_is_one_distribution() {
    let process = worlds::hawkes();
    let stream = worlds::stream(&process, 6000);
    let (split, kinds) = (stream.split(), process.kinds());
    let past = stream.until(split.scored);
    let grid: Vec<f64> = (0..(2.0 * REACH / STEP) as usize).map(|i| (STEP * i as f64 - REACH).exp()).collect();
    let mut models = all();
    models.push(Box::new(Truth::new(&process)));
    for mut model in models {
        model.tune(past, split.warm_up).unwrap();
        model.fit(past).unwrap();
        for after in [split.scored - 1, split.scored / 2, 10] {
            let outcome = |kind, gap: f64| Outcome {
                position: 0,
                kind: kind as u32,
                gap_ms: (gap * UNIT_MS) as i64,
                unit_ms: UNIT_MS,
            };
            let outcomes: Vec<Outcome> =
                grid.iter().flat_map(|gap| (0..kinds).map(move |kind| outcome(kind, *gap))).collect();
            let mut judgments = Vec::new();
            model.issue(past, &vec![after; outcomes.len()]).unwrap();
            model.score(&outcomes, &mut judgments).unwrap();
            let (mut by_kind, mut below) = (vec![0.0; kinds], 0.0);
            for (row, gap) in judgments.chunks(kinds).zip(&grid) {
                let all: f64 = row.iter().map(|judgment| (-judgment.kind_nats).exp()).sum();
                assert!((all - 1.0).abs() < 1e-9, "{}: types sum to {all} at {gap}", model.name());
                for (sum, judgment) in by_kind.iter_mut().zip(row) {
                    let mass = (-judgment.gap_nats - judgment.kind_nats).exp() * gap * STEP;
                    *sum += mass;
                    below += if *gap < judgment.median_gap { mass } else { 0.0 };
                }
            }
            let all: f64 = by_kind.iter().sum();
            assert!((all - 1.0).abs() < 1e-3, "{}: the density integrates to {all}", model.name());
            assert!((below - 0.5).abs() < 1e-2, "{}: {below} is below the median", model.name());
            let likely = by_kind[judgments[0].likely_kind as usize];
            assert!(by_kind.iter().all(|p| *p < likely + 1e-3), "{}: {by_kind:?}", model.name());
        }
    }
}
