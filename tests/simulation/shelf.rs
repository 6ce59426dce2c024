//! An object store in memory that fails by a seed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use pipeline::snapshot::objects::{Objects, StoreError};

use crate::streams::Dice;

/// Objects by name.
pub struct Shelf(Mutex<State>);

struct State {
    dice: Dice,
    one_in: u64,
    objects: BTreeMap<String, Vec<u8>>,
    failed: u64,
    /// Parts that were read.
    reads: u64,
}

impl Shelf {
    pub fn new(seed: u64, one_in: u64) -> Self {
        Self(Mutex::new(State { dice: Dice(seed), one_in, objects: BTreeMap::new(), failed: 0, reads: 0 }))
    }

    pub fn calm(&self) {
        self.state().one_in = 0;
    }

    pub fn failed(&self) -> u64 {
        self.state().failed
    }

    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    pub fn manifests(&self) -> usize {
        self.state().objects.keys().filter(|name| name.ends_with(".json")).count()
    }

    /// Cuts the newest manifest of some partition in half; whether there was one to spare.
    pub fn tear(&self) -> bool {
        let mut state = self.state();
        let mut folders: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in state.objects.keys().filter(|name| name.ends_with(".json")) {
            let folder = name.rsplit_once('/').unwrap().0.to_string();
            folders.entry(folder).or_default().push(name.clone());
        }
        // One that is not the only one: below the oldest of three the log is trimmed.
        let Some(newest) = folders.values().filter(|names| names.len() > 1).filter_map(|names| names.last()).next()
        else {
            return false;
        };
        let bytes = state.objects.get_mut(newest).unwrap();
        bytes.truncate(bytes.len() / 2);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn fails(state: &mut State, action: &'static str, object: &str) -> Result<(), StoreError> {
        let State { dice, one_in, failed, .. } = state;
        if *one_in == 0 || !dice.one_in(*one_in) {
            return Ok(());
        }
        *failed += 1;
        Err(StoreError { action, object: object.into(), problem: "weather".into() })
    }
}

impl Objects for Shelf {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut state = self.state();
        Self::fails(&mut state, "reading", name)?;
        let found = state.objects.get(name).cloned();
        state.reads += u64::from(found.is_some() && name.ends_with(".arrow"));
        Ok(found)
    }

    fn create(&self, name: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
        let mut state = self.state();
        Self::fails(&mut state, "writing", name)?;
        let is_new = !state.objects.contains_key(name);
        if is_new {
            state.objects.insert(name.into(), bytes);
        }
        // It is there, and nobody was told.
        Self::fails(&mut state, "writing", name)?;
        Ok(is_new)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let mut state = self.state();
        Self::fails(&mut state, "listing", folder)?;
        let folder = format!("{folder}/");
        Ok(state.objects.keys().filter(|name| name.starts_with(&folder)).cloned().collect())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        Self::fails(&mut state, "removing", name)?;
        state.objects.remove(name);
        Ok(())
    }
}
