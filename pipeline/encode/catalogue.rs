//! The items that a process knows, by the version of the content model that made their vectors.
//!
//! Vectors of two versions lie in two spaces: nothing of one is ever held against the other. Which version is in force is said by
//! each by-user partition's log ([`Holder::adopt`]); versions that nobody is in yet are there before they are needed, one that
//! some task is still in is held, and of one that all have left the memory goes.

mod fresh;
mod holder;

pub use holder::{Holder, Reading};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use shaders::sdim::{BITS, Sdim, hash_matrix_of};

use super::items::{Described, Items};
use super::learned::Learned;
use super::vectors::Budget;
use crate::forecast::version::VersionError;
use crate::metrics::Metrics;
use crate::model::ModelError;

/// A version whose memory went is read again where a task that is still in it comes here; how long that may take.
const READ_AGAIN_MAX: Duration = Duration::from_secs(60);

/// Versions that are read before `items.version` names them.
const AHEAD_MAX: usize = 4;

/// Why a room cannot have items.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] shaders::Error),
    /// Vectors beyond `items.memory_limit` cannot be kept or read.
    #[error("vectors of items: {0}; is the disk full, and may state.dir be written to?")]
    File(#[from] std::io::Error),
    /// Vectors that were learned cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// They are not for these settings.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The topic was not read again in time.
    #[error("version {0} of items is in force, but topic items was not read again in {limit} s; is the broker well?", limit = READ_AGAIN_MAX.as_secs())]
    Slow(u64),
}

impl ItemsError {
    /// Whether a new device may help.
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::Device(error) if error.is_device_lost())
    }
}

/// What a catalogue is made for.
#[derive(Clone, Debug)]
pub struct CatalogueConfig {
    /// Length of vectors.
    pub dim: usize,
    /// The hashes by which rooms ask for signatures: bits, each number once, and bits of a group.
    pub hashes: Vec<(usize, usize)>,
    /// Items of a version, at most.
    pub max: usize,
    /// The version that is to be in force: few are read that are further ahead.
    pub version: u64,
    /// Bytes of vectors in memory, of all versions together.
    pub memory_limit: u64,
    /// Where the others go.
    pub dir: PathBuf,
}

impl CatalogueConfig {
    /// Kernels for the signatures of all vectors, one a hash; `published` is the hash of published tables, where there are some.
    ///
    /// # Errors
    /// What the device says.
    pub fn kernels(&self, device: &shaders::Device, published: Option<&[i16]>) -> Result<Vec<Sdim>, shaders::Error> {
        let dim = self.dim;
        let of = |&(bits, group_bits): &(usize, usize)| {
            let form = shaders::sdim::Config { dim, slots: 1, bits, group_bits };
            match published.filter(|_| bits == BITS) {
                Some(hash) => Sdim::new(device, form, hash),
                None => Sdim::new(device, form, &hash_matrix_of(bits, dim)),
            }
        };
        self.hashes.iter().map(of).collect()
    }
}

/// Items by version, shared by all workers of a process: locked once a micro-batch, never per event.
pub struct Catalogue {
    config: CatalogueConfig,
    budget: Arc<Budget>,
    metrics: Metrics,
    versions: RwLock<Versions>,
    /// Where vectors come from, where the topic only describes items.
    learned: Option<Learned>,
    /// Of a version that nobody has told anything of.
    empty: Items,
    used: Mutex<Used>,
    was_read: Condvar,
    warned: AtomicBool,
    warned_of_versions: AtomicBool,
    holders: AtomicU64,
}

struct Versions {
    by_number: BTreeMap<u64, Items>,
    /// What the topic says of items whose vectors are learned.
    described: Items,
}

/// Which versions tasks are in.
#[derive(Default)]
struct Used {
    /// By holder and task.
    in_force: BTreeMap<(u64, i32), u64>,
    /// Versions whose memory went.
    dropped: BTreeSet<u64>,
    /// Of those, the ones that are to be read again.
    wanted: BTreeSet<u64>,
}

impl Catalogue {
    /// No items yet; their vectors come from the topic, or from what was `learned`.
    pub fn new(config: CatalogueConfig, learned: Option<Learned>, metrics: Metrics) -> Self {
        let budget = Arc::new(Budget::new(config.memory_limit, config.dir.clone()));
        let nothing = || Items::new(config.dim, config.hashes.len(), Arc::clone(&budget));
        Self {
            empty: nothing(),
            versions: RwLock::new(Versions { by_number: BTreeMap::new(), described: nothing() }),
            learned,
            config,
            budget,
            metrics,
            used: Mutex::default(),
            was_read: Condvar::new(),
            warned: AtomicBool::new(false),
            warned_of_versions: AtomicBool::new(false),
            holders: AtomicU64::new(0),
        }
    }

    /// What it was made for.
    pub fn config(&self) -> &CatalogueConfig {
        &self.config
    }

    fn read(&self) -> RwLockReadGuard<'_, Versions> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Versions> {
        self.versions.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items are known of each version.
    pub fn known(&self) -> BTreeMap<u64, usize> {
        self.read().by_number.iter().map(|(version, items)| (*version, items.len())).collect()
    }

    /// Bytes of vectors that are not in memory.
    pub fn spilled(&self) -> u64 {
        self.budget.spilled()
    }

    /// Takes a batch of items as they came; an item's first vector is final within its version.
    ///
    /// # Errors
    /// Where the device fails, or vectors cannot be kept.
    pub fn take(&self, kernels: &mut [Sdim], batch: Vec<Described>) -> Result<(), ItemsError> {
        if self.learned.is_some() {
            self.describe(&batch);
            return Ok(());
        }
        let batch = self.of_known_versions(batch);
        let dropped = self.used().dropped.clone();
        let mut by_version: BTreeMap<u64, Vec<Described>> = BTreeMap::new();
        for described in batch.into_iter().filter(|described| !dropped.contains(&described.version)) {
            by_version.entry(described.version).or_default().push(described);
        }
        for (version, batch) in by_version {
            let fresh = self.fresh(version, batch)?;
            let signatures = kernels.iter_mut().map(|kernels| hashed(kernels, &fresh.vectors));
            let signatures = signatures.collect::<Result<Vec<_>, _>>()?;
            let mut versions = self.write();
            let items = versions.by_number.entry(version).or_insert_with(|| self.nothing().of_version(version));
            fresh.described.iter().for_each(|described| items.describe(&described.id, &described.category));
            let completed = fresh.completed.iter().map(|&at| &*fresh.described[at].id);
            items.complete(completed, &fresh.vectors, &signatures)?;
        }
        self.count();
        Ok(())
    }

    /// Leaves out versions that are further ahead than anybody rolls over.
    fn of_known_versions(&self, batch: Vec<Described>) -> Vec<Described> {
        let mut known: BTreeSet<u64> = self.read().by_number.keys().copied().collect();
        known.extend(self.used().in_force.values());
        let (all, expected) = (batch.len(), self.config.version);
        let is_known = |described: &Described| {
            let version = described.version;
            let may_be_known = version <= expected || known.range(expected + 1..).count() < AHEAD_MAX;
            known.contains(&version) || (may_be_known && known.insert(version))
        };
        let batch: Vec<Described> = batch.into_iter().filter(is_known).collect();
        if batch.len() < all {
            self.metrics.items_passed_over((all - batch.len()) as u64, 0);
            if !self.warned_of_versions.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "topic items has more than {AHEAD_MAX} versions above items.version = {expected}: the others are not read; \
                     `version` is a small number that items.version names some day, no time"
                );
            }
        }
        batch
    }

    fn nothing(&self) -> Items {
        Items::new(self.config.dim, self.config.hashes.len(), Arc::clone(&self.budget))
    }

    fn count(&self) {
        let versions = self.read();
        let known = versions.by_number.values().chain([&versions.described]).map(Items::len).sum();
        self.metrics.items(known, self.budget.spilled());
    }

    /// Whether vectors are learned.
    pub fn learns(&self) -> bool {
        self.learned.is_some()
    }

    /// Makes the newest version that was learned, before anybody is in it.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn read_ahead(&self) -> Result<(), ItemsError> {
        match &self.learned {
            Some(learned) => learned.newest()?.map_or(Ok(()), |newest| self.make(learned, newest)),
            None => Ok(()),
        }
    }

    /// Makes a version that was learned, where it is not there.
    fn make(&self, learned: &Learned, version: u64) -> Result<(), ItemsError> {
        let is_made = || version == 0 || self.read().by_number.contains_key(&version);
        if is_made() {
            return Ok(());
        }
        let started = Instant::now();
        if let Some(items) = learned.make(version, self.config.dim, || self.nothing(), is_made)? {
            let known = items.len();
            self.write().by_number.insert(version, items);
            tracing::debug!(version, items = known, took = ?started.elapsed(), "a version of items is made");
            self.count();
        }
        Ok(())
    }

    /// Drops versions that every task has left, and brings vectors back into memory where that made room: some of them, so that
    /// nobody waits long for a lock.
    ///
    /// # Errors
    /// Where vectors cannot be read.
    pub fn tidy(&self) -> Result<(), ItemsError> {
        if self.drop_left().is_empty() && self.budget.spilled() == 0 {
            return Ok(());
        }
        let remaining: Vec<u64> = self.read().by_number.keys().copied().collect();
        for version in remaining {
            while self.write().by_number.get_mut(&version).map_or(Ok(false), Items::recall)? {}
        }
        self.count();
        Ok(())
    }

    /// Drops versions that every task has left; gives their numbers.
    fn drop_left(&self) -> Vec<u64> {
        let left = {
            let mut used = self.used();
            let Some(oldest) = used.in_force.values().min().copied() else { return Vec::new() };
            if self.read().by_number.range(..oldest).next().is_none() {
                return Vec::new();
            }
            let mut versions = self.write();
            let newer = versions.by_number.split_off(&oldest);
            let left = std::mem::replace(&mut versions.by_number, newer);
            if self.learned.is_none() {
                used.dropped.extend(left.keys());
            }
            left
        };
        let versions: Vec<u64> = left.keys().copied().collect();
        tracing::info!(?versions, "all tasks have left these versions of items: they are dropped");
        versions
    }

    /// Versions that are to be read again, since tasks are in them.
    pub fn wanted(&self) -> BTreeSet<u64> {
        self.used().wanted.clone()
    }

    /// These were read again, or nobody will read them.
    pub fn end_wait(&self, versions: &BTreeSet<u64>) {
        self.used().wanted.retain(|version| !versions.contains(version));
        self.was_read.notify_all();
    }

    /// A task is in a version from now on; waits until that is made, or read again where it was dropped.
    fn hold(&self, holder: u64, task: i32, version: u64) -> Result<(), ItemsError> {
        let mut used = self.used();
        used.in_force.insert((holder, task), version);
        if let Some(learned) = &self.learned {
            drop(used);
            self.make(learned, version)?;
            self.drop_left();
            return Ok(());
        }
        if used.dropped.remove(&version) {
            used.wanted.insert(version);
        }
        let until = Instant::now() + READ_AGAIN_MAX;
        while used.wanted.contains(&version) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ItemsError::Slow(version));
            }
            used = self.was_read.wait_timeout(used, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn release(&self, mut gone: impl FnMut(u64, i32) -> bool) {
        self.used().in_force.retain(|(holder, task), _| !gone(*holder, *task));
    }
}

/// Signatures of vectors; a lost device is opened again.
pub(super) fn hashed(kernels: &mut Sdim, vectors: &[i16]) -> Result<Vec<u64>, shaders::Error> {
    match kernels.simhash(vectors) {
        Err(error) if error.is_device_lost() => {
            tracing::warn!("{error}: it is opened again");
            kernels.renew()?;
            kernels.simhash(vectors)
        }
        signatures => signatures,
    }
}
