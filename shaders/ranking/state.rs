//! A model as named tensors: what engines need, what the learner needs to go on to the same bits, changes of rows alone,
//! and more rows.

use super::model::initial;
use super::standard::Standard;
use super::{Config, Goal, Model, Network};
use crate::ops::tensors::{Entry, Named, refuse_extra};
use crate::ops::{Adam, Engine};
use crate::{Device, Error};

const FIRST: &str = "adam.first.";
const SECOND: &str = "adam.second.";
const CLOCKS: &str = "adam.clocks";
const COUNTERS: &str = "counters";

/// Rows of items and categories that changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Rows of items.
    pub items: Vec<u32>,
    /// Their embeddings, one after the other.
    pub item_embeddings: Vec<f32>,
    /// Rows of categories.
    pub categories: Vec<u32>,
    /// Their embeddings, one after the other.
    pub category_embeddings: Vec<f32>,
}

impl Model {
    /// The weights and the scale of the inputs: what is published.
    pub fn weights(&self) -> Named {
        let mut named = self.weights_without_rows();
        self.items.save_weights(&mut named);
        self.categories.save_weights(&mut named);
        named
    }

    /// The same without the embeddings of items and categories, whose changes travel alone.
    pub fn weights_without_rows(&self) -> Named {
        let mut named = Named::new();
        self.tensors.named("", &self.parameters, &mut named);
        self.standard.save(&mut named);
        named
    }

    /// The embeddings that changed since the last call. A model that was just loaded knows of no changes: publish all of
    /// it first.
    pub fn take_changes(&mut self) -> Changes {
        let (items, categories) = (self.items.take_changed(), self.categories.take_changed());
        Changes {
            item_embeddings: self.items.gather(&items),
            items,
            category_embeddings: self.categories.gather(&categories),
            categories,
        }
    }

    /// Takes what [`Model::weights_without_rows`] and [`Model::take_changes`] gave, of a model with the same settings.
    /// Rows that are new here make room for themselves.
    ///
    /// # Errors
    /// [`Error::Tensors`] that lists what is missing, unknown or of another shape; [`Error::Shape`] for rows that are not
    /// whole.
    pub fn follow(&mut self, mut named: Named, changes: &Changes) -> Result<(), Error> {
        let widths = [self.config.item_width, self.config.category_width];
        let whole = changes.items.len() * widths[0] == changes.item_embeddings.len()
            && changes.categories.len() * widths[1] == changes.category_embeddings.len();
        if !whole {
            return Err(Error::Shape(format!("changed rows must be {widths:?} wide")));
        }
        let parameters = self.tensors.take("", &mut named)?;
        let standard = Standard::take(self.config.inputs, &mut named)?;
        refuse_extra(&named)?;
        (self.parameters, self.standard) = (parameters, standard);
        let most = |rows: &[u32]| rows.iter().max().map_or(0, |&row| row as usize + 1);
        let items = most(&changes.items).max(self.config.items);
        let categories = most(&changes.categories).max(self.config.categories);
        self.grow(items, categories, self.config.actions)?;
        self.items.put(&changes.items, &changes.item_embeddings);
        self.categories.put(&changes.categories, &changes.category_embeddings);
        Ok(())
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
        let rows = |name: &str, otherwise: usize| {
            named.get(name).and_then(|entry| entry.shape.first().copied()).unwrap_or(otherwise)
        };
        let config = Config {
            items: rows("item.embedding", config.items),
            categories: rows("category.embedding", config.categories),
            actions: rows("action.embedding", config.actions),
            ..config
        };
        let mut model = Model::new(device, config)?;
        model.parameters = model.tensors.take("", named)?;
        model.standard = Standard::take(model.config.inputs, named)?;
        model.items.take_weights(named)?;
        model.categories.take_weights(named)?;
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
