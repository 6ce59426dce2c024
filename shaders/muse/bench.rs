//! What MUSE's search does for a request, ready to be timed.

use super::{Block, CHUNK_EVENTS, Config, Found, Gsu, quantize};
use crate::bench::unit_vectors;
use crate::{Device, Error};

/// A user with `length` events, and candidates to be scored.
#[derive(Debug)]
pub struct Request {
    gsu: Gsu,
    block: Block,
    candidates: Vec<i8>,
    found: Found,
    tiers: Vec<u8>,
}

impl Request {
    /// Random unit vectors, on `device`.
    ///
    /// # Errors
    /// Where `dim` is wrong, and the device's own.
    pub fn new(device: &Device, dim: usize, length: usize, candidates: usize) -> Result<Request, Error> {
        let mut vectors = Vec::with_capacity((length + candidates) * dim);
        quantize(&unit_vectors(length as u64, length + candidates, dim), &mut vectors);
        let candidates = vectors.split_off(length * dim);
        let mut block = Block::new(dim)?;
        for vector in vectors.chunks_exact(dim) {
            block.push(Some(vector))?;
        }
        let (found, tiers) = (Found::default(), Vec::new());
        Ok(Request {
            gsu: Gsu::new(device, Config { dim, chunks: length.div_ceil(CHUNK_EVENTS).max(1) })?,
            block,
            candidates,
            found,
            tiers,
        })
    }

    /// Finds the 50 most similar events of each candidate.
    ///
    /// # Errors
    /// The device's own.
    pub fn search(&mut self) -> Result<&Found, Error> {
        self.gsu.search(&self.block, &self.candidates, 50, &mut self.found)?;
        Ok(&self.found)
    }

    /// SimTier's counts, after a search.
    ///
    /// # Errors
    /// None after a search.
    pub fn tiers(&mut self) -> Result<&[u8], Error> {
        self.gsu.tiers(&self.block, &self.candidates, &self.found, &mut self.tiers)?;
        Ok(&self.tiers)
    }
}
