//! Item vectors, as a room sees them.

use std::sync::{Arc, RwLockReadGuard};

use shaders::sdim::{Sdim, quantize};

use super::catalogue::{Catalogue, Items};
use super::hashed::hashed_vector;

/// Hashed items that a worker keeps at hand; when they are more, it begins anew.
const HASHED_ITEMS_MAX: usize = 1 << 16;

/// Where item vectors come from.
#[derive(Clone)]
pub enum ItemSource {
    /// The `items` topic; shared by all workers.
    Topic(Arc<Catalogue>),
    /// A seeded hash of the item's id.
    Hashed,
}

/// A worker's way to item vectors.
pub(crate) enum Known {
    Topic(Arc<Catalogue>),
    Hashed(Items),
}

/// The items for the length of a batch.
pub(crate) enum Reading<'a> {
    Topic(RwLockReadGuard<'a, Items>),
    Hashed(&'a Items),
}

impl std::ops::Deref for Reading<'_> {
    type Target = Items;

    fn deref(&self) -> &Items {
        match self {
            Self::Topic(items) => items,
            Self::Hashed(items) => items,
        }
    }
}

impl Known {
    pub(crate) fn new(source: ItemSource) -> Self {
        match source {
            ItemSource::Topic(catalogue) => Self::Topic(catalogue),
            ItemSource::Hashed => Self::Hashed(Items::default()),
        }
    }

    /// Makes sure that hashed vectors of `ids` are at hand.
    pub(crate) fn prepare<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a str>,
        dim: usize,
        kernels: &mut Sdim,
    ) -> Result<(), shaders::Error> {
        let Self::Hashed(items) = self else { return Ok(()) };
        let (mut missing, mut vectors) = (Vec::new(), Vec::new());
        let mut seen = std::collections::HashSet::new();
        let ids: Vec<_> = ids.collect();
        if items.len() > HASHED_ITEMS_MAX {
            items.clear();
        }
        for id in ids {
            if items.find(id).is_none() && seen.insert(id) {
                quantize(&hashed_vector(id, dim), &mut vectors);
                missing.push(Box::from(id));
            }
        }
        let signatures = kernels.simhash(&vectors)?;
        items.add(missing, &vectors, &signatures, Vec::new());
        Ok(())
    }

    pub(crate) fn read(&self) -> Reading<'_> {
        match self {
            Self::Topic(catalogue) => Reading::Topic(catalogue.read()),
            Self::Hashed(items) => Reading::Hashed(items),
        }
    }
}
