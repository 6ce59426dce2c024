//! How long a step and a forecast take, on sequences of the size that the published model is trained on.

use std::time::Instant;

use super::{Batch, Config, LearningRates, Model, NEVER_MS};
use crate::random::{generator, uniform};
use crate::{Device, Error};

/// Milliseconds of every repetition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timings {
    /// Of a training step: forward, backward and Adam, one query row per event but the first.
    pub step_ms: Vec<f64>,
    /// Of a forecast: one query row per sequence.
    pub forecast_ms: Vec<f64>,
}

/// The canonical model (17 types, d = 32, 2 heads of 2 layers, 25 prefix rows, no further inputs) on `sequences` random
/// sequences of `events` events, all but the first of them targets.
///
/// # Errors
/// What the device says.
pub fn bench(device: &Device, sequences: usize, events: usize, repetitions: usize) -> Result<Timings, Error> {
    let config = Config { types: 17, unit_ms: 1000.0, ..Config::canonical() };
    let mut model = Model::new(device, config, 1)?;
    let mut random = generator(2, 0);
    let offsets: Vec<u32> = (0..=sequences).map(|b| (b * events) as u32).collect();
    let types: Vec<u32> = (0..sequences * events).map(|_| (uniform(&mut random) * 17.0) as u32).collect();
    let mut time = 0.0;
    let times_ms: Vec<i64> = (0..sequences * events)
        .map(|_| {
            time -= 1000.0 * (1.0 - uniform(&mut random)).ln();
            time as i64
        })
        .collect();
    let (context, open_until_ms) = (vec![1; sequences], vec![NEVER_MS; sequences]);
    let batch = Batch {
        offsets: &offsets,
        types: &types,
        times_ms: &times_ms,
        context: &context,
        first_target: &context,
        open_until_ms: &open_until_ms,
    };
    let mut timings = Timings::default();
    for repetition in 0..repetitions + 1 {
        let start = Instant::now();
        model.step(&batch, &LearningRates::warm_up())?;
        let step_ms = start.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        model.forecast(&batch)?;
        let forecast_ms = start.elapsed().as_secs_f64() * 1e3;
        // The first one warms up.
        if repetition > 0 {
            timings.step_ms.push(step_ms);
            timings.forecast_ms.push(forecast_ms);
        }
    }
    Ok(timings)
}
