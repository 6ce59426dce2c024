//! All that the log knows, behind one lock: topics, producers, groups.

use super::chunk::Builder;
use super::group::{At, Committed, Group};
use super::partition::Partition;
use crate::log::{Class, LogError, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) compacted: bool,
    pub(super) partitions: Vec<Partition>,
    /// Where readers without a group stand, by partition.
    pub(super) readers: BTreeMap<u64, Vec<i64>>,
    /// Groups that subscribed at any time.
    pub(super) groups: BTreeSet<String>,
}

impl Topic {
    /// Memory held by records.
    pub(super) fn bytes(&self) -> usize {
        self.partitions.iter().map(Partition::bytes).sum()
    }

    /// Whether somebody reads it, so that what is held is waiting to be read.
    pub(super) fn is_read(&self) -> bool {
        !self.groups.is_empty() || !self.readers.is_empty()
    }
}

/// An open transaction.
#[derive(Debug, Default)]
struct Transaction {
    id: u64,
    touched: BTreeSet<At>,
    offsets: Vec<(String, At, Committed)>,
}

/// A transactional id.
#[derive(Debug, Default)]
struct Producer {
    epoch: u64,
    open: Option<Transaction>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) topics: Vec<Topic>,
    pub(super) names: BTreeMap<Arc<str>, usize>,
    pub(super) groups: BTreeMap<String, Group>,
    producers: BTreeMap<String, Producer>,
    last_id: u64,
    /// How many threads wait for a change.
    pub(super) waiting: usize,
    pub(super) stopped: bool,
    /// Barriers so far.
    pub(super) epoch: u64,
    /// Whether records that nobody needs are dropped.
    trims: bool,
}

impl State {
    pub(super) fn new(trims: bool) -> Self {
        Self { trims, ..Self::default() }
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn topic(&self, name: &str) -> Result<usize, LogError> {
        self.names.get(name).copied().ok_or_else(|| unknown_topic(name))
    }

    pub(super) fn partition(&mut self, name: &str, partition: i32) -> Result<(usize, &mut Partition), LogError> {
        let topic = self.topic(name)?;
        let count = self.topics[topic].partitions.len();
        let found = usize::try_from(partition).ok().and_then(|at| self.topics[topic].partitions.get_mut(at));
        found.map(|found| (topic, found)).ok_or_else(|| {
            let message = format!("no such partition: the topic has {count}");
            LogError::new(Class::Fatal, format!("partition {partition} of topic \"{name}\""), message)
        })
    }

    /// A new epoch for this id: the transaction it had open is aborted, whoever held the id before is fenced.
    pub(super) fn init_producer(&mut self, name: &str) -> u64 {
        self.settle(name, false);
        let producer = self.producers.entry(name.into()).or_default();
        producer.epoch += 1;
        producer.epoch
    }

    fn producer(&mut self, name: &str, epoch: u64) -> Result<&mut Producer, LogError> {
        let producer = self.producers.get_mut(name).filter(|producer| producer.epoch == epoch);
        producer.ok_or_else(|| LogError {
            fenced: true,
            ..LogError::new(
                Class::Reopen,
                format!("producer \"{name}\""),
                "another producer with this transactional id has taken over".into(),
            )
        })
    }

    fn open_transaction(&mut self, name: &str, epoch: u64) -> Result<&mut Transaction, LogError> {
        let open = self.producer(name, epoch)?.open.as_mut();
        open.ok_or_else(|| {
            LogError::new(
                Class::Fatal,
                format!("producer \"{name}\""),
                "no transaction is open: call begin first".into(),
            )
        })
    }

    pub(super) fn begin(&mut self, name: &str, epoch: u64) -> Result<(), LogError> {
        let id = self.new_id();
        let producer = self.producer(name, epoch)?;
        if producer.open.is_some() {
            let context = format!("producer \"{name}\"");
            return Err(LogError::new(Class::Fatal, context, "a transaction is open: commit or abort it first".into()));
        }
        producer.open = Some(Transaction { id, ..Transaction::default() });
        Ok(())
    }

    /// Appends records of the open transaction.
    pub(super) fn push(&mut self, name: &str, epoch: u64, at: At, records: Builder) -> Result<(), LogError> {
        let transaction = self.open_transaction(name, epoch)?;
        transaction.touched.insert(at);
        let id = transaction.id;
        let topic = &mut self.topics[at.0];
        let partition = &mut topic.partitions[at.1 as usize];
        if partition.is_sealed() {
            let context = format!("partition {} of topic \"{}\"", at.1, topic.name);
            return Err(LogError::new(Class::Fatal, context, "was sealed: nothing more can be written".into()));
        }
        partition.push(records, id);
        Ok(())
    }

    /// Adds the offsets of member `id` of `group` to the open transaction.
    pub(super) fn add_offsets(
        &mut self,
        (name, epoch): (&str, u64),
        (group, id): (&str, u64),
        offsets: &[Offset],
    ) -> Result<(), LogError> {
        let transaction = self.open_transaction(name, epoch)?.id;
        let mut found = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let at = (self.partition(&offset.at.topic, offset.at.partition)?.0, offset.at.partition);
            if !self.groups.get(group).is_some_and(|group| group.owns(id, at)) {
                let context = format!("offsets of group \"{group}\"");
                let message = format!(
                    "partition {} of topic \"{}\" is not this member's (any more): abort, and leave it out",
                    at.1, offset.at.topic
                );
                return Err(LogError::new(Class::Abortable, context, message));
            }
            found.push((at, Committed { next: offset.next, metadata: offset.metadata.clone() }));
        }
        let pending = &mut self.groups.get_mut(group).expect("its member was found above").pending;
        for (at, _) in &found {
            pending.entry(*at).or_default().insert(transaction);
        }
        let open = self.open_transaction(name, epoch)?;
        open.offsets.extend(found.into_iter().map(|(at, committed)| (group.to_owned(), at, committed)));
        Ok(())
    }

    /// Commits or aborts the open transaction of a living producer.
    pub(super) fn end(&mut self, name: &str, epoch: u64, commit: bool) -> Result<(), LogError> {
        self.open_transaction(name, epoch)?;
        self.settle(name, commit);
        Ok(())
    }

    /// Whether `epoch` is still the newest of this id.
    pub(super) fn is_current(&self, name: &str, epoch: u64) -> bool {
        self.producers.get(name).is_some_and(|producer| producer.epoch == epoch)
    }

    fn settle(&mut self, name: &str, commit: bool) {
        let Some(open) = self.producers.get_mut(name).and_then(|producer| producer.open.take()) else { return };
        for (topic, partition) in open.touched {
            self.topics[topic].partitions[partition as usize].settle(open.id, commit);
            self.tidy((topic, partition));
        }
        for (group, at, committed) in open.offsets {
            let group = self.groups.get_mut(&group).expect("a group is never removed");
            if let Some(pending) = group.pending.get_mut(&at) {
                pending.remove(&open.id);
                if pending.is_empty() {
                    group.pending.remove(&at);
                }
            }
            if commit {
                group.offsets.insert(at, committed);
            }
            self.tidy(at);
        }
    }

    /// Drops, or compacts, what every group and reader has behind it.
    pub(super) fn tidy(&mut self, at: At) {
        let topic = &mut self.topics[at.0];
        let readers = topic.readers.values().map(|positions| positions[at.1 as usize]);
        let groups = topic.groups.iter().map(|group| {
            let committed = self.groups.get(group).and_then(|group| group.offsets.get(&at));
            committed.map_or(0, |committed| committed.next)
        });
        let behind = readers.chain(groups).min();
        let partition = &mut topic.partitions[at.1 as usize];
        if topic.compacted {
            partition.compact(behind.unwrap_or(i64::MAX));
        } else if let (true, Some(behind)) = (self.trims, behind) {
            partition.trim(behind);
        }
    }

    /// Decides anew who owns what in the groups that read one of these topics.
    pub(super) fn balance(&mut self, group: &str) {
        let topics = &self.topics;
        if let Some(group) = self.groups.get_mut(group) {
            group.balance(|topic| topics[topic].partitions.len() as i32);
        }
    }
}

pub(super) fn unknown_topic(name: &str) -> LogError {
    LogError::new(
        Class::Fatal,
        format!("topic \"{name}\""),
        "does not exist: create it first (`wellspring topics create`)".into(),
    )
}
