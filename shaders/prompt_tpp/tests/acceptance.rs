//! What a temporal point process must not do wrong (section 5 of the specification).

use super::world::{World, small};
use crate::prompt_tpp::batch::Making;
use crate::prompt_tpp::{Config, Forecasts, Goal, LearningRates, Model, NEVER_MS, Network, Scores};
use crate::{Choice, Device};

fn devices() -> [Device; 2] {
    [Device::Cpu, Device::open(Choice::Gpu).unwrap_or_else(|error| panic!("{error}"))]
}

const LENGTHS: [usize; 9] = [6, 3, 9, 1, 64, 2, 30, 5, 12];

#[test]
fn what_comes_later_changes_no_score_and_no_choice() {
    let world = World::new(&[12], 5, 1);
    for device in devices() {
        for (self_token, relative) in [(false, true), (true, true), (false, false), (true, false)] {
            let mut model = Model::new(&device, Config { self_token, relative, ..small() }, 3).unwrap();
            let before = model.score(&world.batch()).unwrap();
            for event in 7..12 {
                let mut other = world.clone();
                other.types[event] = (other.types[event] + 1) % 5;
                other.times_ms[event..].iter_mut().for_each(|time| *time += 12_345);
                let after = model.score(&other.batch()).unwrap();
                // Targets begin at event 6.
                let same = event - 6;
                assert_eq!(before.gap_nats[..same], after.gap_nats[..same]);
                assert_eq!(before.type_nats[..same], after.type_nats[..same]);
                assert_eq!(before.intensity_nats[..same], after.intensity_nats[..same]);
                assert_ne!(before.gap_nats[same], after.gap_nats[same]);
            }
        }
    }
}

#[test]
fn a_sequence_scores_the_same_bits_alone_and_in_any_batch_on_any_threads() {
    let world = World::new(&LENGTHS, 5, 2);
    for device in devices() {
        let mut model = Model::new(&device, small(), 3).unwrap();
        let (together, forecasts) = (model.score(&world.batch()).unwrap(), model.forecast(&world.batch()).unwrap());
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| model.score(&world.batch()).unwrap()), together);
        }
        for b in 0..LENGTHS.len() {
            let alone = world.alone(b);
            let score = model.score(&alone.batch()).unwrap();
            let range = together.offsets[b] as usize..together.offsets[b + 1] as usize;
            assert_eq!(score.gap_nats, together.gap_nats[range.clone()]);
            assert_eq!(score.type_nats, together.type_nats[range.clone()]);
            assert_eq!(score.intensity_nats, together.intensity_nats[range]);
            let forecast = model.forecast(&alone.batch()).unwrap();
            assert_eq!((forecast.gap(0), forecast.types(0)), (forecasts.gap(b), forecasts.types(b)));
        }
    }
}

#[test]
fn training_from_one_seed_gives_the_same_bits_on_any_threads_and_both_devices_agree() {
    let world = World::new(&LENGTHS, 5, 4);
    let train = |device: &Device, threads| {
        let mut model = Model::new(device, small(), 3).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for _ in 0..4 {
            let step = pool.install(|| model.step(&world.batch(), &LearningRates::warm_up())).unwrap();
            assert!(step.applied);
        }
        model
    };
    let [cpu, gpu] = devices();
    let (a, b, c, d) = (train(&cpu, 1), train(&cpu, 4), train(&gpu, 1), train(&gpu, 1));
    assert_eq!(a.parameters, b.parameters);
    assert_eq!(c.parameters, d.parameters);
    assert_eq!(a.usage(), c.usage());
    let (mut a, mut c) = (a, c);
    let (cpu, gpu): (Forecasts, Forecasts) = (a.forecast(&world.batch()).unwrap(), c.forecast(&world.batch()).unwrap());
    for n in 0..cpu.len() {
        let (found, expected) = (gpu.gap(n).median_ms(), cpu.gap(n).median_ms());
        assert!((found - expected).abs() < 1e-3 * expected, "{found} {expected}");
        assert!(cpu.types(n).iter().zip(gpu.types(n)).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!((cpu.types(n).iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn times_far_from_zero_keep_their_milliseconds() {
    let world = World::new(&[20, 20], 5, 5);
    let mut model = Model::new(&Device::Cpu, Config { clock_inputs: false, ..small() }, 3).unwrap();
    let near = model.score(&world.batch()).unwrap();
    let mut far = world.clone();
    far.times_ms.iter_mut().for_each(|time| *time += 1_000_000_000_000_000);
    assert_eq!(model.score(&far.batch()).unwrap(), near);
    // A millisecond of difference shows, 10^9 s after the first event of the sequence.
    let mut late = world.alone(0);
    late.times_ms.iter_mut().skip(1).for_each(|time| *time += 1_000_000_000_000);
    late.times_ms[19] = late.times_ms[18] + 3;
    let before = model.score(&late.batch()).unwrap();
    late.times_ms[19] += 1;
    let after = model.score(&late.batch()).unwrap();
    assert_ne!(before.gap_nats.last(), after.gap_nats.last());
}

/// Uniform types and exponential gaps: nothing can be forecast better than by ln K + 1 nats.
#[test]
fn noise_is_not_forecast_better_than_its_entropy() {
    let config = Config { intensity: false, clock_inputs: false, ..small() };
    let config = Config { unit_ms: 1000.0, log_gap_mean: -0.577, log_gap_deviation: 1.28, ..config };
    let mut model = Model::new(&Device::Cpu, config, 3).unwrap();
    for step in 0..300 {
        let world = World::new(&[16; 24], 5, 1000 + step);
        assert!(model.step(&world.batch(), &LearningRates::warm_up()).unwrap().applied);
    }
    let Scores { gap_nats, type_nats, .. } = model.score(&World::new(&[16; 600], 5, 7).batch()).unwrap();
    let nats: Vec<f64> = gap_nats.iter().zip(&type_nats).map(|(gap, kind)| gap + kind).collect();
    let mean = nats.iter().sum::<f64>() / nats.len() as f64;
    let variance = nats.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / nats.len() as f64;
    let error = (variance / nats.len() as f64).sqrt();
    let entropy = 5f64.ln() + 1.0;
    assert!(mean > entropy - 3.0 * error, "{mean} nats of noise with entropy {entropy}");
    assert!(mean < entropy + 0.08, "{mean} nats: nothing was learned, the entropy is {entropy}");
}

#[test]
fn the_integral_over_a_gap_is_that_of_its_closed_form() {
    let config = Config { forecasts: false, clock_inputs: false, encoding_units: 1.0, ..small() };
    let (tensors, _) = config.tensors();
    let network = Network::record(&config, &tensors, Goal::Learn);
    let mut world = World::new(&[10], 5, 6);
    world.open_until_ms = vec![NEVER_MS];
    let penalties = vec![vec![0.0f64; 6]; config.pools()];
    let position = &mut || 0.5;
    let mut making =
        Making { config: &config, goal: Goal::Learn, penalties: &penalties, position, samples: 32, grid: None };
    let feed = making.feed(&network.tape, &world.batch());
    let slot = network.tape.inputs.iter().position(|(name, _)| *name == "intensity weight").unwrap();
    // Where the samples stand, the rows do not say; the widest frequency of their encoding does: sin(t).
    let times = network.tape.inputs.iter().position(|(name, _)| *name == "grid time").unwrap();
    for target in 0..5 {
        let at = |ms: i64| (ms - world.times_ms[0]) as f64 / config.unit_ms;
        let (start, end) = (at(world.times_ms[4 + target]), at(world.times_ms[5 + target]));
        let rows = target * 33 + 1..target * 33 + 33;
        let sum: f64 = rows.map(|row| feed.floats[slot][row] * 5.0 * (2.0 + feed.floats[times][row * 8])).sum();
        let exact = 2.0 * (end - start) + start.cos() - end.cos();
        assert!((sum - exact).abs() < 1e-3 * exact, "{sum} {exact}");
    }
}

#[test]
fn a_mixture_is_what_it_says() {
    let world = World::new(&[9, 4], 5, 8);
    let mut model = Model::new(&Device::Cpu, small(), 3).unwrap();
    let forecasts = model.forecast(&world.batch()).unwrap();
    let gap = forecasts.gap(1);
    assert!((gap.survival(gap.median_ms()) - 0.5).abs() < 1e-5);
    assert!((gap.survival(gap.quantile_ms(0.1)) - 0.1).abs() < 1e-5);
    assert_eq!((gap.survival(0.0), gap.survival(-5.0)), (1.0, 1.0));
    // The density is minus the slope of the survival; the mean is the survival's integral.
    let (mut mean, mut low) = (0.0, 0.0);
    for step in 0..40_000 {
        let high = 1e-3 * (f64::from(step) * 1e-3).exp();
        mean += (high - low) * 0.5 * (gap.survival(low) + gap.survival(high));
        if high > 1.5 && step % 1000 == 0 && gap.survival(high) > 1e-3 {
            let slope = (gap.survival(high * 0.999) - gap.survival(high * 1.001)) / (0.002 * high);
            assert!((gap.log_density(high) - slope.ln()).abs() < 1e-2, "at {high}");
        }
        low = high;
    }
    assert!((mean / gap.expected_ms() - 1.0).abs() < 1e-2, "{mean} {}", gap.expected_ms());
    // The type given the gap, and the gap, make the score.
    let scores = model.score(&world.batch()).unwrap();
    assert!(scores.type_nats.iter().all(|nats| *nats > 0.0));
}

#[test]
fn the_intensity_head_scores_as_its_own_intensities() {
    let mut world = World::new(&[12], 5, 9);
    world.first_target = vec![11];
    let config = Config { samples: [8, 64], ..small() };
    let mut model = Model::new(&Device::Cpu, config.clone(), 3).unwrap();
    let score = model.score(&world.batch()).unwrap().intensity_nats[0];
    let (last, next) = (world.times_ms[10], world.times_ms[11]);
    let mut history = world.alone(0);
    history.types.pop();
    history.times_ms.pop();
    history.offsets = vec![0, 11];
    let samples = 400;
    let at = |n: i64| last + ((next - last) * n + samples / 2) / samples;
    let times: Vec<i64> = (0..samples).map(at).chain([next]).collect();
    let found = model.intensities(&history.batch(), &[0, times.len() as u32], &times).unwrap();
    let sum: f64 = found[..5 * samples as usize].iter().map(|&x| f64::from(x)).sum();
    let integral = sum / samples as f64 * (next - last) as f64 / config.unit_ms;
    let own = f64::from(found[5 * samples as usize + world.types[11] as usize]).ln();
    assert!((score - (integral - own)).abs() < 2e-3, "{score} {}", integral - own);
}
