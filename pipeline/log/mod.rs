//! A log, as the stages see it.
//!
//! # Layout
//! - `embedded/`: the log in this process, with Kafka's transactional meaning.
//! - `kafka/`: Apache Kafka through librdkafka.
//! - `staged`: what a micro-batch is to send, by task.
//! - `transaction`: one micro-batch, one transaction: sends what was staged, again where the log says so.
//! - `backoff`: how long, with which pauses.

pub mod backoff;
pub mod embedded;
mod fencing;
pub mod kafka;
mod passing;
pub mod staged;
pub mod transaction;

use std::sync::Arc;
use std::time::Duration;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's full name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

/// A record as it was read; borrowed until the callback returns.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The topic's full name.
    pub topic: &'a Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// The record's timestamp in ms since 1970, where it has one.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// A record to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The topic's full name.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, by name.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// An offset of a consumer group: the next record to read, and the group's own words about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Where.
    pub at: TopicPartition,
    /// The next offset to read.
    pub next: i64,
    /// Metadata kept with the offset, in the same transaction.
    pub metadata: String,
}

/// What changed about a member's partitions, told by [`Log::poll`] in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These partitions are now this member's, paused at no position: it reads [`Log::committed`], seeks, and resumes.
    Assigned(Vec<TopicPartition>),
    /// These are another's from now on (or nobody's); what was not committed for them is void.
    Revoked(Vec<TopicPartition>),
    /// The reader stands at the end of this partition. Told once per arrival at the end.
    AtEnd(TopicPartition),
    /// The reader stands at the end of this partition and nothing will ever be written to it again (embedded log only).
    Finished(TopicPartition),
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Call the same again.
    Retriable,
    /// Abort the transaction; the same records and offsets may be sent in a new one for the partitions still owned.
    Abortable,
    /// The producer is dead or its outcome unknown (fenced, timed out): [`Log::reopen`], then ask for committed offsets.
    Reopen,
    /// Nothing that this process can do will help.
    Fatal,
}

/// A log's error: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{context}: {message}")]
pub struct LogError {
    /// What to do about it.
    pub class: Class,
    /// Whether another producer with the same transactional id has taken over (or the broker timed this one out).
    pub fenced: bool,
    /// What was being done, and where.
    pub context: String,
    /// What was wrong, and what to do.
    pub message: String,
}

impl LogError {
    /// An error that has nothing to do with fencing.
    pub fn new(class: Class, context: String, message: String) -> Self {
        Self { class, fenced: false, context, message }
    }
}

/// One member of one consumer group together with one transactional producer: what one worker thread needs of a log.
///
/// No transaction is ever open while [`Log::poll`] runs. Calls that name partitions leave out those that are this member's no
/// more: several changes may be told together, so the one that takes a partition away may still be on its way.
pub trait Log: Send {
    /// Gives records to `each`, at most `max_records`, waiting up to `timeout` for the first; returns what changed
    /// *before* those records (records of a revoked partition never follow its revocation).
    fn poll(
        &mut self,
        timeout: Duration,
        max_records: usize,
        each: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<Vec<Change>, LogError>;
    /// Stops giving records of these partitions.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;
    /// Gives records of these partitions again.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;
    /// Reads on from `next` in each.
    fn seek(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), LogError>;
    /// The partitions that are this member's now.
    fn assignment(&mut self) -> Result<Vec<TopicPartition>, LogError>;
    /// The group's committed offsets, none where there is none; waits for transactions that are being decided.
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError>;
    /// The first offset kept and the last stable offset (the next one that a read-committed reader may see).
    fn watermarks(&mut self, partition: &TopicPartition) -> Result<(i64, i64), LogError>;
    /// The first offset kept and the end of a partition as the reader last heard of them, without asking; none where it
    /// has heard nothing.
    fn ends(&self, partition: &TopicPartition) -> Option<(i64, i64)>;
    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), LogError>;
    /// Sends in the open transaction; blocks while the send buffer is full.
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), LogError>;
    /// Commits these offsets of the group with the transaction.
    fn send_offsets(&mut self, offsets: &[Offset]) -> Result<(), LogError>;
    /// Commits the transaction.
    fn commit(&mut self) -> Result<(), LogError>;
    /// Aborts the transaction.
    fn abort(&mut self) -> Result<(), LogError>;
    /// Makes the producer anew with the same transactional id; settles whatever transaction was open.
    fn reopen(&mut self) -> Result<(), LogError>;
}

/// Reads topics from their beginning without a group, read-committed.
pub trait Reader: Send {
    /// Gives records to `each`; returns whether the end found at the last call of [`Reader::catch_up`] is reached.
    fn poll(&mut self, timeout: Duration, each: &mut dyn FnMut(Incoming<'_>)) -> Result<bool, LogError>;
    /// Takes the present end of all partitions as the one to reach.
    fn catch_up(&mut self) -> Result<(), LogError>;
}

/// A topic with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The full name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Topic settings (`cleanup.policy`, …).
    pub settings: Vec<(String, String)>,
}

/// What one may do with a topic, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Know of it; without this right it is not even told whether it exists.
    Describe,
    /// Read its records.
    Read,
    /// Send records.
    Write,
    /// Delete records.
    Delete,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Describe, Self::Read, Self::Write, Self::Delete];
}

/// What [`Broker::survey`] and [`Broker::describe`] know of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// What tells it from another one of the same name, made before or after it.
    pub id: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// What this user may not do with it, as far as the brokers tell.
    pub denied: Vec<Operation>,
    /// The values of the settings asked for.
    pub settings: Vec<(String, String)>,
}

/// A cluster: opens logs and readers, makes topics.
pub trait Broker: Send + Sync {
    /// A member of group `group` that reads `topics`, with transactional id `member` (also its static group membership).
    fn open(&self, group: &str, member: &str, topics: &[String]) -> Result<Box<dyn Log>, LogError>;
    /// A reader of `topics` from their beginning.
    fn reader(&self, topics: &[String]) -> Result<Box<dyn Reader>, LogError>;
    /// The state of each topic, without settings; none where it does not exist.
    fn survey(&self, topics: &[String]) -> Result<Vec<Option<TopicState>>, LogError>;
    /// How many partitions a topic has; none where it does not exist.
    fn partitions(&self, topic: &str) -> Result<Option<i32>, LogError> {
        Ok(self.survey(&[topic.into()])?.pop().flatten().map(|state| state.partitions))
    }
    /// Makes topics that do not exist; returns the names of those it made.
    fn create(&self, topics: &[TopicSpec]) -> Result<Vec<String>, LogError>;
    /// The state of a topic with the values of `settings`; none where it does not exist.
    fn describe(&self, topic: &str, settings: &[String]) -> Result<Option<TopicState>, LogError>;
    /// Drops the records of a partition that lie before `before`.
    fn trim(&self, partition: &TopicPartition, before: i64) -> Result<(), LogError>;
}
