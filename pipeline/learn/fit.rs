//! A network fitted to a stream's beginning: several passes over all windows, shuffled, the learning rate falling.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use shaders::Device;
use shaders::prompt_tpp::{Config, LearningRates, Model};

use crate::forecast::window::Windows;

/// Windows of a step.
const WINDOWS: usize = 32;
/// The learning rate falls by this part of what it was.
const FALL: f64 = 0.95;

/// The scales of a stream: its median gap as the unit, mean and deviation of the logarithm of its gaps (ms).
pub fn config(types: usize, gaps_ms: &mut [i64]) -> Config {
    if gaps_ms.is_empty() {
        return Config { types, ..Config::default() };
    }
    gaps_ms.sort_unstable();
    let unit_ms = gaps_ms[gaps_ms.len() / 2].max(1) as f64;
    let logs = || gaps_ms.iter().map(|&gap| (gap.max(1) as f64 / unit_ms).ln());
    let count = gaps_ms.len() as f64;
    let mean = logs().sum::<f64>() / count;
    let variance = logs().map(|log| (log - mean) * (log - mean)).sum::<f64>() / count;
    let log_gap_deviation = variance.sqrt().max(0.1);
    Config { types, unit_ms, log_gap_mean: mean, log_gap_deviation, ..Config::default() }
}

/// A new network that has passed over all windows so many times; the same bits for the same.
///
/// # Errors
/// What the device says.
pub fn fit(
    device: &Device,
    config: Config,
    windows: &Windows,
    passes: usize,
    seed: u64,
) -> Result<Model, shaders::Error> {
    let mut model = Model::new(device, config, seed)?;
    let mut order: Vec<usize> = (0..windows.len()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0xf17);
    let steps = (passes * windows.len().div_ceil(WINDOWS)).max(1);
    let (mut step, mut batch) = (0, Windows::default());
    for _ in 0..passes {
        for at in (1..order.len()).rev() {
            order.swap(at, (random.next_u64() % (at as u64 + 1)) as usize);
        }
        for chosen in order.chunks(WINDOWS) {
            batch.clear();
            chosen.iter().for_each(|&at| batch.copy(windows, at));
            let part = 1.0 - FALL * step as f64 / steps as f64;
            let LearningRates { base, heads, pool, calibration, weight_decay } = LearningRates::warm_up();
            let rates =
                LearningRates { base: base * part, heads: heads * part, pool: pool * part, calibration, weight_decay };
            model.step(&batch.batch(), &rates)?;
            step += 1;
        }
    }
    Ok(model)
}
