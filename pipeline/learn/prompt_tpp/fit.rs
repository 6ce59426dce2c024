//! A network fitted to a stream's beginning: several passes over all windows, shuffled, the learning rate falling.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use shaders::Device;
use shaders::prompt_tpp::{Config, LearningRates, Model};

use crate::evaluate::sample::mean_variance;
use crate::forecast::window::Windows;
use crate::learn::device::{done, made};

/// Windows of a step.
const WINDOWS: usize = 32;
/// The learning rate falls by this part of what it was.
const FALL: f64 = 0.95;

/// A network for a stream of so many types, of which these are the logarithms of the gaps, each over the unit (ms).
pub fn config(types: usize, unit_ms: f64, log_gaps: &[f64]) -> Config {
    let (mean, variance) = mean_variance(log_gaps);
    Config { types, unit_ms, log_gap_mean: mean, log_gap_deviation: variance.sqrt().max(0.1), ..Config::default() }
}

/// A new network that has passed over all windows so many times; the same bits for the same. Its heads begin with the spread of
/// these gaps (ms) and types.
///
/// # Errors
/// What the device says.
pub fn fit(
    device: &mut Device,
    config: Config,
    (windows, gaps_ms, types): (&Windows, &[i64], &[u32]),
    passes: usize,
    seed: u64,
) -> Result<Model, shaders::Error> {
    let mut model = made(device, |device| Model::new(device, config.clone(), seed))?;
    model.start_from(gaps_ms, types);
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
            let rates = LearningRates::warm_up().times(part);
            on_device(&mut model, device, |model| model.step(&batch.batch(), &rates))?;
            step += 1;
        }
    }
    Ok(model)
}

/// Does something with a network; where its device is lost, again with the same network on the device opened anew: what failed
/// has changed nothing.
///
/// # Errors
/// What the device says.
pub fn on_device<T>(
    network: &mut Model,
    device: &mut Device,
    what: impl FnMut(&mut Model) -> Result<T, shaders::Error>,
) -> Result<T, shaders::Error> {
    done((network, device), |device, network| Model::load(device, network.config().clone(), network.save()), what)
}
