//! The gradient of the whole loss against finite differences in f64, and both backends against each other.

use std::sync::Arc;

use super::world::{configs, examples};
use crate::ops::Cpu;
use crate::random::generator;
use crate::ranking::batch::Making;
use crate::ranking::{Goal, LearningRates, Model, Network};
use crate::{Choice, Device, Error};

const SIZES: [(usize, usize); 4] = [(7, 3), (0, 2), (2, 1), (5, 4)];

#[test]
fn the_gradient_of_the_loss_is_its_slope() {
    for config in configs() {
        let examples = examples(&config, &SIZES, 3);
        let mut model = Model::new(&Device::Cpu, config.clone()).unwrap();
        // Without it few of so small a tower's units would be awake.
        model.standard.observe(&examples.inputs);
        let tape = Network::record(&config, &model.tensors, Goal::Learn);
        let mut random = generator(5, 0);
        let mut making = Making {
            config: &config,
            items: &model.items.embedding,
            categories: &model.categories.embedding,
            standard: &model.standard,
            random: Some(&mut random),
        };
        let feed = making.feed::<f64>(&tape, &examples);
        let mut parameters: Vec<f64> = model.parameters.iter().map(|&x| f64::from(x)).collect();
        // Away from where the ages' biases are all alike and projections the identity.
        for (n, parameter) in parameters.iter_mut().enumerate() {
            *parameter += 0.05 * (n as f64 * 1.7).sin();
        }
        let mut cpu = Cpu::new(Arc::new(tape));
        let mut gradient = vec![0.0; parameters.len()];
        let run = cpu.run(&parameters, &feed, Some(&mut gradient));
        let check = |found: f64, at: &mut dyn FnMut(f64) -> f64, what: &str| {
            let h = 1e-6;
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            assert!((found - slope).abs() < 1e-8 * (1.0 + slope.abs()), "{config:?} {what}: {found} {slope}");
        };
        for tensor in model.tensors.iter() {
            let mut moved = 0;
            for place in tensor.range() {
                moved += usize::from(gradient[place].abs() > 1e-9);
                let mut at = |shift: f64| {
                    let mut moved = parameters.clone();
                    moved[place] += shift;
                    cpu.run(&moved, &feed, None).losses[0]
                };
                check(gradient[place], &mut at, &tensor.name);
            }
            assert!(moved > 0, "{config:?}: nothing flows into {}", tensor.name);
        }
        let slots: Vec<usize> = cpu.trained_inputs().collect();
        for (slot, gradient) in slots.into_iter().zip(run.input_gradients) {
            for (place, found) in gradient.into_iter().enumerate() {
                let mut at = |shift: f64| {
                    let mut moved = feed.clone();
                    moved.floats[slot][place] += shift;
                    cpu.run(&parameters, &moved, None).losses[0]
                };
                check(found, &mut at, "a row");
            }
        }
    }
}

#[test]
fn both_backends_score_and_learn_alike() {
    let gpu = Device::open(Choice::Gpu).expect("install mesa-vulkan-drivers for a software adapter");
    for config in configs() {
        let examples = examples(&config, &SIZES, 3);
        let mut models = [&Device::Cpu, &gpu].map(|device| Model::new(device, config.clone()).unwrap());
        for _ in 0..3 {
            let [on_cpu, on_gpu] = models.each_mut().map(|model| model.score(&examples).unwrap());
            for (found, expected) in on_gpu.iter().zip(&on_cpu) {
                assert!((found - expected).abs() < 1e-4, "{config:?}: {found} {expected}");
            }
            let [on_cpu, on_gpu] =
                models.each_mut().map(|model| model.step(&examples, &LearningRates::plain(1e-3)).unwrap());
            assert!((on_cpu.loss - on_gpu.loss).abs() < 1e-4 && on_cpu.applied && on_gpu.applied);
            assert!((on_cpu.gradient_norm - on_gpu.gradient_norm).abs() < 1e-4 * on_cpu.gradient_norm);
        }
    }
}

#[test]
fn what_is_too_wide_for_the_kernels_is_said() {
    let gpu = Device::open(Choice::Gpu).expect("install mesa-vulkan-drivers for a software adapter");
    let config = crate::ranking::Config { dim: 300, ..super::world::small() };
    let error = Model::new(&gpu, config.clone()).unwrap().score(&examples(&config, &SIZES, 3)).unwrap_err();
    assert!(matches!(error, Error::Limit { what: "columns of a key", needed: 300, .. }), "{error}");
}
