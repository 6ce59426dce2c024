//! MUSE: *A Simple Yet Effective Multimodal Search-Based Framework for Lifelong User Interest Modeling*
//! (arXiv 2512.07216): its search stage, the General Search Unit, and SimTier's counts.
//!
//! Of a history of up to 100,000 behaviors, the 50 whose content is most like a candidate's are found by the cosine of
//! frozen content vectors, and modeled exactly by what follows (`ranking`).
//!
//! | formula | here: kernels |
//! |---|---|
//! | r_i = dot(v_a, v_i) / (length(v_a) length(v_i)), the K largest | [`Gsu::search`]: `shortlist` of every chunk, `merge` |
//! | n_b = how many r lie in tier b = ceil(r / 0.1) + 10 | [`Gsu::tiers`] |
//!
//! # What is exact
//!
//! Vectors are int8, q = round(127 v). Products and squared lengths are integers. Events are ranked by one number,
//! f32(product) * f32(1 / length): the product is below 2^23, so exact, and the rounding of one multiplication is the
//! same on every device. Ties go to the newer event. So every device finds the same, in the same order; the published
//! order of ties is not defined. The similarities that are returned are computed from the integers, in f64: an event
//! like its candidate has exactly 1.
//!
//! Events without content (a zero vector: the item is unknown, or its vector has not come yet) are never found, nor is
//! anything found for a candidate without content; the released code finds them, with r = 0, where fewer than K others
//! are there.
//!
//! # How it is fast
//!
//! Scores are never stored: a tile of candidates meets a chunk of events, and only what beats a candidate's k-th so far
//! leaves the registers. Vectors lie in tiles of 16 events, four components of each side by side, so that one
//! instruction (or 16 lanes of a GPU) takes 16 events a step further.

pub mod bench;
mod block;
mod content;
mod cpu;
mod launch;
mod pages;
mod shortlist;
#[cfg(test)]
mod tests;
mod tiers;
mod top;

pub use block::{Block, CHUNK_EVENTS};
pub use content::{narrow, products, quantize};
pub use tiers::{NEWEST, TIERS, tier_of};

#[cfg(test)]
pub(crate) use launch::SOURCES;

use crate::{Device, Error};

/// The widest content vector.
pub const DIM_MAX: usize = 512;
/// The most events that are found for a candidate.
pub const K_MAX: usize = 255;

/// What was found for candidates, ragged by candidate, the most similar first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// (candidates + 1)
    pub offsets: Vec<u32>,
    /// How many events are newer than the one found: 0 is the newest.
    pub ages: Vec<u32>,
    /// Its cosine with the candidate.
    pub similarities: Vec<f32>,
}

impl Found {
    fn clear(&mut self) {
        self.offsets.clear();
        self.offsets.push(0);
        self.ages.clear();
        self.similarities.clear();
    }
}

/// As [`Gsu::search`], on the CPU, once.
///
/// # Errors
/// As [`Gsu::search`].
pub fn search(block: &Block, candidates: &[i8], k: usize) -> Result<Found, Error> {
    let mut found = Found::default();
    Gsu::new(&Device::Cpu, Config { dim: block.dim(), chunks: 0 })?.search(block, candidates, k, &mut found)?;
    Ok(found)
}

/// What a [`Gsu`] is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Components of a content vector, 1 to [`DIM_MAX`].
    pub dim: usize,
    /// Chunks of [`CHUNK_EVENTS`] events that a GPU holds, of whatever users, from the start; 1,024 times `dim` + 4 bytes
    /// each. Those that were not searched for longest make room. On the CPU nothing is held.
    pub chunks: usize,
}

/// The General Search Unit on a device.
#[derive(Debug)]
pub struct Gsu {
    config: Config,
    isa: shortlist::Isa,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Cpu(cpu::Searcher),
    Gpu(Box<launch::Launcher>),
}

impl Gsu {
    /// On `device`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong setting, [`Error::Limit`] or [`Error::Memory`] where the chunks do not fit the GPU, and
    /// the device's own.
    pub fn new(device: &Device, config: Config) -> Result<Gsu, Error> {
        Gsu::with_pages(device, config, u64::MAX)
    }

    /// No page of chunks is larger than `page_bytes_max`; the device's own limits hold besides.
    fn with_pages(device: &Device, config: Config, page_bytes_max: u64) -> Result<Gsu, Error> {
        block::check_dim(config.dim)?;
        let backend = match device {
            Device::Cpu => Backend::Cpu(cpu::Searcher::default()),
            Device::Gpu(gpu) => Backend::Gpu(Box::new(launch::Launcher::new(gpu, config, page_bytes_max)?)),
        };
        Ok(Gsu { config, isa: shortlist::Isa::detect(), backend })
    }

    /// After [`Error::DeviceLost`]: the same on a device of the same kind, opened anew; it holds no chunks yet.
    ///
    /// # Errors
    /// As [`Gsu::new`], and where no such device is there any more.
    pub fn renew(&mut self) -> Result<(), Error> {
        if let Backend::Gpu(lost) = &self.backend {
            *self = Gsu::with_pages(&Device::Gpu(lost.gpu().reopen()?), self.config, lost.page_bytes_max())?;
        }
        Ok(())
    }

    /// Fills `found` with the `k` events of the block's window that are most similar to each of `candidates`
    /// (candidates, dim), int8 as [`quantize()`] makes it: all that have content, where they are fewer.
    ///
    /// # Errors
    /// [`Error::Shape`] where the candidates are not whole or not within ±127, the block has another dim, or `k` is not 1
    /// to [`K_MAX`]; the device's own.
    pub fn search(&mut self, block: &Block, candidates: &[i8], k: usize, found: &mut Found) -> Result<(), Error> {
        self.check(block, candidates)?;
        if k == 0 || k > K_MAX {
            return Err(Error::Shape(format!("{k} events to be found, but there must be 1 to {K_MAX}")));
        }
        found.clear();
        match &mut self.backend {
            Backend::Cpu(searcher) => searcher.search(block, candidates, k, found),
            Backend::Gpu(launcher) => launcher.search(block, candidates, k, found)?,
        }
        Ok(())
    }

    /// Fills `tiers` (candidates, 44) with SimTier's counts of `candidates`, for which `found` was found in `block`: 22
    /// of what was found, then 22 of the [`NEWEST`] 50 events, where one without content counts as a similarity of 0,
    /// as in the released code.
    ///
    /// # Errors
    /// [`Error::Shape`] where the parts do not fit together.
    pub fn tiers(&mut self, block: &Block, candidates: &[i8], found: &Found, tiers: &mut Vec<u8>) -> Result<(), Error> {
        self.check(block, candidates)?;
        let count = candidates.len() / block.dim();
        if found.offsets.len() != count + 1 {
            let others = found.offsets.len().saturating_sub(1);
            return Err(Error::Shape(format!("{count} candidates, but events were found for {others}")));
        }
        tiers::tiers(self.isa, block, candidates, found, tiers);
        Ok(())
    }
    fn check(&self, block: &Block, candidates: &[i8]) -> Result<(), Error> {
        if block.dim() != self.config.dim {
            let (found, dim) = (block.dim(), self.config.dim);
            return Err(Error::Shape(format!("the block has vectors of {found} components, not {dim}")));
        }
        block::check(block.dim(), candidates)
    }
}
