//! The model as its callers see it: slices in, slices out.

use super::batch::Making;
use super::{Batch, Config, Forecasts, Goal, Network, Part, Places};
use crate::ops::{self, Adam, Feed, Run, Tape, Tensors};
use crate::random::{gaussian, generator, uniform};
use crate::{Device, Error};

/// A recorded forward pass on its backend.
#[derive(Debug)]
pub(super) struct Engine {
    on: ops::Engine,
    places: Places,
}

impl Engine {
    fn new(device: &Device, config: &Config, tensors: &Tensors, goal: Goal) -> Result<Engine, Error> {
        let Network { tape, places } = Network::record(config, tensors, goal);
        Ok(Engine { on: ops::Engine::new(device, tape)?, places })
    }

    pub fn places(&self) -> &Places {
        &self.places
    }

    pub fn tape(&self) -> &Tape {
        self.on.tape()
    }

    pub fn run(
        &mut self,
        parameters: &[f32],
        feed: &Feed<f32>,
        gradient: Option<&mut [f32]>,
    ) -> Result<Run<f32>, Error> {
        self.on.run(parameters, feed, gradient)
    }
}

/// A model with its optimizer.
#[derive(Debug)]
pub struct Model {
    pub(super) device: Device,
    pub(super) config: Config,
    pub(super) tensors: Tensors,
    pub(super) parts: Vec<Part>,
    pub(super) parameters: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    pub(super) adam: Adam,
    /// Gradients of the pool since its last update.
    pub(super) pool_sum: Vec<f32>,
    pub(super) counters: Counters,
    /// (pools, prompts): how often each was chosen while learning.
    pub(super) usage: Vec<u64>,
    pub(super) learn: Engine,
    pub(super) forecast: Engine,
}

/// Where the learner stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Of the only generator; with `steps` it gives every random number.
    pub seed: u64,
    /// Steps taken.
    pub steps: u64,
    /// Of them, since the pool's last update.
    pub pool_pending: u64,
    /// Groups of prompts with keys of their own; none while the base learns. See `regimes`.
    pub groups: u64,
}

/// The log-likelihood of every target of a batch, sequence by sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// (sequences + 1): sequence b has the targets `offsets[b]..offsets[b + 1]`.
    pub offsets: Vec<u32>,
    /// (targets): -ln of the density of the gap, per unit of time.
    pub gap_nats: Vec<f64>,
    /// (targets): -ln of the probability of the type, given the gap.
    pub type_nats: Vec<f64>,
    /// (targets), of the intensity head: -ln of density and type together, per unit of time; empty without it.
    pub intensity_nats: Vec<f64>,
}

impl Model {
    /// A new model; all that is random in it, now and later, comes of `seed`.
    ///
    /// # Errors
    /// What the device says.
    pub fn new(device: &Device, config: Config, seed: u64) -> Result<Model, Error> {
        config.check()?;
        let (tensors, parts) = config.tensors();
        let parameters = initial(&config, &tensors, seed);
        let counters = Counters { seed, ..Counters::default() };
        let usage = vec![0; config.pools() * config.pool];
        Ok(Model {
            learn: Engine::new(device, &config, &tensors, Goal::Learn)?,
            forecast: Engine::new(device, &config, &tensors, Goal::Forecast)?,
            device: device.clone(),
            gradient: vec![0.0; tensors.len()],
            adam: Adam::new(&tensors),
            pool_sum: vec![0.0; tensors.len()],
            parameters,
            counters,
            usage,
            config,
            tensors,
            parts,
        })
    }

    /// The settings, with the number of types as it is now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many numbers are trained.
    pub fn parameters(&self) -> usize {
        self.parameters.len()
    }

    /// How often each prompt was chosen while learning: (pools, prompts).
    pub fn usage(&self) -> &[u64] {
        &self.usage
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.counters.steps
    }

    /// Forecasts what follows each sequence.
    ///
    /// # Errors
    /// [`Error::Shape`] for a malformed batch; what the device says.
    pub fn forecast(&mut self, batch: &Batch<'_>) -> Result<Forecasts, Error> {
        assert!(self.config.forecasts, "the model has no forecasting head");
        let feed = self.feed(batch, Goal::Forecast, None)?;
        let mut run = self.forecast.run(&self.parameters, &feed, None)?;
        let places = self.forecast.places();
        let mut take = |place: Option<usize>| std::mem::take(&mut run.outputs[place.expect("the head is there")]);
        Ok(Forecasts::new(&self.config, take(places.mixture), take(places.types)))
    }

    /// The intensities lambda_k, per unit of time, of each sequence at `times_ms[offsets[b]..offsets[b + 1]]`, which lie
    /// after its last event: (times, types).
    ///
    /// # Errors
    /// [`Error::Shape`] for a malformed batch; what the device says.
    pub fn intensities(&mut self, batch: &Batch<'_>, offsets: &[u32], times_ms: &[i64]) -> Result<Vec<f32>, Error> {
        assert!(self.config.intensity, "the model has no intensity head");
        if offsets.len() != batch.offsets.len() || offsets.last().is_none_or(|&all| all as usize != times_ms.len()) {
            return Err(Error::Shape("offsets of the times must go, sequence by sequence, to their number".to_owned()));
        }
        let feed = self.feed(batch, Goal::Forecast, Some((offsets, times_ms)))?;
        let mut run = self.forecast.run(&self.parameters, &feed, None)?;
        let place = self.forecast.places().intensities.expect("the head is there");
        Ok(std::mem::take(&mut run.outputs[place]))
    }

    /// How likely each target was.
    ///
    /// # Errors
    /// [`Error::Shape`] for a malformed batch; what the device says.
    pub fn score(&mut self, batch: &Batch<'_>) -> Result<Scores, Error> {
        let closed = Batch { open_until_ms: &vec![super::NEVER_MS; batch.sequences()], ..*batch };
        let feed = self.feed(&closed, Goal::Learn, None)?;
        let run = self.learn.run(&self.parameters, &feed, None)?;
        let places = self.learn.places();
        let mut scores = Scores { offsets: vec![0], ..Scores::default() };
        let mut place = 0;
        for b in 0..batch.sequences() {
            for target in batch.targets(b) {
                let gap_ms = batch.times_ms[target].saturating_sub(batch.times_ms[target - 1]);
                if let (Some(gap), Some(kind)) = (places.gap, places.kind) {
                    scores.gap_nats.push(f64::from(run.outputs[gap][place]) + self.config.log_jacobian(gap_ms));
                    scores.type_nats.push(f64::from(run.outputs[kind][place]));
                }
                if let Some(term) = places.intensity_term {
                    let samples = self.config.samples[1];
                    let terms = &run.outputs[term][place * (samples + 1)..][..samples + 1];
                    let integral: f64 = terms[1..].iter().map(|&sum| f64::from(sum)).sum();
                    let cell = gap_ms as f64 / self.config.unit_ms / samples as f64;
                    scores.intensity_nats.push(f64::from(terms[0]) + integral * cell);
                }
                place += 1;
            }
            scores.offsets.push(place as u32);
        }
        Ok(scores)
    }

    /// The feed of a batch for serving: no penalties, midpoints.
    fn feed(&self, batch: &Batch<'_>, goal: Goal, grid: Option<(&[u32], &[i64])>) -> Result<Feed<f32>, Error> {
        batch.check(self.config.types)?;
        let engine = if goal == Goal::Learn { &self.learn } else { &self.forecast };
        let penalties = self.penalties(0.0);
        let mut making = Making {
            config: &self.config,
            goal,
            penalties: &penalties,
            position: &mut || 0.5,
            samples: self.config.samples[1],
            grid,
        };
        Ok(making.feed(engine.tape(), batch))
    }
}

/// Spec 2.1: linear maps uniform within 1 / sqrt(inputs), embeddings normal, prompts and keys uniform within 1. The
/// components of the mixture start spread over the standardized logarithm. Each tensor has a stream of its own, and
/// rows come first, so that a larger vocabulary begins as the smaller one.
pub(super) fn initial(config: &Config, tensors: &Tensors, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; tensors.len()];
    // Beside features, types must not saturate the tanh.
    let spread = if config.features() > 0 { 0.5 } else { 1.0 };
    for (n, tensor) in tensors.iter().enumerate() {
        let mut generator = generator(seed, 1 + n as u64);
        let inputs = match tensor.name.as_str() {
            name if name.ends_with(".bias") => config.fan_in(name),
            name if name.ends_with("features.weight") => config.features().max(1),
            _ => tensor.rows,
        };
        let bound = 1.0 / (inputs as f64).sqrt();
        for (place, value) in values[tensor.range()].iter_mut().enumerate() {
            *value = match tensor.name.as_str() {
                "embedding" | "query.embedding" | "before.embedding" => spread * gaussian(&mut generator),
                name if name.ends_with(".prompts") || name.ends_with(".keys") => 2.0 * uniform(&mut generator) - 1.0,
                "state.prompts" | "calibration.time" | "calibration.type" | "intensity.log_scale" | "type.bias" => 0.0,
                "gap.bias" => match (place / config.components, place % config.components) {
                    (0, _) => 0.0,
                    (1, m) => 4.0 * (m as f64 + 0.5) / config.components as f64 - 2.0,
                    _ => -0.7,
                },
                _ => bound * (2.0 * uniform(&mut generator) - 1.0),
            } as f32;
        }
    }
    values
}

impl Config {
    /// Inputs of the linear map that a bias belongs to.
    fn fan_in(&self, bias: &str) -> usize {
        if bias.starts_with("head") {
            self.width + if self.relative { 0 } else { self.encoding() }
        } else {
            self.heads * self.width + self.recent * self.features()
        }
    }
}
