//! The learner: gradients of the whole loss, frozen parts, the pool's clock, bad numbers, saving and growing.

use std::sync::Arc;

use super::world::{World, small};
use crate::Device;
use crate::ops::tensors::{Entry, Named, from_safetensors, to_safetensors};
use crate::ops::{Cpu, Real};
use crate::prompt_tpp::batch::Making;
use crate::prompt_tpp::{Config, Goal, LearningRates, Model, Network, Part};

/// Loss and gradient at `parameters`.
fn loss<T: Real>(config: &Config, world: &World, parameters: &[T], gradient: Option<&mut [T]>) -> f64 {
    let (tensors, _) = config.tensors();
    let network = Network::record(config, &tensors, Goal::Learn);
    let penalties = vec![vec![T::ZERO; config.pool]; config.pools()];
    let position = &mut || 0.3;
    let mut making = Making { config, goal: Goal::Learn, penalties: &penalties, position, samples: 3, grid: None };
    let feed = making.feed(&network.tape, &world.batch());
    Cpu::new(Arc::new(network.tape)).run(parameters, &feed, gradient).losses.iter().sum()
}

#[test]
fn the_gradient_of_the_whole_loss_is_right_to_nine_digits() {
    let world = World::new(&[6, 1, 4, 7], 5, 1);
    for (self_token, relative) in [(false, true), (true, false)] {
        let config = Config { self_token, relative, time_width: 2, order_width: 2, width: 4, hidden: 5, ..small() };
        let model = Model::new(&Device::Cpu, config.clone(), 3).unwrap();
        let mut parameters: Vec<f64> = model.parameters.iter().map(|&x| f64::from(x)).collect();
        // Nothing is at a special point.
        parameters.iter_mut().enumerate().for_each(|(n, x)| *x += 0.05 * (n as f64 * 1.7).sin());
        let mut gradient = vec![0.0; parameters.len()];
        loss(&config, &world, &parameters, Some(&mut gradient));
        let single: Vec<f32> = parameters.iter().map(|&x| x as f32).collect();
        let mut in_f32 = vec![0.0; single.len()];
        loss(&config, &world, &single, Some(&mut in_f32));
        // What chooses the prompts is detached from the distance of their keys.
        let detached = Config { match_weight: 0.0, ..config.clone() };
        let chooses =
            |name: &str| name.starts_with("embedding") || name.starts_with("before") || name.starts_with("features");
        let (tensors, _) = config.tensors();
        let size = gradient.iter().fold(0.0f64, |size, g| size.max(g.abs()));
        for (place, &g) in gradient.iter().enumerate() {
            assert!((f64::from(in_f32[place]) - g).abs() < 1e-3 * g.abs().max(1e-3 * size), "f32, {place}");
            if place % 7 != 0 {
                continue;
            }
            let tensor = tensors.iter().find(|tensor| tensor.range().contains(&place)).unwrap();
            let config = if chooses(&tensor.name) { &detached } else { &config };
            let at = |shift: f64| {
                let mut moved = parameters.clone();
                moved[place] += shift;
                loss(config, &world, &moved, None)
            };
            let h = 2e-4;
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            assert!((g - slope).abs() < 1e-9 * size.max(1.0), "{place}: {g} {slope}");
        }
    }
}

#[test]
fn what_is_frozen_stays_and_chosen_prompts_move_on_the_pools_clock() {
    let world = World::new(&[12, 12, 12], 5, 2);
    let config = Config { pool_interval: 2, pool: 40, ..small() };
    let mut model = Model::new(&Device::Cpu, config, 3).unwrap();
    let start = model.parameters.clone();
    let rates = LearningRates::prompt(1e-2, 0.0);
    let keys = |model: &Model| model.tensors.get("head0.layer0.value.keys").unwrap().range();
    model.step(&world.batch(), &rates).unwrap();
    assert_eq!(model.parameters, start, "the pool waits for its second step");
    model.step(&world.batch(), &rates).unwrap();
    let parts = model.parts.clone();
    for (tensor, part) in model.tensors.iter().zip(parts) {
        let moved = model.parameters[tensor.range()] != start[tensor.range()];
        assert_eq!(moved, matches!(part, Part::Pool | Part::State), "{}", tensor.name);
    }
    let columns = model.tensors.get("head0.layer0.value.keys").unwrap().columns;
    let usage = &model.usage()[40..80];
    assert_eq!(usage.iter().sum::<u64>(), 2 * 3 * 2);
    let (now, before) = (&model.parameters[keys(&model)], &start[keys(&model)]);
    for (m, (now, before)) in now.chunks(columns).zip(before.chunks(columns)).enumerate() {
        assert_eq!(now != before, usage[m] > 0, "key {m}, chosen {} times", usage[m]);
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_says_so() {
    let world = World::new(&[12, 5], 5, 2);
    let mut model = Model::new(&Device::Cpu, small(), 3).unwrap();
    model.step(&world.batch(), &LearningRates::warm_up()).unwrap();
    let place = model.tensors.get("gap.weight").unwrap().offset;
    model.parameters[place] = f32::NAN;
    let before = model.save();
    let step = model.step(&world.batch(), &LearningRates::warm_up()).unwrap();
    assert!(!step.applied && !step.loss.is_finite());
    assert_eq!(model.save(), before);
}

#[test]
fn a_saved_model_goes_on_to_the_same_bits_through_a_file() {
    let worlds: Vec<World> = (0..5).map(|seed| World::new(&[12, 5, 1, 20], 5, seed)).collect();
    let mut model = Model::new(&Device::Cpu, Config { pool_interval: 3, ..small() }, 3).unwrap();
    let rates = LearningRates { calibration: 1e-2, ..LearningRates::warm_up() };
    for world in &worlds[..2] {
        model.step(&world.batch(), &rates).unwrap();
    }
    let file = to_safetensors(&model.save());
    let saved = from_safetensors(&file).unwrap();
    let config = Config { pool_interval: 3, unit_ms: 1.0, types: 1, ..small() };
    let mut again = Model::load(&Device::Cpu, config, saved).unwrap();
    for world in &worlds[2..] {
        let (a, b) = (model.step(&world.batch(), &rates).unwrap(), again.step(&world.batch(), &rates).unwrap());
        assert_eq!(a, b);
    }
    assert_eq!(model.save(), again.save());
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_everything_that_is_wrong() {
    let model = Model::new(&Device::Cpu, small(), 3).unwrap();
    let refused = |change: &dyn Fn(&mut Named), words: &[&str]| {
        let mut saved = model.save();
        change(&mut saved);
        let error = Model::load(&Device::Cpu, small(), saved).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let lack = |saved: &mut Named| {
        saved.remove("gap.bias");
        saved.insert("type.bias".to_owned(), Entry::floats(vec![2], &[0.0, 1.0]));
    };
    refused(&lack, &["gap.bias is missing", "type.bias is F32 [2], but must be F32 [1, 5]"]);
    refused(&|saved| drop(saved.remove("adam.clocks")), &["adam.clocks is missing"]);
    refused(&|saved| drop(saved.insert("surprise".to_owned(), Entry::integers(&[1]))), &["unknown: surprise"]);
    assert!(from_safetensors(b"no file").is_err());
    let weights = Model::from_weights(&Device::Cpu, small(), model.weights(), 9).unwrap();
    assert_eq!(weights.parameters, model.parameters);
}

#[test]
fn replaced_weights_forecast_as_the_model_they_are_of() {
    let world = World::new(&[12, 5, 30], 5, 2);
    let mut model = Model::new(&Device::Cpu, small(), 3).unwrap();
    let mut serving = Model::from_weights(&Device::Cpu, small(), model.weights(), 0).unwrap();
    serving.forecast(&world.batch()).unwrap();
    for _ in 0..20 {
        model.step(&world.batch(), &LearningRates::prompt(1e-2, 1e-3)).unwrap();
    }
    assert!(serving.replace(model.weights()).unwrap());
    assert_eq!(serving.forecast(&world.batch()).unwrap(), model.forecast(&world.batch()).unwrap());
    assert_eq!(serving.weights(), model.weights());
    model.grow(8).unwrap();
    assert!(!serving.replace(model.weights()).unwrap(), "of other types");
    let mut lacking = serving.weights();
    lacking.remove("gap.bias");
    assert!(serving.replace(lacking).unwrap_err().to_string().contains("gap.bias is missing"));
}

#[test]
fn a_saved_model_knows_whether_its_events_bring_the_time_of_day() {
    for clock in [false, true] {
        let model = Model::new(&Device::Cpu, Config { clock_inputs: clock, ..small() }, 3).unwrap();
        let other = Config { clock_inputs: !clock, ..small() };
        let same = Model::from_weights(&Device::Cpu, other.clone(), model.weights(), 0).unwrap();
        assert_eq!((same.config().clock_inputs, same.weights()), (clock, model.weights()));
        let mut serving = Model::new(&Device::Cpu, other, 3).unwrap();
        assert!(!serving.replace(model.weights()).unwrap(), "of events that bring something else");
    }
}

#[test]
fn a_grown_vocabulary_keeps_what_was_learned() {
    let world = World::new(&[12, 5, 30], 5, 2);
    let mut model = Model::new(&Device::Cpu, small(), 3).unwrap();
    for _ in 0..20 {
        model.step(&world.batch(), &LearningRates::warm_up()).unwrap();
    }
    let (before, clocks) = (model.score(&world.batch()).unwrap(), model.adam.clocks.clone());
    model.grow(8).unwrap();
    assert_eq!((model.config().types, &model.adam.clocks), (8, &clocks));
    let after = model.score(&world.batch()).unwrap();
    assert_eq!(before.gap_nats, after.gap_nats);
    for (before, after) in before.type_nats.iter().zip(&after.type_nats) {
        assert!(after >= before && after - before < 1.0, "{before} {after}");
    }
    let wider = World::new(&[12, 5, 30], 8, 2);
    let first = model.step(&wider.batch(), &LearningRates::warm_up()).unwrap();
    for _ in 0..60 {
        model.step(&wider.batch(), &LearningRates::warm_up()).unwrap();
    }
    let last = model.step(&wider.batch(), &LearningRates::warm_up()).unwrap();
    assert!(last.loss < first.loss - 0.1, "{first:?} {last:?}");
    assert!(model.grow(7).is_err());
    let reloaded = Model::load(&Device::Cpu, small(), model.save()).unwrap();
    assert_eq!(reloaded.config().types, 8);
}

#[test]
fn open_gaps_lengthen_the_forecast_and_so_does_calibration_alone() {
    let mut world = World::new(&[8; 6], 5, 2);
    let late = |model: &mut Model| {
        let gap = model.forecast(&World::new(&[8; 6], 5, 2).batch()).unwrap().gap(0);
        gap.quantile_ms(0.1)
    };
    for b in 0..6 {
        world.open_until_ms[b] = world.times_ms[world.offsets[b + 1] as usize - 1] + 60_000;
    }
    let mut full = Model::new(&Device::Cpu, small(), 3).unwrap();
    let mut calibrated = Model::new(&Device::Cpu, small(), 3).unwrap();
    let (before, start) = (late(&mut full), calibrated.parameters.clone());
    for _ in 0..60 {
        full.step(&world.batch(), &LearningRates::online(1e-2)).unwrap();
        calibrated.step(&world.batch(), &LearningRates::calibrated(3e-2)).unwrap();
    }
    assert!(late(&mut full) > 4.0 * before, "{} {before}", late(&mut full));
    assert!(late(&mut calibrated) > 2.0 * before, "{} {before}", late(&mut calibrated));
    for (tensor, part) in calibrated.tensors.iter().zip(&calibrated.parts) {
        let moved = calibrated.parameters[tensor.range()] != start[tensor.range()];
        assert_eq!(moved, *part == Part::Calibration, "{}", tensor.name);
    }
}

#[test]
fn malformed_batches_are_refused_before_anything_changes() {
    let mut model = Model::new(&Device::Cpu, small(), 3).unwrap();
    let before = model.save();
    let good = World::new(&[4, 3], 5, 2);
    type Case<'a> = (&'a str, &'a dyn Fn(&mut World));
    let cases: [Case<'_>; 6] = [
        ("offsets", &|world| world.offsets[2] = 6),
        ("type 9", &|world| world.types[1] = 9),
        ("times of sequence 1 fall", &|world| world.times_ms[5] = 0),
        ("no event", &|world| world.offsets[1] = 0),
        ("first target", &|world| world.first_target[0] = 1),
        ("contexts", &|world| world.context.truncate(1)),
    ];
    for (words, change) in cases {
        let mut world = good.clone();
        change(&mut world);
        let error = model.step(&world.batch(), &LearningRates::warm_up()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(model.save(), before);
    let nobody = World { offsets: vec![0], ..World::default() };
    assert!(model.forecast(&nobody.batch()).unwrap().is_empty());
    assert!(model.step(&nobody.batch(), &LearningRates::warm_up()).unwrap().targets == 0);
}
