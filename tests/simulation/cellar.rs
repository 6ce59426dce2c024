//! Local disks for idle users, in memory: each lives as long as its worker, and may be full.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use operators::{ColdError, ColdStore};
use pipeline::roles::ColdStores;

use crate::streams::Dice;

/// All disks of a world.
#[derive(Clone)]
pub struct Cellar(Arc<State>);

struct State {
    dice: Mutex<Dice>,
    /// A write in so many finds the disk full; 0: none.
    one_in: AtomicU64,
    full: AtomicU64,
    reads: AtomicU64,
}

struct Disk {
    cellar: Cellar,
    entries: BTreeMap<(i32, Vec<u8>), Vec<u8>>,
}

impl Cellar {
    pub fn new(seed: u64, one_in: u64) -> Self {
        let (dice, one_in) = (Mutex::new(Dice(seed)), AtomicU64::new(one_in));
        Self(Arc::new(State { dice, one_in, full: AtomicU64::new(0), reads: AtomicU64::new(0) }))
    }

    pub fn calm(&self) {
        self.0.one_in.store(0, Ordering::Relaxed);
    }

    pub fn stores(&self) -> ColdStores {
        let cellar = self.clone();
        Arc::new(move || Box::new(Disk { cellar: cellar.clone(), entries: BTreeMap::new() }))
    }

    /// Users read, and writes that found a disk full.
    pub fn happened(&self) -> (u64, u64) {
        (self.0.reads.load(Ordering::Relaxed), self.0.full.load(Ordering::Relaxed))
    }

    fn write(&self) -> Result<(), ColdError> {
        let one_in = self.0.one_in.load(Ordering::Relaxed);
        if one_in == 0 || !self.0.dice.lock().unwrap().one_in(one_in) {
            return Ok(());
        }
        self.0.full.fetch_add(1, Ordering::Relaxed);
        Err(ColdError("no space left on device".into()))
    }
}

impl ColdStore for Disk {
    fn put(&mut self, task: i32, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), ColdError> {
        self.cellar.write()?;
        self.entries.extend(entries.into_iter().map(|(key, value)| ((task, key), value)));
        Ok(())
    }

    fn get(&self, task: i32, key: &[u8]) -> Result<Option<Vec<u8>>, ColdError> {
        let found = self.entries.get(&(task, key.to_vec())).cloned();
        self.cellar.0.reads.fetch_add(u64::from(found.is_some()), Ordering::Relaxed);
        Ok(found)
    }

    fn keys(&self, task: i32, from: &[u8], to: &[u8], most: usize) -> Result<Vec<Vec<u8>>, ColdError> {
        let range = self.entries.range((task, from.to_vec())..(task, to.to_vec()));
        Ok(range.map(|((_, key), _)| key.clone()).take(most).collect())
    }

    fn remove(&mut self, task: i32, keys: Vec<Vec<u8>>) -> Result<(), ColdError> {
        keys.into_iter().for_each(|key| drop(self.entries.remove(&(task, key))));
        Ok(())
    }

    fn clear(&mut self, task: i32) -> Result<(), ColdError> {
        self.entries.retain(|(of, _), _| *of != task);
        Ok(())
    }
}
