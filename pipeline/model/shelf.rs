//! Versions of one model, read ahead from the topic, for engines that come to where they are in force.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Chunks, Model, ModelError};
use crate::log::Reader;

/// Of the newest versions so many bytes are held: an engine that replays needs older ones.
const HELD_BYTES_MAX: usize = 64 << 20;
/// A version is on the topic before the word that it is in force; how long reading it may take.
const GET_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// The shelf of a process. A lock guards it: engines look once a transaction, and wait only for versions they need.
pub struct Shelf {
    model: String,
    inner: Mutex<Inner>,
}

struct Inner {
    reader: Box<dyn Reader>,
    chunks: Chunks,
    held: BTreeMap<u64, Arc<Model>>,
}

impl Shelf {
    /// Nothing was read yet from `reader` of topic `models`.
    pub fn new(model: &str, reader: Box<dyn Reader>) -> Self {
        let inner = Inner { reader, chunks: Chunks::of(model), held: BTreeMap::new() };
        Self { model: model.into(), inner: Mutex::new(inner) }
    }

    /// Takes what has come, without waiting; somebody else may be at it.
    ///
    /// # Errors
    /// Where the log fails.
    pub fn look(&self) -> Result<(), ModelError> {
        match self.inner.try_lock() {
            Ok(mut inner) => inner.poll(Duration::ZERO),
            Err(_) => Ok(()),
        }
    }

    /// Takes what has come, without waiting, and gives the number of the newest version; none where there is none.
    ///
    /// # Errors
    /// Where the log fails.
    pub fn newest(&self) -> Result<Option<u64>, ModelError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.poll(Duration::ZERO)?;
        Ok(inner.held.keys().last().copied())
    }

    /// Version `version`, or the next newer one where compaction has removed it; waits for it.
    ///
    /// # Errors
    /// Where the log fails, or it does not come.
    pub fn get(&self, version: u64) -> Result<Arc<Model>, ModelError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        loop {
            // Versions come in order: where a newer one has come this one will not.
            if let Some((_, model)) = inner.held.range(version..).next() {
                return Ok(Arc::clone(model));
            }
            inner.poll(POLL)?;
            if started.elapsed() > GET_MAX {
                return Err(ModelError::Missing { model: self.model.clone(), version });
            }
        }
    }
}

impl Inner {
    fn poll(&mut self, wait: Duration) -> Result<(), ModelError> {
        let Self { reader, chunks, held } = self;
        reader.poll(wait, &mut |record| {
            if chunks.take(record)
                && let Some(model) = chunks.assemble()
            {
                held.insert(model.version, Arc::new(model));
                while held.len() > 1 && held.values().map(|model| model.bytes()).sum::<usize>() > HELD_BYTES_MAX {
                    held.pop_first();
                }
            }
        })?;
        Ok(())
    }
}
