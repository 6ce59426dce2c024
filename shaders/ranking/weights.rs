//! What a model has learned, and scoring by it.

use super::batch::Making;
use super::embedding::Embedding;
use super::standard::Standard;
use super::{Config, Examples, Goal, Network};
use crate::ops::Engine;
use crate::ops::tensors::{Named, refuse_extra};
use crate::{Device, Error};

/// What a model has learned, as it was published: all that scoring needs. It is on no device and never changes, so all who
/// score by it share it.
#[derive(Debug)]
pub struct Weights {
    pub(super) config: Config,
    pub(super) parameters: Vec<f32>,
    pub(super) standard: Standard,
    pub(super) items: Embedding,
    pub(super) categories: Embedding,
}

impl Weights {
    /// What [`Model::weights`](super::Model::weights) gave. The numbers of rows are the saved ones.
    ///
    /// # Errors
    /// [`Error::Shape`] for settings that do not fit together; [`Error::Tensors`] that lists what is missing, unknown or of
    /// another shape.
    pub fn new(config: Config, mut named: Named) -> Result<Weights, Error> {
        let weights = Weights::take(config, &mut named)?;
        refuse_extra(&named)?;
        Ok(weights)
    }

    /// The same, out of `named`; what else is there stays there.
    pub(super) fn take(config: Config, named: &mut Named) -> Result<Weights, Error> {
        let rows = |name: &str, otherwise: usize| {
            named.get(name).and_then(|entry| entry.shape.first().copied()).unwrap_or(otherwise)
        };
        let config = Config {
            items: rows("item.embedding", config.items),
            categories: rows("category.embedding", config.categories),
            actions: rows("action.embedding", config.actions),
            ..config
        };
        config.check()?;
        Ok(Weights {
            parameters: config.tensors().take("", named)?,
            standard: Standard::take(config.inputs, named)?,
            items: Embedding::take("item", (config.items, config.item_width), named)?,
            categories: Embedding::take("category", (config.categories, config.category_width), named)?,
            config,
        })
    }

    /// The settings, with the numbers of rows.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Scores by weights, one after the other, on one device.
#[derive(Debug)]
pub struct Scorer {
    device: Device,
    /// Made for weights of this form.
    engine: Option<(Config, Engine)>,
}

impl Scorer {
    /// Nothing was scored yet.
    pub fn new(device: &Device) -> Scorer {
        Scorer { device: device.clone(), engine: None }
    }

    /// The probability that each candidate is clicked: (candidates). It depends on the candidate and its request alone:
    /// batches may be cut anywhere, requests too.
    ///
    /// # Errors
    /// [`Error::Shape`] for malformed examples; what the device says.
    pub fn score(&mut self, weights: &Weights, examples: &Examples) -> Result<Vec<f32>, Error> {
        let Weights { config, parameters, standard, items, categories } = weights;
        examples.check(config, false)?;
        let form = Config { items: 1, categories: 1, ..config.clone() };
        let engine = match &mut self.engine {
            Some((of, engine)) if *of == form => engine,
            stale => {
                let engine = Engine::new(&self.device, Network::record(config, &config.tensors(), Goal::Score))?;
                &mut stale.insert((form, engine)).1
            }
        };
        let mut making = Making { config, items, categories, standard, random: None };
        let feed = making.feed(engine.tape(), examples);
        let mut run = engine.run(parameters, &feed, None)?;
        Ok(run.outputs.swap_remove(0))
    }

    /// After [`Error::DeviceLost`]: the same on a device of the same kind, opened anew.
    ///
    /// # Errors
    /// Where no such device is there any more.
    pub fn renew(&mut self) -> Result<(), Error> {
        *self = Scorer::new(&self.device.reopen()?);
        Ok(())
    }
}
