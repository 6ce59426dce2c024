//! The same bits whatever the number of threads, the neighbors, the cut of a request.

use super::world::{configs, examples, part};
use crate::Device;
use crate::ranking::{Config, Examples, LearningRates, Model};

/// Requests of all sizes, beyond a tile and a chunk.
const SIZES: [(usize, usize); 8] = [(7, 3), (0, 2), (300, 70), (2, 1), (5, 0), (40, 12), (33, 1), (520, 40)];

fn learned(config: &Config, examples: &Examples, threads: usize) -> Model {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut model = Model::new(&Device::Cpu, config.clone()).unwrap();
    pool.install(|| {
        for _ in 0..4 {
            assert!(model.step(examples, &LearningRates::plain(5e-3)).unwrap().applied);
        }
    });
    model
}

#[test]
fn learning_does_not_depend_on_threads() {
    for config in configs() {
        let examples = examples(&config, &SIZES, 7);
        let [mut one, mut again, mut many] = [1, 1, 5].map(|threads| learned(&config, &examples, threads));
        assert!(one.save() == again.save() && one.save() == many.save(), "{config:?}");
        let scores = one.score(&examples).unwrap();
        assert!(scores == again.score(&examples).unwrap() && scores == many.score(&examples).unwrap());
        assert!(scores.iter().all(|p| (0.0..=1.0).contains(p)));
    }
}

#[test]
fn a_score_depends_on_its_candidate_and_request_alone() {
    for config in configs() {
        let examples = examples(&config, &SIZES, 9);
        let mut model = learned(&config, &examples, 2);
        let scores = model.score(&examples).unwrap();
        for request in 0..examples.requests() {
            let all = examples.candidates_of(request);
            for cut in [all.len(), 1, 17] {
                for start in (0..all.len()).step_by(cut.max(1)) {
                    let candidates = start..(start + cut).min(all.len());
                    let found = model.score(&part(&config, &examples, request, candidates.clone())).unwrap();
                    let expected = &scores[all.start + candidates.start..all.start + candidates.end];
                    assert_eq!(found, expected, "{config:?}: request {request}, candidates {candidates:?}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_asked_and_nothing_is_answered() {
    for config in configs() {
        let mut model = Model::new(&Device::Cpu, config.clone()).unwrap();
        let none = Examples {
            behavior_offsets: vec![0],
            candidate_offsets: vec![0],
            found_offsets: vec![0],
            ..Examples::default()
        };
        assert_eq!(model.score(&none).unwrap(), [0.0; 0]);
        let before = model.save();
        assert!(!model.step(&none, &LearningRates::default()).unwrap().applied);
        assert!(model.save() == before);
    }
}
