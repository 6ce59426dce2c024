//! A network fitted to the beginning of a stream: several passes over all windows, shuffled, the learning rate falling.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use shaders::Device;
use shaders::prompt_tpp::{Config, LearningRates, Model};

use super::windows::{Window, Windows};
use crate::evaluate::{EvaluateError, Past};

/// Windows of a step.
const WINDOWS: usize = 32;
/// The learning rate falls to this part of what it was.
const FALL: f64 = 0.95;

/// The scales of a stream, for a network.
pub(super) fn config(past: Past<'_>) -> Config {
    let logs: Vec<f64> = past.targets(0..past.len()).map(|position| past.log_gap(position)).collect();
    let count = logs.len().max(1) as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean) * (log - mean)).sum::<f64>() / count;
    Config {
        types: past.kinds(),
        unit_ms: past.unit_ms(),
        log_gap_mean: mean,
        log_gap_deviation: variance.sqrt().max(0.1),
        ..Config::default()
    }
}

/// All windows of a past; the gaps after users' last events are open until its end.
pub(super) fn windows(past: Past<'_>) -> Vec<Window> {
    let mut all = Vec::new();
    let Some(newest) = past.events().last() else { return all };
    for last in past.open() {
        let history = past.history(last);
        Windows::targets(past, history, 0..history.len(), newest.time_ms, &mut |window| all.push(window));
    }
    all
}

/// A new network that has passed over `past` so many times.
pub(super) fn fit(
    device: &Device,
    config: Config,
    past: Past<'_>,
    passes: usize,
    seed: u64,
) -> Result<Model, EvaluateError> {
    let failed = |error: shaders::Error| EvaluateError::Model { model: "prompt_tpp".into(), source: Box::new(error) };
    let mut model = Model::new(device, config, seed).map_err(failed)?;
    let gaps: Vec<i64> = past.targets(0..past.len()).map(|position| past.gap_ms(position)).collect();
    let types: Vec<u32> = past.targets(0..past.len()).map(|position| past.event(position).kind).collect();
    model.start_from(&gaps, &types);
    let windows = windows(past);
    let mut order: Vec<usize> = (0..windows.len()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0xf17);
    let steps = (passes * windows.len().div_ceil(WINDOWS)).max(1);
    let mut step = 0;
    for _ in 0..passes {
        for at in (1..order.len()).rev() {
            order.swap(at, (random.next_u64() % (at as u64 + 1)) as usize);
        }
        for chosen in order.chunks(WINDOWS) {
            let mut batch = Windows::default();
            chosen.iter().for_each(|&at| batch.push(&windows[at]));
            let part = 1.0 - FALL * step as f64 / steps as f64;
            model.step(&batch.batch(), &LearningRates::warm_up().times(part)).map_err(failed)?;
            step += 1;
        }
    }
    Ok(model)
}
