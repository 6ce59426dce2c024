//! Reads the `items` topic into the catalogue: to the end found at start, then follows it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use shaders::sdim::Sdim;

use super::catalogue::{Catalogue, ItemsError};
use super::items::Described;
use crate::decode::decode_item;
use crate::log::{Broker, LogError, Reader};

/// Items that are hashed at once.
const BATCH_ITEMS: usize = 4096;
/// A poll waits so long.
const POLL: Duration = Duration::from_millis(100);

/// Why items cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// They cannot be taken.
    #[error(transparent)]
    Items(#[from] ItemsError),
}

/// Takes items from a reader into a catalogue.
pub struct Follower {
    reader: Box<dyn Reader>,
    kernels: Vec<Sdim>,
    catalogue: Arc<Catalogue>,
    batch: Vec<Described>,
}

impl Follower {
    /// A follower that has read nothing yet; the kernels are the catalogue's.
    pub fn new(reader: Box<dyn Reader>, kernels: Vec<Sdim>, catalogue: Arc<Catalogue>) -> Self {
        Self { reader, kernels, catalogue, batch: Vec::new() }
    }

    /// Reads to the present end.
    ///
    /// # Errors
    /// Where the log or the device fails, or vectors cannot be kept.
    pub fn catch_up(&mut self, stop: &AtomicBool) -> Result<(), FollowError> {
        self.reader.catch_up()?;
        while !self.step()? && !stop.load(Ordering::Relaxed) {}
        tracing::debug!(items = ?self.catalogue.known(), "items read to their end");
        Ok(())
    }

    /// Follows the topic on a thread of its own until `stop`. Versions that all tasks have left are dropped; where a task comes
    /// here that is still in one of them, `topic` is read again.
    pub fn follow(
        mut self,
        broker: Arc<dyn Broker>,
        topic: String,
        stop: Arc<AtomicBool>,
    ) -> JoinHandle<Result<(), FollowError>> {
        let follow = move || {
            let followed = self.follow_until(broker.as_ref(), &topic, &stop);
            // Nobody shall wait for what will not come.
            self.catalogue.end_wait(&self.catalogue.wanted());
            followed
        };
        std::thread::Builder::new().name("items".into()).spawn(follow).expect("the system gives a thread")
    }

    fn follow_until(&mut self, broker: &dyn Broker, topic: &str, stop: &AtomicBool) -> Result<(), FollowError> {
        while !stop.load(Ordering::Relaxed) {
            self.step()?;
            self.catalogue.tidy()?;
            let wanted = self.catalogue.wanted();
            if !wanted.is_empty() {
                tracing::info!(versions = ?wanted, "a task is in versions of items that were dropped: they are read again");
                let now = std::mem::replace(&mut self.reader, broker.reader(&[topic.to_owned()])?);
                self.reader.catch_up()?;
                while !self.step_of(Some(&wanted))? && !stop.load(Ordering::Relaxed) {}
                self.reader = now;
                self.catalogue.end_wait(&wanted);
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<bool, FollowError> {
        self.step_of(None)
    }

    /// Items that are dead letters are the router's to report; here they are passed over.
    fn step_of(&mut self, versions: Option<&BTreeSet<u64>>) -> Result<bool, FollowError> {
        let (batch, dim) = (&mut self.batch, self.catalogue.config().dim);
        let at_end = self.reader.poll(POLL, &mut |record| {
            let item = record.value.and_then(|value| decode_item(value, Some(dim)).ok());
            let item = item.filter(|item| versions.is_none_or(|versions| versions.contains(&item.version)));
            batch.extend(item.map(|item| Described {
                category: item.category.as_deref().unwrap_or_default().into(),
                id: item.item_id.into(),
                version: item.version,
                vector: item.vector,
            }));
        })?;
        while !self.batch.is_empty() {
            let rest = self.batch.split_off(BATCH_ITEMS.min(self.batch.len()));
            let batch = std::mem::replace(&mut self.batch, rest);
            self.catalogue.take(&mut self.kernels, batch)?;
        }
        Ok(at_end)
    }
}
