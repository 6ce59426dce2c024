//! What a row reads of the whole history for each candidate: nothing of it is trained, so it is made once.

use std::time::Instant;

use shaders::muse::{self, Block, Found, Gsu};
use shaders::sdim::{self, Sdim, hash_matrix_of};
use shaders::{Device, Error};

use super::keys::{Keys, Version};
use super::log::{Behavior, Log, Request};

/// Behaviors that are found for a candidate, at most.
pub const FOUND: usize = 50;
/// SimTier's counts of a candidate: of what was found, and of the newest behaviors.
pub const TIERS: usize = 2 * muse::TIERS;

/// What one row reads, for all candidates of a log.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    /// (candidates, dim): the long interest; empty where the row has none of this kind.
    pub reads: Vec<f32>,
    /// Behaviors found for candidate c: places `found_offsets[c]..found_offsets[c + 1]`; empty where nothing is sought.
    pub found_offsets: Vec<usize>,
    /// Their places in the history, counted from the newest.
    pub found_ages: Vec<u32>,
    /// Their cosines; 0 where they were not found by them.
    pub found_similarities: Vec<f32>,
    /// (candidates, [`TIERS`]); empty where the row has none.
    pub tiers: Vec<u8>,
    /// What it took, in seconds.
    pub seconds: f64,
}

/// Hyperplanes and how many of them name a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// `sdim.bits`
    pub bits: usize,
    /// `sdim.group_bits`
    pub group_bits: usize,
}

/// A request, what it sees, and what it is to know items by.
struct Sight<'a> {
    request: &'a Request,
    /// Newest first.
    history: &'a [Behavior],
    candidates: &'a [u32],
    keys: &'a Version,
}

/// Calls `each` with every request and what it sees, and measures.
fn of_requests(
    log: &Log,
    keys: &Keys,
    history_max: usize,
    mut each: impl FnMut(&mut Interest, Sight<'_>) -> Result<(), Error>,
) -> Result<Interest, Error> {
    let start = Instant::now();
    let mut interest = Interest::default();
    let mut newest_first = Vec::new();
    for request in &log.requests {
        newest_first.clear();
        newest_first.extend(log.history(request, history_max).iter().rev());
        let candidates = &log.candidates[request.candidates.clone()];
        each(&mut interest, Sight { request, history: &newest_first, candidates, keys: keys.at(request.time_ms) })?;
    }
    interest.seconds = start.elapsed().as_secs_f64();
    Ok(interest)
}

/// The mean of the history's vectors.
///
/// # Errors
/// None.
pub fn mean(log: &Log, keys: &Keys, history_max: usize) -> Result<Interest, Error> {
    let mut mean = vec![0.0; keys.dim];
    of_requests(log, keys, history_max, |interest, sight| {
        mean.fill(0.0);
        for behavior in sight.history {
            mean.iter_mut().zip(sight.keys.of(behavior.item)).for_each(|(sum, x)| *sum += x);
        }
        mean.iter_mut().for_each(|sum| *sum /= sight.history.len().max(1) as f32);
        sight.candidates.iter().for_each(|_| interest.reads.extend(&mean));
        Ok(())
    })
}

/// The newest behaviors with an item of the candidate's category (SIM's hard search).
///
/// # Errors
/// None.
pub fn hard(log: &Log, keys: &Keys, history_max: usize) -> Result<Interest, Error> {
    let of = |item: u32| log.items.categories[item as usize];
    of_requests(log, keys, history_max, |interest, sight| {
        for &item in sight.candidates {
            let category = of(item);
            let alike = |behavior: &Behavior| category != 0 && of(behavior.item) == category;
            let ages = (0..).zip(sight.history).filter(|(_, behavior)| alike(behavior)).map(|(age, _)| age);
            interest.find(ages.take(FOUND).map(|age| (age, 0.0)));
        }
        Ok(())
    })
}

/// What SDIM's tables say of each candidate; items without a vector are in none.
///
/// # Errors
/// Where the hash has a form that cannot be.
pub fn sdim(log: &Log, keys: &Keys, history_max: usize, hash: Hash) -> Result<Interest, Error> {
    let Hash { bits, group_bits } = hash;
    let dim = keys.dim;
    let config = sdim::Config { dim, slots: 1, bits, group_bits };
    let mut tables = Sdim::new(&Device::Cpu, config, &hash_matrix_of(bits, dim))?;
    let words = config.signature_words();
    let mut versions = Vec::new();
    for version in keys.versions() {
        let mut vectors = Vec::with_capacity(version.vectors.len());
        sdim::quantize(&version.vectors, &mut vectors);
        versions.push((tables.simhash(&vectors)?, vectors));
    }
    let (mut signatures, mut asked, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    of_requests(log, keys, history_max, |interest, sight| {
        let (known, vectors) = &versions[keys.version_at(sight.request.time_ms)];
        let signature = |item: u32| &known[item as usize * words..][..words];
        signatures.clear();
        let mut window: Vec<&[i16]> = Vec::with_capacity(sight.history.len());
        for behavior in sight.history.iter().filter(|behavior| sight.keys.knows(behavior.item)) {
            window.push(&vectors[behavior.item as usize * dim..][..dim]);
            signatures.extend_from_slice(signature(behavior.item));
        }
        asked.clear();
        sight.candidates.iter().for_each(|item| asked.extend_from_slice(signature(*item)));
        tables.read_window(&sdim::Window { vectors: &window, signatures: &signatures }, &asked, &mut reads)?;
        interest.reads.extend_from_slice(&reads);
        Ok(())
    })
}

/// What MUSE's search finds for each candidate, and SimTier's counts.
///
/// # Errors
/// Where vectors are too long.
pub fn muse(log: &Log, keys: &Keys, history_max: usize) -> Result<Interest, Error> {
    let dim = keys.dim;
    let versions: Vec<Vec<i8>> = keys
        .versions()
        .iter()
        .map(|version| {
            let mut vectors = Vec::with_capacity(version.vectors.len());
            muse::quantize(&version.vectors, &mut vectors);
            vectors
        })
        .collect();
    let mut gsu = Gsu::new(&Device::Cpu, shaders::muse::Config { dim: keys.dim, chunks: 1 })?;
    let (mut asked, mut found, mut tiers) = (Vec::new(), Found::default(), Vec::new());
    of_requests(log, keys, history_max, |interest, sight| {
        let vectors = &versions[keys.version_at(sight.request.time_ms)];
        let vector = |item: u32| &vectors[item as usize * dim..][..dim];
        let mut block = Block::new(dim)?;
        for behavior in sight.history.iter().rev() {
            block.push(Some(vector(behavior.item)))?;
        }
        asked.clear();
        sight.candidates.iter().for_each(|item| asked.extend_from_slice(vector(*item)));
        gsu.search(&block, &asked, FOUND, &mut found)?;
        gsu.tiers(&block, &asked, &found, &mut tiers)?;
        interest.tiers.extend_from_slice(&tiers);
        for range in found.offsets.windows(2) {
            let range = range[0] as usize..range[1] as usize;
            let similarities = found.similarities[range.clone()].iter().copied();
            interest.find(found.ages[range].iter().copied().zip(similarities));
        }
        Ok(())
    })
}

impl Interest {
    fn find(&mut self, found: impl Iterator<Item = (u32, f32)>) {
        if self.found_offsets.is_empty() {
            self.found_offsets.push(0);
        }
        for (age, similarity) in found {
            self.found_ages.push(age);
            self.found_similarities.push(similarity);
        }
        self.found_offsets.push(self.found_ages.len());
    }
}
