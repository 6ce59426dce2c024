//! Reads the `items` topic into the catalogue: to the end found at start, then follows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use shaders::sdim::Sdim;

use super::catalogue::{Catalogue, Described};
use crate::decode::decode_item;
use crate::log::{LogError, Reader};

/// Items that are hashed at once.
const BATCH_ITEMS: usize = 4096;

/// Why items cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The device failed.
    #[error("hashing items: {0}")]
    Device(#[from] shaders::Error),
}

/// Takes items from a reader into a catalogue.
pub struct Follower {
    reader: Box<dyn Reader>,
    kernels: Sdim,
    catalogue: Arc<Catalogue>,
    dim: usize,
    batch: Vec<Described>,
}

impl Follower {
    /// A follower that has read nothing yet.
    pub fn new(reader: Box<dyn Reader>, kernels: Sdim, catalogue: Arc<Catalogue>, dim: usize) -> Self {
        Self { reader, kernels, catalogue, dim, batch: Vec::new() }
    }

    /// Reads to the present end.
    ///
    /// # Errors
    /// Where the log or the device fails.
    pub fn catch_up(&mut self, stop: &AtomicBool) -> Result<(), FollowError> {
        self.reader.catch_up()?;
        while !self.step()? && !stop.load(Ordering::Relaxed) {}
        tracing::debug!(items = self.catalogue.read().len(), "items read to their end");
        Ok(())
    }

    /// Follows the topic on a thread of its own until `stop`.
    pub fn follow(mut self, stop: Arc<AtomicBool>) -> JoinHandle<Result<(), FollowError>> {
        let follow = move || {
            while !stop.load(Ordering::Relaxed) {
                self.step()?;
            }
            Ok(())
        };
        std::thread::Builder::new().name("items".into()).spawn(follow).expect("the system gives a thread")
    }

    /// Items that are dead letters are the router's to report; here they are passed over.
    fn step(&mut self) -> Result<bool, FollowError> {
        let (batch, dim) = (&mut self.batch, self.dim);
        let at_end = self.reader.poll(Duration::from_millis(100), &mut |record| {
            let item = record.value.and_then(|value| decode_item(value, Some(dim)).ok());
            if let Some((item, vector)) = item.and_then(|mut item| item.vector.take().map(|vector| (item, vector))) {
                let category = item.category.as_deref().unwrap_or_default().into();
                batch.push(Described { id: item.item_id.into(), category, vector });
            }
        })?;
        while !self.batch.is_empty() {
            let rest = self.batch.split_off(BATCH_ITEMS.min(self.batch.len()));
            let batch = std::mem::replace(&mut self.batch, rest);
            self.catalogue.take(&mut self.kernels, batch)?;
        }
        Ok(at_end)
    }
}
