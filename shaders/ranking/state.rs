//! A model as named tensors: what engines need, what the learner needs to go on to the same bits, and more rows.

use super::model::{CATEGORIES, ITEMS, initial};
use super::table::Table;
use super::{Config, Goal, Model, Network, Weights};
use crate::ops::tensors::{Entry, Named, refuse_extra};
use crate::ops::{Adam, Engine};
use crate::{Device, Error};

const FIRST: &str = "adam.first.";
const SECOND: &str = "adam.second.";
const CLOCKS: &str = "adam.clocks";
const COUNTERS: &str = "counters";

impl Model {
    /// The weights and the scale of the inputs: what is published.
    pub fn weights(&self) -> Named {
        let mut named = self.weights_without_rows();
        for table in [&self.items, &self.categories] {
            table.embedding.save_part("", table.rows(), &table.embedding.values, &mut named);
        }
        named
    }

    fn weights_without_rows(&self) -> Named {
        let mut named = Named::new();
        self.tensors.named("", &self.parameters, &mut named);
        self.standard.save(&mut named);
        named
    }

    /// All that the learner needs to go on: weights, moments, clocks, counters.
    pub fn save(&self) -> Named {
        let mut named = self.weights_without_rows();
        self.items.save(&mut named);
        self.categories.save(&mut named);
        self.tensors.named(FIRST, &self.adam.first, &mut named);
        self.tensors.named(SECOND, &self.adam.second, &mut named);
        named.insert(CLOCKS.to_owned(), Entry::integers(&self.adam.clocks));
        named.insert(COUNTERS.to_owned(), Entry::integers(&[self.config.seed, self.steps]));
        named
    }

    /// The model that [`Model::weights`] gave, with a fresh optimizer. The numbers of rows are the saved ones.
    ///
    /// # Errors
    /// [`Error::Tensors`] that lists what is missing, unknown or of another shape; what the device says.
    pub fn from_weights(device: &Device, config: Config, mut named: Named) -> Result<Model, Error> {
        let model = Model::take(device, config, &mut named)?;
        refuse_extra(&named)?;
        Ok(model)
    }

    /// The model that [`Model::save`] gave; it goes on to the same bits.
    ///
    /// # Errors
    /// As [`Model::from_weights`].
    pub fn load(device: &Device, config: Config, mut named: Named) -> Result<Model, Error> {
        let counters = integers(&mut named, COUNTERS, 2)?;
        let config = Config { seed: counters[0], ..config };
        let mut model = Model::take(device, config, &mut named)?;
        model.items.take_moments(&mut named)?;
        model.categories.take_moments(&mut named)?;
        model.adam.first = model.tensors.take(FIRST, &mut named)?;
        model.adam.second = model.tensors.take(SECOND, &mut named)?;
        model.adam.clocks = integers(&mut named, CLOCKS, model.adam.clocks.len())?;
        model.steps = counters[1];
        refuse_extra(&named)?;
        Ok(model)
    }

    /// Weights and scale out of `named`.
    fn take(device: &Device, config: Config, named: &mut Named) -> Result<Model, Error> {
        let Weights { config, parameters, standard, items, categories } = Weights::take(config, named)?;
        let mut model = Model::new(device, Config { items: 1, categories: 1, ..config.clone() })?;
        model.items = Table::of(items, config.items, ITEMS);
        model.categories = Table::of(categories, config.categories, CATEGORIES);
        (model.parameters, model.standard, model.config) = (parameters, standard, config);
        Ok(model)
    }

    /// Makes room for more items, categories and action types. What was learned stays; new rows begin as they would have
    /// in a model that was so large from the beginning.
    ///
    /// # Errors
    /// [`Error::Shape`] where there would be fewer; what the device says.
    pub fn grow(&mut self, items: usize, categories: usize, actions: usize) -> Result<(), Error> {
        let have = [self.config.items, self.config.categories, self.config.actions];
        let want = [items, categories, actions];
        if want.iter().zip(have).any(|(want, have)| *want < have) {
            let what = "items, categories and actions and cannot shrink to";
            return Err(Error::Shape(format!("the model has {have:?} {what} {want:?}")));
        }
        let config = Config { items, categories, actions, ..self.config.clone() };
        if actions > self.config.actions && self.config.action_width > 0 {
            self.grow_actions(&config)?;
        }
        self.items.grow(items, config.seed);
        self.categories.grow(categories, config.seed);
        self.config = config;
        Ok(())
    }

    /// Rows of items are given to others: they begin anew, as they would in a new model. Panics for row 0, and for rows that
    /// are not there.
    pub fn renew_items(&mut self, rows: impl IntoIterator<Item = u32>) {
        rows.into_iter().for_each(|row| self.items.renew(row, self.config.seed));
    }

    /// Only the first tensor has a row per action type: it grows at its end, and the others move.
    fn grow_actions(&mut self, config: &Config) -> Result<(), Error> {
        let tensors = config.tensors();
        let engine = |goal| Engine::new(&self.device, Network::record(config, &tensors, goal));
        let (learn, score) = (engine(Goal::Learn)?, engine(Goal::Score)?);
        let old = &self.tensors;
        let overlay = |from: &[f32], mut to: Vec<f32>| {
            for (old, new) in old.iter().zip(tensors.iter()) {
                to[new.range()][..old.range().len()].copy_from_slice(&from[old.range()]);
            }
            to
        };
        self.parameters = overlay(&self.parameters, initial(config, &tensors));
        let none = || vec![0.0; tensors.len()];
        self.adam = Adam {
            first: overlay(&self.adam.first, none()),
            second: overlay(&self.adam.second, none()),
            clocks: self.adam.clocks.clone(),
        };
        self.gradient = none();
        (self.tensors, self.learn, self.score) = (tensors, learn, score);
        Ok(())
    }
}

pub(super) fn integers(named: &mut Named, name: &str, len: usize) -> Result<Vec<u64>, Error> {
    let entry = named.remove(name).ok_or_else(|| Error::Tensors(format!("{name} is missing")))?;
    entry.to_integers(len).map_err(|fault| Error::Tensors(format!("{name} {fault}")))
}
