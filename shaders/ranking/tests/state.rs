//! Saving, loading, growing; and what is refused.

use super::world::{configs, examples, small};
use crate::ops::tensors::{from_safetensors, to_safetensors};
use crate::ranking::{Config, LearningRates, Long, Model, Scorer, Weights};
use crate::{Device, Error};

const SIZES: [(usize, usize); 3] = [(7, 5), (0, 4), (12, 6)];

fn learned(config: &Config, steps: u64) -> Model {
    let mut model = Model::new(&Device::Cpu, config.clone()).unwrap();
    for step in 0..steps {
        model.step(&examples(config, &SIZES, step), &LearningRates::plain(5e-3)).unwrap();
    }
    model
}

#[test]
fn a_loaded_model_goes_on_to_the_same_bits() {
    for config in configs() {
        let mut model = learned(&config, 3);
        let file = to_safetensors(&model.save());
        let other = Config { items: 1, categories: 1, actions: 1, seed: 77, ..config.clone() };
        let mut loaded = Model::load(&Device::Cpu, other.clone(), from_safetensors(&file).unwrap()).unwrap();
        let batch = examples(&config, &SIZES, 50);
        let mut fresh =
            Model::from_weights(&Device::Cpu, Config { seed: config.seed, ..other }, model.weights()).unwrap();
        assert_eq!(model.score(&batch).unwrap(), fresh.score(&batch).unwrap());
        for step in 3..6 {
            let batch = examples(&config, &SIZES, step);
            let rates = LearningRates { row_decay: 0.1, weight_decay: 0.1, ..LearningRates::default() };
            assert_eq!(model.step(&batch, &rates).unwrap(), loaded.step(&batch, &rates).unwrap());
        }
        assert!(model.save() == loaded.save(), "{config:?}");
    }
}

#[test]
fn a_grown_model_keeps_its_scores_and_its_new_rows_are_those_of_a_large_one() {
    for config in configs() {
        let mut model = learned(&config, 3);
        let batch = examples(&config, &SIZES, 50);
        let before = model.score(&batch).unwrap();
        model.grow(20, 6, 5).unwrap();
        assert_eq!(model.score(&batch).unwrap(), before);
        let large = Config { items: 20, categories: 6, actions: 5, ..config.clone() };
        assert_eq!(model.config(), &large);
        assert!(model.step(&examples(&large, &SIZES, 51), &LearningRates::default()).unwrap().applied);
        // Grown before the first step, it is the large one, but for the rest of its tensors' streams.
        let mut grown = Model::new(&Device::Cpu, config).unwrap();
        grown.grow(20, 6, 5).unwrap();
        assert!(grown.save() == Model::new(&Device::Cpu, large).unwrap().save());
        let error = grown.grow(19, 6, 5).unwrap_err();
        assert!(matches!(&error, Error::Shape(what) if what.contains("shrink")), "{error}");
    }
}

#[test]
fn a_row_that_begins_anew_is_that_of_a_new_model() {
    let config = small();
    let (new, mut model) = (learned(&config, 0), learned(&config, 5));
    let before = model.items.clone();
    model.renew_items([4]);
    assert_ne!(before.row(4), new.items.row(4), "it had learned");
    assert_eq!(model.items.row(4), new.items.row(4));
    for row in [0, 1, 2, 3, 5, 6, 7, 8] {
        assert_eq!(model.items.row(row), before.row(row), "row {row} keeps what it has learned");
    }
    let mut loaded = Model::load(&Device::Cpu, config.clone(), model.save()).unwrap();
    let batch = examples(&config, &SIZES, 6);
    let rates = LearningRates::default();
    assert_eq!(model.step(&batch, &rates).unwrap(), loaded.step(&batch, &rates).unwrap());
    assert!(model.save() == loaded.save());
}

#[test]
fn who_scores_takes_one_version_after_the_other_as_they_were() {
    let mut scorer = Scorer::new(&Device::Cpu);
    for config in configs() {
        let mut model = learned(&config, 2);
        let of = |model: &Model| Weights::new(Config { items: 1, seed: 5, ..config.clone() }, model.weights()).unwrap();
        let before = of(&model);
        model.grow(20, 6, 5).unwrap();
        let large = model.config().clone();
        assert!(model.step(&examples(&large, &SIZES, 9), &LearningRates::default()).unwrap().applied);
        let after = of(&model);
        assert_eq!((before.config().items, after.config().items), (config.items, 20));
        for (weights, as_it_was) in [(&before, learned(&config, 2)), (&after, model), (&before, learned(&config, 2))] {
            let (mut as_it_was, batch) = (as_it_was, examples(&config, &SIZES, 50));
            assert_eq!(scorer.score(weights, &batch).unwrap(), as_it_was.score(&batch).unwrap());
        }
    }
    let config = small();
    let mut named = learned(&config, 1).weights();
    named.remove("tower.0.bias");
    let error = Weights::new(config, named).unwrap_err();
    assert!(error.to_string().contains("tower.0.bias is missing"), "{error}");
}

#[test]
fn row_zero_stays_zero() {
    let config = small();
    let model = learned(&config, 5);
    assert_eq!(model.items.embedding.gather(&[0]), vec![0.0; config.item_width]);
    assert_eq!(model.categories.embedding.gather(&[0]), vec![0.0; config.category_width]);
    assert_ne!(model.items.embedding.gather(&[1]), vec![0.0; config.item_width]);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_changes() {
    let config = Config { long: Long::Muse, ..small() };
    let mut model = learned(&config, 1);
    let before = model.save();
    let good = examples(&config, &SIZES, 1);
    let mut faults = vec![];
    let mut fault = |words: &'static str, change: &dyn Fn(&mut crate::ranking::Examples)| {
        let mut examples = good.clone();
        change(&mut examples);
        faults.push((words, examples));
    };
    fault("candidate_offsets", &|examples| examples.candidate_offsets[1] += 100);
    fault("behavior_keys", &|examples| examples.behavior_keys.truncate(3));
    fault("tiers", &|examples| examples.tiers.clear());
    fault("candidate_rows of a model with 9 rows", &|examples| examples.candidate_rows[2] = 9);
    fault("behavior 7 was found among 7 of request 0", &|examples| examples.found_behaviors[0] = 7);
    fault("found_offsets", &|examples| examples.found_offsets.clear());
    fault("number 3 of inputs is NaN", &|examples| examples.inputs[3] = f32::NAN);
    fault("a label is 0.5", &|examples| examples.labels[1] = 0.5);
    for (words, examples) in faults {
        let error = model.step(&examples, &LearningRates::default()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(model.save() == before);
    for (words, config) in [
        ("dim", Config { dim: 0, ..small() }),
        ("row 0", Config { items: 0, ..small() }),
        ("dropout", Config { dropout: 1.0, ..small() }),
    ] {
        let error = Model::new(&Device::Cpu, config).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let error = Model::load(&Device::Cpu, config, model.weights()).unwrap_err();
    assert!(error.to_string().contains("counters is missing"), "{error}");
}
