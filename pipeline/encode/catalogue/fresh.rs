//! What is news in items as they come: the first vector of an item is final, and so many items are known at most.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use shaders::sdim::quantize;

use super::super::items::{Described, Gathered};
use super::{Catalogue, ItemsError};

/// What is news in a batch.
#[derive(Default)]
pub(super) struct Fresh {
    pub described: Vec<Described>,
    /// Places among them of those that get vectors.
    pub completed: Vec<usize>,
    /// (completed, dim)
    pub vectors: Vec<i16>,
}

impl Catalogue {
    /// What is news in a batch of items of one version.
    pub(super) fn fresh(&self, version: u64, batch: Vec<Described>) -> Result<Fresh, ItemsError> {
        let versions = self.read();
        let (items, dim) = (versions.by_number.get(&version).unwrap_or(&self.empty), self.config.dim);
        let (mut fresh, mut own, mut first) = (Fresh::default(), Vec::new(), Gathered::default());
        // By id, the place of its vector among those of this batch, where it has one.
        let mut places: HashMap<Box<str>, Option<usize>> = HashMap::new();
        let (mut unknown, mut refused, mut changed) = (items.len(), 0, 0);
        for described in batch {
            let known = items.find(&described.id);
            if known.is_none() && !places.contains_key(&described.id) {
                if unknown >= self.config.max {
                    refused += 1;
                    continue;
                }
                unknown += 1;
            }
            let place = places.entry(described.id.clone()).or_insert(None);
            own.clear();
            quantize(described.vector.as_deref().unwrap_or_default(), &mut own);
            // A vector of nothing but zeros says nothing of where the item lies.
            if own.iter().any(|x| *x != 0) {
                let kept = match (known.and_then(|known| known.row), *place) {
                    (Some(row), _) => {
                        items.gather(&[row], None, &mut first)?;
                        Some(first.vector(0))
                    }
                    (None, Some(at)) => Some(&fresh.vectors[at * dim..][..dim]),
                    (None, None) => None,
                };
                match kept {
                    Some(kept) => changed += u64::from(kept != own),
                    None => {
                        *place = Some(fresh.completed.len());
                        fresh.completed.push(fresh.described.len());
                        fresh.vectors.extend_from_slice(&own);
                    }
                }
            }
            fresh.described.push(described);
        }
        self.pass_over(refused, changed);
        Ok(fresh)
    }

    /// Takes what is said of items beside vectors, of whichever version it is.
    pub(super) fn describe(&self, batch: &[Described]) {
        let (mut versions, mut refused) = (self.write(), 0);
        for Described { id, category, .. } in batch {
            if versions.described.len() < self.config.max || versions.described.find(id).is_some() {
                versions.described.describe(id, category);
            } else {
                refused += 1;
            }
        }
        drop(versions);
        self.pass_over(refused, 0);
        self.count();
    }

    fn pass_over(&self, refused: u64, changed: u64) {
        self.metrics.items_passed_over(refused, changed);
        if refused > 0 && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "more items came than items.max = {}: those beyond stay unknown; raise it, or remove items that nobody needs \
                 from topic items",
                self.config.max
            );
        }
    }
}
