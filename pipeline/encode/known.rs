//! Item vectors, as a room sees them.

use std::sync::Arc;

use shaders::sdim::{Sdim, quantize};

use super::catalogue::{self, Catalogue, Holder, ItemsError};
use super::hashed::hashed_vector;
use super::items::{Gathered, Item, Items};
use super::vectors::Budget;

/// Hashed items that a worker keeps at hand; when they are more, it begins anew.
const HASHED_ITEMS_MAX: usize = 1 << 16;

/// Where item vectors come from.
#[derive(Clone)]
pub enum ItemSource {
    /// The `items` topic; shared by all workers.
    Catalogue(Arc<Catalogue>),
    /// A seeded hash of the item's id.
    Hashed,
}

/// A room's way to item vectors, and to their signatures by its hash.
pub(crate) enum Known {
    /// And the place of the hash among the catalogue's, where the room has one.
    Catalogue(Holder, Option<usize>),
    Hashed(Box<Items>),
}

/// The items of a task for the length of a batch.
pub(crate) enum Reading<'a> {
    Catalogue(catalogue::Reading<'a>, Option<usize>),
    Hashed(&'a Items),
}

impl Known {
    /// For vectors of length `dim`, and signatures of so many bits, where they are wanted.
    pub(crate) fn new(source: ItemSource, dim: usize, bits: Option<usize>) -> Self {
        match source {
            ItemSource::Catalogue(catalogue) => {
                let place = |bits| catalogue.config().hashes.iter().position(|(of, _)| *of == bits);
                let hash = bits.map(|bits| place(bits).expect("the catalogue was made for all rooms"));
                Self::Catalogue(Holder::new(catalogue), hash)
            }
            ItemSource::Hashed => Self::Hashed(Box::new(hashed(dim))),
        }
    }

    /// Makes sure that hashed vectors of `ids` are at hand; whether rows mean other vectors from now on.
    pub(crate) fn prepare<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a str>,
        dim: usize,
        kernels: &mut Sdim,
    ) -> Result<bool, ItemsError> {
        let Self::Hashed(items) = self else { return Ok(false) };
        let (mut missing, mut vectors) = (Vec::new(), Vec::new());
        let mut seen = std::collections::HashSet::new();
        let ids: Vec<_> = ids.collect();
        let begins_anew = items.len() > HASHED_ITEMS_MAX;
        if begins_anew {
            **items = hashed(dim);
        }
        for id in ids {
            if items.find(id).is_none() && seen.insert(id) {
                quantize(&hashed_vector(id, dim), &mut vectors);
                missing.push(id);
            }
        }
        let signatures = kernels.simhash(&vectors)?;
        missing.iter().for_each(|id| items.describe(id, ""));
        items.complete(missing, &vectors, &[signatures])?;
        Ok(begins_anew)
    }

    /// A task is in a version from now on.
    pub(crate) fn adopt(&mut self, task: i32, version: u64) -> Result<(), ItemsError> {
        match self {
            Self::Catalogue(holder, _) => holder.adopt(task, version),
            Self::Hashed(_) => Ok(()),
        }
    }

    /// The task is another worker's.
    pub(crate) fn forget(&mut self, task: i32) {
        if let Self::Catalogue(holder, _) = self {
            holder.forget(task);
        }
    }

    /// The version that a task is in.
    pub(crate) fn version(&self, task: i32) -> u64 {
        match self {
            Self::Catalogue(holder, _) => holder.version(task),
            Self::Hashed(_) => 0,
        }
    }

    pub(crate) fn read(&self, task: i32) -> Reading<'_> {
        match self {
            Self::Catalogue(holder, hash) => Reading::Catalogue(holder.read(task), *hash),
            Self::Hashed(items) => Reading::Hashed(items),
        }
    }
}

/// No hashed items yet.
fn hashed(dim: usize) -> Items {
    Items::new(dim, 1, Arc::new(Budget::new(u64::MAX, std::env::temp_dir())))
}

impl Reading<'_> {
    /// What is known of an item; nothing of one that is not.
    pub(crate) fn find(&self, item_id: &str) -> Item<'_> {
        match self {
            Self::Catalogue(items, _) => items.find(item_id),
            Self::Hashed(items) => items.find(item_id).unwrap_or_default(),
        }
    }

    /// The version of what made their vectors.
    pub(crate) fn version(&self) -> u64 {
        match self {
            Self::Catalogue(items, _) => items.version(),
            Self::Hashed(items) => items.version,
        }
    }

    /// How many items have vectors.
    pub(crate) fn vectors(&self) -> usize {
        match self {
            Self::Catalogue(items, _) => items.vectors(),
            Self::Hashed(items) => items.vectors(),
        }
    }

    /// Takes vectors and signatures of `rows`, in their order.
    pub(crate) fn gather(&self, rows: &[u32], out: &mut Gathered) -> Result<(), ItemsError> {
        let gathered = match self {
            Self::Catalogue(items, hash) => items.gather(rows, *hash, out),
            Self::Hashed(items) => items.gather(rows, Some(0), out),
        };
        Ok(gathered?)
    }
}
