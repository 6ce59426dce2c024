//! The log in this process: in memory, with Kafka's transactional meaning, and no clock in any of its decisions.
//!
//! # Layout
//! - `chunk`: records in one piece of memory.
//! - `partition`: what is visible, what is aborted, what is trimmed or compacted.
//! - `group`: who owns which partition; committed offsets.
//! - `state`: topics, producers and groups behind one lock.
//! - `member`: the [`Log`] of one worker. `outbox`: what its producer has not handed over yet.
//! - `reader`: a [`Reader`]. `faults`: where tests make calls fail.
//!
//! A send copies the record once, into a builder of the sender's own; a whole builder goes in under one lock. A poll takes
//! hold of chunks under the lock and reads them outside of it.

mod chunk;
mod faults;
mod group;
mod member;
#[cfg(test)]
mod model;
mod outbox;
mod partition;
mod reader;
mod state;
#[cfg(test)]
mod tests;

pub use chunk::Headers;
pub use faults::{Call, Fault, Faults};
pub use member::EmbeddedLog;
pub use reader::EmbeddedReader;

use super::{Broker, Class, Log, LogError, Reader, TopicPartition, TopicSpec, TopicState};
use partition::Partition;
use state::{State, Topic};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What bounds an embedded log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// Bytes that a topic may hold for its readers before whoever writes to it has to wait.
    pub topic_bytes_max: usize,
    /// How long `committed` waits for undecided transactions before it asks to be called again.
    pub wait_max: Duration,
    /// Whether records behind all groups and readers are dropped; a world that restarts from snapshots keeps them.
    pub trims: bool,
    /// Whether records get the wall clock's time where they come without one: nothing in the log is decided by it.
    pub stamps: bool,
}

impl EmbeddedSettings {
    /// The time of a record that comes with none, in ms since 1970.
    fn stamp(&self) -> Option<i64> {
        self.stamps.then(crate::metrics::now_ms)
    }
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self { topic_bytes_max: 64 << 20, wait_max: Duration::from_secs(10), trims: true, stamps: false }
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    settings: EmbeddedSettings,
    faults: Option<Arc<dyn Faults>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all who wait that something is new.
    fn wake(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits for a change, at most until `deadline`.
    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, deadline: Option<Instant>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let mut state = match deadline {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.waiting -= 1;
        state
    }
}

/// A cluster of one process; clones are the same cluster.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

impl Embedded {
    /// An empty cluster.
    pub fn new(settings: EmbeddedSettings) -> Self {
        Self::build(settings, None)
    }

    /// An empty cluster whose calls fail where `faults` says so.
    pub fn with_faults(settings: EmbeddedSettings, faults: Arc<dyn Faults>) -> Self {
        Self::build(settings, Some(faults))
    }

    fn build(settings: EmbeddedSettings, faults: Option<Arc<dyn Faults>>) -> Self {
        let state = State::new(settings.trims);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), settings, faults }) }
    }

    /// Appends a record outside of any transaction; waits while the topic holds more than may be unread. Returns its
    /// offset.
    pub fn append(
        &self,
        topic: &str,
        partition: i32,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<i64, LogError> {
        let size = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let context = || format!("partition {partition} of topic \"{topic}\"");
        if size > chunk::RECORD_BYTES_MAX {
            let message = format!("a record of {size} bytes is larger than {}", chunk::RECORD_BYTES_MAX);
            return Err(LogError::new(Class::Fatal, context(), message));
        }
        let mut state = self.shared.lock();
        let (at, _) = state.partition(topic, partition)?;
        while state.topics[at].bytes() > self.shared.settings.topic_bytes_max && !state.stopped {
            state = self.shared.wait(state, None);
        }
        if state.stopped {
            return Err(LogError::new(Class::Fatal, context(), "the log has been stopped".into()));
        }
        let epoch = state.epoch;
        let found = &mut state.topics[at].partitions[partition as usize];
        if found.is_sealed() {
            return Err(LogError::new(Class::Fatal, context(), "was sealed: nothing more can be written".into()));
        }
        let offset = found.append(epoch, timestamp_ms.or_else(|| self.shared.settings.stamp()), key, value);
        self.shared.wake(&state);
        Ok(offset)
    }

    /// Whatever is appended from here on is read after what was appended before, by a member that reads both: an order
    /// between partitions, which Kafka does not have.
    pub fn barrier(&self) {
        self.shared.lock().epoch += 1;
    }

    /// Nothing more will be written to this partition: readers at its end are told so.
    pub fn seal(&self, topic: &str, partition: i32) -> Result<(), LogError> {
        let mut state = self.shared.lock();
        state.partition(topic, partition)?.1.seal();
        self.shared.wake(&state);
        Ok(())
    }

    /// Whether the group has committed up to the last record of every partition of the topic, and nothing is undecided.
    pub fn drained(&self, group: &str, topic: &str) -> Result<bool, LogError> {
        is_drained(&self.shared.lock(), group, topic)
    }

    /// Whether a partition has no record from offset `next` on, and nothing is undecided.
    pub fn is_read_to(&self, topic: &str, partition: i32, next: i64) -> Result<bool, LogError> {
        Ok(self.shared.lock().partition(topic, partition)?.1.is_read_to(next))
    }

    /// Waits until [`Embedded::drained`], the log is stopped, or the time is over; returns whether it is drained.
    pub fn wait_drained(&self, group: &str, topic: &str, timeout: Duration) -> Result<bool, LogError> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        loop {
            let drained = is_drained(&state, group, topic)?;
            if drained || state.stopped || Instant::now() >= deadline {
                return Ok(drained);
            }
            state = self.shared.wait(state, Some(deadline));
        }
    }

    /// Whether [`Embedded::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.shared.lock().stopped
    }

    /// Ends all waiting: polls return at once, appends fail.
    pub fn stop(&self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        self.shared.changed.notify_all();
    }

    /// Declares a member dead, as a session that ends: its partitions are free at once, its offsets are refused.
    pub fn expire(&self, group: &str, member: &str) {
        let mut state = self.shared.lock();
        let Some(found) = state.groups.get_mut(group) else { return };
        if found.member_named(member).is_some_and(|id| found.leave(id)) {
            state.balance(group);
            self.shared.wake(&state);
        }
    }

    /// Aborts what this transactional id has open and fences it, as a transaction that ran out of time.
    pub fn expire_transaction(&self, member: &str) {
        let mut state = self.shared.lock();
        state.init_producer(member);
        self.shared.wake(&state);
    }

    /// Deletes what a group has committed of a topic, as retention does when its time is over; returns by how many offsets
    /// the topic begins later.
    pub fn expire_records(&self, group: &str, topic: &str) -> Result<u64, LogError> {
        let mut state = self.shared.lock();
        let place = state.topic(topic)?;
        let State { groups, topics, .. } = &mut *state;
        let Some(group) = groups.get(group) else { return Ok(0) };
        let mut gone = 0;
        for (number, partition) in topics[place].partitions.iter_mut().enumerate() {
            let Some(committed) = group.offsets.get(&(place, number as i32)) else { continue };
            let start = partition.start();
            partition.trim(committed.next);
            gone += (partition.start() - start) as u64;
        }
        self.shared.wake(&state);
        Ok(gone)
    }

    /// A reader of all committed records of these topics, from their beginning, with headers.
    pub fn records(&self, topics: &[String]) -> Result<EmbeddedReader, LogError> {
        EmbeddedReader::open(&self.shared, topics)
    }
}

fn is_drained(state: &State, group: &str, topic: &str) -> Result<bool, LogError> {
    let topic = state.topic(topic)?;
    let offsets = state.groups.get(group).map(|group| &group.offsets);
    Ok(state.topics[topic].partitions.iter().enumerate().all(|(partition, found)| {
        let committed = offsets.and_then(|offsets| offsets.get(&(topic, partition as i32)));
        found.is_read_to(committed.map_or(0, |committed| committed.next))
    }))
}

impl Broker for Embedded {
    fn open(&self, group: &str, member: &str, topics: &[String]) -> Result<Box<dyn Log>, LogError> {
        Ok(Box::new(EmbeddedLog::open(&self.shared, group, member, topics)?))
    }

    fn reader(&self, topics: &[String]) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(self.records(topics)?))
    }

    fn survey(&self, topics: &[String]) -> Result<Vec<Option<TopicState>>, LogError> {
        topics.iter().map(|topic| self.describe(topic, &[])).collect()
    }

    fn create(&self, topics: &[TopicSpec]) -> Result<Vec<String>, LogError> {
        let mut state = self.shared.lock();
        let mut made = Vec::new();
        for spec in topics {
            if state.names.contains_key(spec.name.as_str()) {
                continue;
            }
            if spec.partitions < 1 {
                let message = format!("{} partitions: it needs at least one", spec.partitions);
                return Err(LogError::new(Class::Fatal, format!("topic \"{}\"", spec.name), message));
            }
            let name: Arc<str> = spec.name.as_str().into();
            let place = state.topics.len();
            state.names.insert(Arc::clone(&name), place);
            state.topics.push(Topic {
                name,
                settings: spec.settings.clone(),
                compacted: spec
                    .settings
                    .iter()
                    .any(|(key, value)| key == "cleanup.policy" && value.contains("compact")),
                partitions: (0..spec.partitions).map(|_| Partition::default()).collect(),
                readers: BTreeMap::new(),
                groups: BTreeSet::new(),
            });
            made.push(spec.name.clone());
        }
        Ok(made)
    }

    fn describe(&self, topic: &str, settings: &[String]) -> Result<Option<TopicState>, LogError> {
        let state = self.shared.lock();
        let Some(&place) = state.names.get(topic) else { return Ok(None) };
        let topic = &state.topics[place];
        let settings = topic.settings.iter().filter(|(key, _)| settings.contains(key)).cloned().collect();
        let (id, partitions) = (format!("embedded-{place}"), topic.partitions.len() as i32);
        Ok(Some(TopicState { id, partitions, denied: Vec::new(), settings }))
    }

    fn trim(&self, at: &TopicPartition, before: i64) -> Result<(), LogError> {
        let mut state = self.shared.lock();
        state.partition(&at.topic, at.partition)?.1.trim(before);
        self.shared.wake(&state);
        Ok(())
    }
}
