//! The model as its callers see it: examples in, probabilities out.

use super::batch::Making;
use super::standard::Standard;
use super::table::Table;
use super::{Config, Examples, Goal, Network};
use crate::ops::{Adam, Engine, Tensors};
use crate::random::{gaussian, generator, uniform};
use crate::{Device, Error};

/// A model with its optimizer.
#[derive(Debug)]
pub struct Model {
    pub(super) device: Device,
    pub(super) config: Config,
    pub(super) tensors: Tensors,
    pub(super) parameters: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    pub(super) adam: Adam,
    pub(super) items: Table,
    pub(super) categories: Table,
    pub(super) standard: Standard,
    pub(super) steps: u64,
    pub(super) learn: Engine,
    pub(super) score: Engine,
}

/// Streams of random numbers: tables, then tensors; steps count down from the last.
pub(super) const ITEMS: u64 = 1;
pub(super) const CATEGORIES: u64 = 2;
const TENSORS: u64 = 16;

impl Model {
    /// A new model; all that is random in it, now and later, comes of [`Config::seed`].
    ///
    /// # Errors
    /// [`Error::Shape`] for settings that do not fit together; what the device says.
    pub fn new(device: &Device, config: Config) -> Result<Model, Error> {
        config.check()?;
        let tensors = config.tensors();
        let engine = |goal| Engine::new(device, Network::record(&config, &tensors, goal));
        Ok(Model {
            learn: engine(Goal::Learn)?,
            score: engine(Goal::Score)?,
            device: device.clone(),
            parameters: initial(&config, &tensors),
            gradient: vec![0.0; tensors.len()],
            adam: Adam::new(&tensors),
            items: Table::new("item", (config.items, config.item_width), config.seed, ITEMS),
            categories: Table::new("category", (config.categories, config.category_width), config.seed, CATEGORIES),
            standard: Standard::new(config.inputs),
            steps: 0,
            config,
            tensors,
        })
    }

    /// The settings, with the numbers of rows as they are now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many numbers are trained.
    pub fn parameters(&self) -> usize {
        self.parameters.len() + self.items.embedding.values.len() + self.categories.embedding.values.len()
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The probability that each candidate is clicked: (candidates). It depends on the candidate and its request alone:
    /// batches may be cut anywhere, requests too.
    ///
    /// # Errors
    /// [`Error::Shape`] for malformed examples; what the device says.
    pub fn score(&mut self, examples: &Examples) -> Result<Vec<f32>, Error> {
        examples.check(&self.config, false)?;
        let mut making = Making {
            config: &self.config,
            items: &self.items.embedding,
            categories: &self.categories.embedding,
            standard: &self.standard,
            random: None,
        };
        let feed = making.feed(self.score.tape(), examples);
        let mut run = self.score.run(&self.parameters, &feed, None)?;
        Ok(run.outputs.swap_remove(0))
    }
}

/// Projections of target attention begin as the identity, the scale at 5, biases of ages at 0; SA-TA as in the released
/// code (spec muse 2.4); the tower uniform within 1 / sqrt(inputs). Each tensor has a stream of its own.
pub(super) fn initial(config: &Config, tensors: &Tensors) -> Vec<f32> {
    let mut values = vec![0.0; tensors.len()];
    let mut inputs = 1;
    for (n, tensor) in tensors.iter().enumerate() {
        let mut random = generator(config.seed, TENSORS + n as u64);
        let (part, name) = tensor.name.split_once('.').expect("a tensor's name has parts");
        let is_bias = name.ends_with(".bias");
        // A bias follows its weight.
        inputs = if is_bias { inputs } else { tensor.rows };
        let bound = 1.0 / (inputs as f64).sqrt();
        let is_sa_ta = tensors.get("long.coefficients").is_some();
        for (place, value) in values[tensor.range()].iter_mut().enumerate() {
            *value = match (part, name) {
                ("action", _) => 0.1 * gaussian(&mut random),
                ("tiers", _) => uniform(&mut random),
                ("tower", _) => bound * (2.0 * uniform(&mut random) - 1.0),
                (_, "scale") => 5.0,
                (_, "age") => 0.0,
                (_, "coefficients") => [1.0, 1.0, 1.0, 0.1][place],
                ("long", _) if is_sa_ta && is_bias => 0.1,
                ("long", _) if is_sa_ta => bound * gaussian(&mut random),
                _ => f64::from(u8::from(place / tensor.columns == place % tensor.columns)),
            } as f32;
        }
    }
    values
}
