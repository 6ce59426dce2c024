//! Rows of a large embedding beside the tape: a batch brings those it needs.

use crate::Error;
use crate::ops::tensors::{Entry, Named};

/// Rows of one width.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Embedding {
    name: &'static str,
    width: usize,
    /// (rows, width)
    pub values: Vec<f32>,
}

impl Embedding {
    /// No rows yet.
    pub fn new(name: &'static str, width: usize) -> Embedding {
        Embedding { name, width, values: Vec::new() }
    }

    /// Takes so many rows out of named tensors.
    ///
    /// # Errors
    /// [`Error::Tensors`] that names what is missing or misshapen.
    pub fn take(name: &'static str, (rows, width): (usize, usize), from: &mut Named) -> Result<Embedding, Error> {
        let mut embedding = Embedding::new(name, width);
        embedding.values = embedding.take_part("", rows, from)?;
        Ok(embedding)
    }

    /// Numbers of the same shape whose name begins with `part`.
    ///
    /// # Errors
    /// [`Error::Tensors`] that names what is missing or misshapen.
    pub fn take_part(&self, part: &str, rows: usize, from: &mut Named) -> Result<Vec<f32>, Error> {
        let name = self.entry(part);
        let entry = from.remove(&name).ok_or_else(|| Error::Tensors(format!("{name} is missing")))?;
        entry.to_floats(&[rows, self.width]).map_err(|fault| Error::Tensors(format!("{name} {fault}")))
    }

    /// Puts numbers of the same shape beside the named tensors.
    pub fn save_part(&self, part: &str, rows: usize, values: &[f32], into: &mut Named) {
        into.insert(self.entry(part), Entry::floats(vec![rows, self.width], values));
    }

    /// The name of a tensor with a row for each of these.
    pub fn entry(&self, part: &str) -> String {
        format!("{part}{}.embedding", self.name)
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rows of these numbers, one after the other.
    pub fn gather(&self, ids: &[u32]) -> Vec<f32> {
        let mut rows = Vec::with_capacity(ids.len() * self.width);
        for &id in ids {
            rows.extend_from_slice(&self.values[id as usize * self.width..][..self.width]);
        }
        rows
    }
}
