//! What MUSE's search does for a request, ready to be timed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::{Block, CHUNK_EVENTS, Config, Found, Gsu, quantize};
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
        let mut random = ChaCha8Rng::seed_from_u64(length as u64);
        let mut block = Block::new(dim)?;
        for _ in 0..length {
            block.push(Some(&unit_vectors(&mut random, 1, dim)))?;
        }
        let candidates = unit_vectors(&mut random, candidates, dim);
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

/// Unit vectors (count, dim) of normal directions.
fn unit_vectors(random: &mut ChaCha8Rng, count: usize, dim: usize) -> Vec<i8> {
    let mut out = Vec::with_capacity(count * dim);
    for _ in 0..count {
        // The sum of four uniform numbers is normal enough.
        let mut normal = || (0..4).map(|_| random.next_u32() as f32 / u32::MAX as f32 - 0.5).sum::<f32>();
        let raw: Vec<f32> = (0..dim).map(|_| normal()).collect();
        let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-3);
        quantize(&raw.iter().map(|x| x / length).collect::<Vec<_>>(), &mut out);
    }
    out
}
