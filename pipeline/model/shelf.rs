//! Versions of one model, read ahead from the topic, for engines that come to where they are in force.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Chunks, Model, ModelError};
use crate::log::Reader;

/// Of the newest versions so many bytes are held, or so many versions: an engine that is behind, or replays, needs older ones.
const HELD_BYTES_MAX: usize = 64 << 20;
const HELD_LEAST: usize = 4;
/// A version is on the topic before the word that it is in force; how long reading it may take.
const GET_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// The shelf of a process. Engines look once a transaction, and wait only for versions they need: what is there is not locked
/// while somebody reads on.
pub struct Shelf {
    model: String,
    reading: Mutex<Reading>,
    held: Mutex<BTreeMap<u64, Arc<Model>>>,
}

struct Reading {
    reader: Box<dyn Reader>,
    chunks: Chunks,
}

impl Shelf {
    /// Nothing was read yet from `reader` of topic `models`.
    pub fn new(model: &str, reader: Box<dyn Reader>) -> Self {
        let reading = Mutex::new(Reading { reader, chunks: Chunks::of(model) });
        Self { model: model.into(), reading, held: Mutex::default() }
    }

    /// Takes what has come, without waiting; somebody else may be at it.
    ///
    /// # Errors
    /// Where the log fails.
    pub fn look(&self) -> Result<(), ModelError> {
        match self.reading.try_lock() {
            Ok(mut reading) => self.poll(&mut reading, Duration::ZERO),
            Err(_) => Ok(()),
        }
    }

    /// Takes what has come, without waiting, and gives the number of the newest version; none where there is none.
    ///
    /// # Errors
    /// Where the log fails.
    pub fn newest(&self) -> Result<Option<u64>, ModelError> {
        self.look()?;
        Ok(self.held().keys().last().copied())
    }

    /// Version `version`, or the next newer one where it is not to be had any more: compaction has removed it, or it is older
    /// than those that are held. Waits for it.
    ///
    /// # Errors
    /// Where the log fails, or it does not come.
    pub fn get(&self, version: u64) -> Result<Arc<Model>, ModelError> {
        // Versions come in order: where a newer one has come this one will not.
        let find = || self.held().range(version..).next().map(|(_, model)| Arc::clone(model));
        if let Some(model) = find() {
            return Ok(model);
        }
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        loop {
            if let Some(model) = find() {
                return Ok(model);
            }
            self.poll(&mut reading, POLL)?;
            if started.elapsed() > GET_MAX {
                return Err(ModelError::Missing { model: self.model.clone(), version });
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Model>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, Reading { reader, chunks }: &mut Reading, wait: Duration) -> Result<(), ModelError> {
        reader.poll(wait, &mut |record| {
            if chunks.take(record)
                && let Some(model) = chunks.assemble()
            {
                let mut held = self.held();
                held.insert(model.version, Arc::new(model));
                while held.len() > HELD_LEAST
                    && held.values().map(|model| model.bytes()).sum::<usize>() > HELD_BYTES_MAX
                {
                    held.pop_first();
                }
            }
        })?;
        Ok(())
    }
}
