//! Versions of items whose vectors are learned from the log (`items.vectors = "co-occurrence"`).

use std::sync::{Arc, Mutex, PoisonError};

use shaders::ops::tensors::{Entry, Named};
use shaders::sdim::{Sdim, quantize};

use super::catalogue::{ItemsError, hashed};
use super::items::Items;
use crate::forecast::version::VersionError;
use crate::model::shelf::Shelf;
use crate::rank::version::Rows;

/// Names of the items of a version.
const NAMES: &str = "item.names";
/// Their unit vectors (items, dim), in the order of the names.
const VECTORS: &str = "item.vectors";

/// The tensors of a version.
pub fn tensors(names: &Rows, vectors: &[f32], dim: usize) -> Named {
    let vectors = Entry::floats(vec![names.len() - 1, dim], vectors);
    [(NAMES.to_owned(), names.entry()), (VECTORS.to_owned(), vectors)].into()
}

/// Names and vectors (items, dim) of a version; none where the tensors are something else.
pub fn vectors_of(tensors: &Named, dim: usize) -> Option<(Rows, Vec<f32>)> {
    let names = Rows::of(tensors.get(NAMES)?)?;
    let vectors = tensors.get(VECTORS)?.to_floats(&[names.len() - 1, dim]).ok()?;
    Some((names, vectors))
}

/// Where versions come from.
pub struct Learned {
    shelf: Arc<Shelf>,
    /// Of the catalogue's hashes. Who makes a version holds them: the others that want it wait.
    kernels: Mutex<Vec<Sdim>>,
}

impl Learned {
    /// Versions of model `items`; the kernels are the catalogue's.
    pub fn new(shelf: Arc<Shelf>, kernels: Vec<Sdim>) -> Self {
        Self { shelf, kernels: Mutex::new(kernels) }
    }

    /// The newest version that was published, where there is one; without waiting.
    ///
    /// # Errors
    /// Where the log fails.
    pub fn newest(&self) -> Result<Option<u64>, ItemsError> {
        Ok(self.shelf.newest()?)
    }

    /// Makes the items of a version out of `nothing`, unless somebody else just has (`is_made`).
    ///
    /// # Errors
    /// Where the version cannot be had.
    pub fn make(
        &self,
        version: u64,
        dim: usize,
        nothing: impl FnOnce() -> Items,
        is_made: impl FnOnce() -> bool,
    ) -> Result<Option<Items>, ItemsError> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if is_made() {
            return Ok(None);
        }
        let model = self.shelf.get(version)?;
        let wrong = || {
            let reason = format!(
                "it has no vectors of length {dim}: set sdim.dim as it was when they were learned, or start over under another \
                 `app`"
            );
            VersionError::Misfit { model: model.name.clone(), version: model.version, reason }
        };
        let (names, vectors) = vectors_of(&model.tensors, dim).ok_or_else(wrong)?;
        // Where the version is not to be had any more, it is a newer one: tables say so.
        let mut items = nothing().of_version(model.version);
        let mut quantized = Vec::with_capacity(vectors.len());
        quantize(&vectors, &mut quantized);
        let signatures = kernels.iter_mut().map(|kernels| hashed(kernels, &quantized));
        let signatures = signatures.collect::<Result<Vec<_>, _>>()?;
        names.names().for_each(|name| items.describe(name, ""));
        items.complete(names.names(), &quantized, &signatures)?;
        Ok(Some(items))
    }
}
