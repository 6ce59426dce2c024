//! A model as named tensors: what engines need, what the learner needs to go on to the same bits, and more types.

use super::model::{Counters, initial};
use super::{Config, Model};
use crate::ops::tensors::{Entry, Named, refuse_extra};
use crate::ops::{Adam, Tensors};
use crate::{Device, Error};

/// Name of the scales of the stream: unit, mean and deviation of the logarithm of the gap, as the bits of f64.
const SCALES: &str = "scales";
const FIRST: &str = "adam.first.";
const SECOND: &str = "adam.second.";
const POOL: &str = "pool.sum.";
const CLOCKS: &str = "adam.clocks";
const GROUPS: &str = "pool.groups";
const USAGE: &str = "pool.usage";
const COUNTERS: &str = "counters";

impl Model {
    /// The weights and the scales of the stream: what is published.
    pub fn weights(&self) -> Named {
        let mut named = Named::new();
        self.tensors.named("", &self.parameters, &mut named);
        let scales = [self.config.unit_ms, self.config.log_gap_mean, self.config.log_gap_deviation];
        named.insert(SCALES.to_owned(), Entry::integers(&scales.map(f64::to_bits)));
        named.insert(GROUPS.to_owned(), Entry::integers(&[self.counters.groups]));
        named
    }

    /// All that the learner needs to go on: weights, moments, clocks, usage, counters.
    pub fn save(&self) -> Named {
        let mut named = self.weights();
        self.tensors.named(FIRST, &self.adam.first, &mut named);
        self.tensors.named(SECOND, &self.adam.second, &mut named);
        self.tensors.named(POOL, &self.pool_sum, &mut named);
        named.insert(CLOCKS.to_owned(), Entry::integers(&self.adam.clocks));
        named.insert(USAGE.to_owned(), Entry::integers(&self.usage));
        let Counters { seed, steps, pool_pending, .. } = self.counters;
        named.insert(COUNTERS.to_owned(), Entry::integers(&[seed, steps, pool_pending]));
        named
    }

    /// The model that [`Model::weights`] gave, with a fresh optimizer. The number of types, the scales, and whether events
    /// bring the time of day are the saved ones.
    ///
    /// # Errors
    /// [`Error::Tensors`] that lists what is missing, unknown or of another shape; what the device says.
    pub fn from_weights(device: &Device, config: Config, mut named: Named, seed: u64) -> Result<Model, Error> {
        let model = Model::take(device, config, &mut named, seed)?;
        refuse_extra(&named)?;
        Ok(model)
    }

    /// Takes the weights that [`Model::weights`] gave of a model with as many types and the same scales, with all that was made
    /// for this one on its device; whether they were such, else nothing has changed.
    ///
    /// # Errors
    /// [`Error::Tensors`] that lists what is missing, unknown or of another shape.
    pub fn replace(&mut self, mut named: Named) -> Result<bool, Error> {
        let mine = [self.config.unit_ms, self.config.log_gap_mean, self.config.log_gap_deviation].map(f64::to_bits);
        let scales = integers(&mut named, SCALES, 3)?;
        let types = named.get("embedding").and_then(|embedding| embedding.shape.first().copied());
        let clock = has_clock(&self.config, &named);
        if scales != mine || types != Some(self.config.types) || clock != self.config.clock_inputs {
            return Ok(false);
        }
        let groups = integers(&mut named, GROUPS, 1)?[0];
        let parameters = self.tensors.take("", &mut named)?;
        refuse_extra(&named)?;
        (self.parameters, self.counters.groups) = (parameters, groups);
        Ok(true)
    }

    /// The model that [`Model::save`] gave; it goes on to the same bits.
    ///
    /// # Errors
    /// As [`Model::from_weights`].
    pub fn load(device: &Device, config: Config, mut named: Named) -> Result<Model, Error> {
        let mut model = Model::take(device, config, &mut named, 0)?;
        model.adam.first = model.tensors.take(FIRST, &mut named)?;
        model.adam.second = model.tensors.take(SECOND, &mut named)?;
        model.pool_sum = model.tensors.take(POOL, &mut named)?;
        model.adam.clocks = integers(&mut named, CLOCKS, model.adam.clocks.len())?;
        model.usage = integers(&mut named, USAGE, model.usage.len())?;
        let counters = integers(&mut named, COUNTERS, 3)?;
        let [seed, steps, pool_pending] = [0, 1, 2].map(|n| counters[n]);
        model.counters = Counters { seed, steps, pool_pending, ..model.counters };
        refuse_extra(&named)?;
        Ok(model)
    }

    /// Weights and scales out of `named`.
    fn take(device: &Device, mut config: Config, named: &mut Named, seed: u64) -> Result<Model, Error> {
        if let Some(embedding) = named.get("embedding") {
            config.types = embedding.shape.first().copied().unwrap_or_default();
        }
        config.clock_inputs = has_clock(&config, named);
        let (tensors, _) = config.tensors();
        let parameters = tensors.take("", named)?;
        let scales = integers(named, SCALES, 3)?;
        config.unit_ms = f64::from_bits(scales[0]);
        config.log_gap_mean = f64::from_bits(scales[1]);
        config.log_gap_deviation = f64::from_bits(scales[2]);
        let groups = integers(named, GROUPS, 1)?[0];
        let mut model = Model::new(device, config, seed)?;
        model.parameters = parameters;
        model.counters.groups = groups;
        Ok(model)
    }

    /// Makes room for more types. What was learned stays; new types begin with a fresh embedding, and as unlikely as
    /// the rarest type so far; their moments are zero.
    ///
    /// # Errors
    /// [`Error::Shape`] where there would be fewer; what the device says.
    pub fn grow(&mut self, types: usize) -> Result<(), Error> {
        if types < self.config.types {
            let have = self.config.types;
            return Err(Error::Shape(format!("the model has {have} types and cannot shrink to {types}")));
        }
        if types == self.config.types {
            return Ok(());
        }
        let config = Config { types, ..self.config.clone() };
        let mut grown = Model::new(&self.device, config, self.counters.seed)?;
        let mut parameters = initial(&grown.config, &grown.tensors, self.counters.seed);
        for name in ["type.weight", "intensity.weight", "calibration.type", "intensity.log_scale"] {
            if let Some(tensor) = grown.tensors.get(name) {
                parameters[tensor.range()].fill(0.0);
            }
        }
        for name in ["type.bias", "intensity.bias"] {
            if let (Some(old), Some(new)) = (self.tensors.get(name), grown.tensors.get(name)) {
                let rarest = self.parameters[old.range()].iter().copied().fold(f32::MAX, f32::min);
                parameters[new.range()].fill(rarest);
            }
        }
        overlay(&self.tensors, &self.parameters, &grown.tensors, &mut parameters);
        grown.parameters = parameters;
        let Adam { first, second, clocks } = &self.adam;
        overlay(&self.tensors, first, &grown.tensors, &mut grown.adam.first);
        overlay(&self.tensors, second, &grown.tensors, &mut grown.adam.second);
        overlay(&self.tensors, &self.pool_sum, &grown.tensors, &mut grown.pool_sum);
        grown.adam.clocks.clone_from(clocks);
        grown.usage = std::mem::take(&mut self.usage);
        grown.counters = self.counters;
        *self = grown;
        Ok(())
    }
}

/// Whether the events of a saved model bring the time of day, which shows in what is made of them.
fn has_clock(config: &Config, named: &Named) -> bool {
    let with_clock = Config { clock_inputs: true, ..config.clone() };
    let rows = named.get("features.weight").and_then(|weight| weight.shape.first());
    rows.map_or(config.clock_inputs, |&rows| rows == with_clock.recent * with_clock.features())
}

/// Writes every tensor of `old` over the beginning of its rows and columns in `new`.
fn overlay(old: &Tensors, from: &[f32], new: &Tensors, to: &mut [f32]) {
    for (old, new) in old.iter().zip(new.iter()) {
        for row in 0..old.rows {
            let source = &from[old.offset + row * old.columns..][..old.columns];
            to[new.offset + row * new.columns..][..old.columns].copy_from_slice(source);
        }
    }
}

fn integers(named: &mut Named, name: &str, len: usize) -> Result<Vec<u64>, Error> {
    let entry = named.remove(name).ok_or_else(|| Error::Tensors(format!("{name} is missing")))?;
    entry.to_integers(len).map_err(|fault| Error::Tensors(format!("{name} {fault}")))
}
