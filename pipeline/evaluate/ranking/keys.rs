//! Frozen vectors of items: what attention compares.
//!
//! Vectors that are learned from the log come in versions, as they do live: a request sees those that were made of
//! what was older. One version for all of training would know which item was chosen next, and a model would trust it.

use shaders::co_occurrence::{Counts, PAIRS_MAX, WINDOW};

use super::log::{Log, Part};
use crate::encode::hashed::hashed_vector;

/// Length of vectors that are made here.
pub const DIM: usize = 64;
/// The seed of the subspace that co-occurrence begins with.
const SEED: u64 = 21;
/// Shares of the training part, by its examples, after which a version of co-occurrence is made; before the first,
/// items have the hash of their id.
const VERSIONS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 1.0];

/// Where the vectors of items come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The `items` topic.
    Topic,
    /// The log.
    CoOccurrence,
}

/// Vectors of all items of a log.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Where they come from.
    pub source: Source,
    /// Length of a vector.
    pub dim: usize,
    versions: Vec<Version>,
}

/// Vectors that are in force from a time on.
#[derive(Clone, Debug)]
pub struct Version {
    from_ms: i64,
    dim: usize,
    /// (items, dim): unit vectors; zero where an item has none
    pub vectors: Vec<f32>,
    /// (items): whether it has one
    known: Vec<bool>,
}

impl Keys {
    /// The vectors that the log brings, else those of co-occurrence; by choice always the latter.
    pub fn new(log: &Log, wanted: Source) -> Self {
        if wanted == Source::Topic && log.items.dim > 0 {
            let dim = log.items.dim;
            let mut vectors = log.items.vectors.clone();
            vectors.chunks_exact_mut(dim).for_each(to_unit);
            return Self { source: wanted, dim, versions: vec![Version::new(i64::MIN, dim, vectors)] };
        }
        Self { source: Source::CoOccurrence, dim: DIM, versions: co_occurrence(log) }
    }

    /// All versions, in the order of time.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The number of the version in force at a time.
    pub fn version_at(&self, time_ms: i64) -> usize {
        self.versions.partition_point(|version| version.from_ms <= time_ms).saturating_sub(1)
    }

    /// The version in force at a time.
    pub fn at(&self, time_ms: i64) -> &Version {
        &self.versions[self.version_at(time_ms)]
    }
}

impl Version {
    fn new(from_ms: i64, dim: usize, vectors: Vec<f32>) -> Self {
        let known = vectors.chunks_exact(dim).map(|vector| vector.iter().any(|x| *x != 0.0)).collect();
        Self { from_ms, dim, vectors, known }
    }

    /// Whether an item has a vector.
    pub fn knows(&self, item: u32) -> bool {
        self.known[item as usize]
    }

    /// The vector of an item.
    pub fn of(&self, item: u32) -> &[f32] {
        &self.vectors[item as usize * self.dim..][..self.dim]
    }
}

fn to_unit(vector: &mut [f32]) {
    let norm = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    }
}

/// The versions of co-occurrence, the first of which is made of nothing.
fn co_occurrence(log: &Log) -> Vec<Version> {
    let hashed: Vec<f32> = log.items.names.iter().flat_map(|name| hashed_vector(name, DIM)).collect();
    let mut versions = vec![Version::new(i64::MIN, DIM, hashed)];
    let mut counts = Counts::new(PAIRS_MAX);
    let (mut known, mut newest) = (0, None);
    for from_ms in borders(log) {
        while let Some(&(user, place)) = log.order.get(known) {
            let own = log.of_user(user);
            let at = place as usize - log.offsets[user as usize];
            if own[at].time_ms >= from_ms {
                break;
            }
            counts.add(own[at].item, own[at.saturating_sub(WINDOW)..at].iter().rev().map(|before| before.item));
            known += 1;
        }
        let mut told = counts.vectors(DIM, SEED);
        if let Some(older) = &newest {
            told = told.aligned(older, DIM);
        }
        let mut vectors = versions[0].vectors.clone();
        for (&item, vector) in told.items.iter().zip(told.vectors.chunks_exact(DIM)) {
            vectors[item as usize * DIM..][..DIM].copy_from_slice(vector);
        }
        versions.push(Version::new(from_ms, DIM, vectors));
        newest = Some(told);
    }
    versions
}

/// When versions are made, ascending.
fn borders(log: &Log) -> Vec<i64> {
    let trained = log.of_part(Part::Train).map(|request| request.candidates.len()).sum::<usize>() as f64;
    let border = |share: f64| {
        let until = log.trained_until_ms();
        let first = log.of_part(Part::Train).find(|request| request.candidates.start as f64 >= share * trained);
        first.map_or(until, |request| request.time_ms)
    };
    let mut borders: Vec<i64> = VERSIONS.map(border).into();
    borders.dedup();
    borders
}

/// Product of two vectors, in one order whatever the machine.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}
