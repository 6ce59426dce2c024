//! One member of a group with its transactional producer.

use super::Shared;
use super::chunk::Piece;
use super::faults::{Call, Fault};
use super::group::At;
use super::outbox::Outbox;
use super::state::State;
use crate::log::{Change, Class, Incoming, Log, LogError, Offset, Outgoing, TopicPartition};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A partition that is this member's.
struct Owned {
    at: At,
    topic: Arc<str>,
    /// The next offset to read; none before the first seek.
    position: Option<i64>,
    paused: bool,
    /// Where the end was last told.
    told_end: Option<i64>,
    told_finished: bool,
}

/// A member of a consumer group of an [`super::Embedded`] log, with its producer.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    group: String,
    name: String,
    topics: Vec<usize>,
    id: u64,
    epoch: u64,
    /// The group's generation at the last poll.
    generation: u64,
    owned: Vec<Owned>,
    /// The partition that the next poll begins with.
    turn: usize,
    pieces: Vec<Piece>,
    /// Which partition the pieces are of, and how many.
    taken: Vec<(usize, usize)>,
    outbox: Outbox,
}

impl EmbeddedLog {
    pub(super) fn open(shared: &Arc<Shared>, group: &str, name: &str, topics: &[String]) -> Result<Self, LogError> {
        let mut state = shared.lock();
        let topics = topics.iter().map(|topic| state.topic(topic)).collect::<Result<Vec<_>, _>>()?;
        let epoch = state.init_producer(name);
        let mut log = Self {
            shared: Arc::clone(shared),
            group: group.into(),
            name: name.into(),
            topics,
            id: 0,
            epoch,
            generation: 0,
            owned: Vec::new(),
            turn: 0,
            pieces: Vec::new(),
            taken: Vec::new(),
            outbox: Outbox::default(),
        };
        log.join(&mut state);
        Ok(log)
    }

    fn join(&mut self, state: &mut State) {
        self.id = state.new_id();
        state.groups.entry(self.group.clone()).or_default().join(self.id, &self.name, &self.topics);
        for topic in &self.topics {
            state.topics[*topic].groups.insert(self.group.clone());
        }
        state.balance(&self.group);
        self.shared.wake(state);
    }

    /// Runs a call, or makes it fail where a test says so.
    fn call<T>(&mut self, call: Call, work: impl FnOnce(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        match self.shared.faults.as_ref().and_then(|faults| faults.at(call, &self.name)) {
            None => work(self),
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After(error)) => work(self).and(Err(error)),
        }
    }

    /// Takes part in the group's division; tells what changed for this member.
    fn rebalance(&mut self, state: &mut State, changes: &mut Vec<Change>) -> Result<(), LogError> {
        let group = state.groups.get_mut(&self.group).expect("joined when opened");
        if !group.has(self.id) {
            return self.rejoin(state, changes);
        }
        if group.generation == self.generation {
            return Ok(());
        }
        let lost = group.revoke(self.id);
        let gained = group.assign(self.id);
        self.generation = group.generation;
        if !lost.is_empty() {
            self.owned.retain(|owned| !lost.contains(&owned.at));
            changes.push(Change::Revoked(lost.iter().map(|at| named(state, *at)).collect()));
        }
        if !gained.is_empty() {
            let names: Vec<TopicPartition> = gained.iter().map(|at| named(state, *at)).collect();
            self.owned.extend(gained.iter().zip(&names).map(|(at, name)| Owned {
                at: *at,
                topic: Arc::clone(&name.topic),
                position: None,
                paused: true,
                told_end: None,
                told_finished: false,
            }));
            self.owned.sort_by_key(|owned| owned.at);
            changes.push(Change::Assigned(names));
        }
        if !(lost.is_empty() && gained.is_empty()) {
            self.shared.wake(state);
        }
        Ok(())
    }

    /// The group declared this member dead: it loses everything and joins again, unless another has taken its name.
    fn rejoin(&mut self, state: &mut State, changes: &mut Vec<Change>) -> Result<(), LogError> {
        if state.groups[&self.group].member_named(&self.name).is_some() {
            return Err(LogError {
                fenced: true,
                ..LogError::new(
                    Class::Fatal,
                    format!("member \"{}\" of group \"{}\"", self.name, self.group),
                    "another process has joined under the same name: give each its own `instance`".into(),
                )
            });
        }
        let lost: Vec<TopicPartition> = self.owned.drain(..).map(|owned| named(state, owned.at)).collect();
        self.join(state);
        if !lost.is_empty() {
            changes.push(Change::Revoked(lost));
        }
        self.rebalance(state, changes)
    }

    /// Takes hold of up to `max` records; tells of partitions that stand at their end and gave none.
    fn gather(&mut self, state: &mut State, max: usize, changes: &mut Vec<Change>) -> Result<(), LogError> {
        let (count, mut left) = (self.owned.len(), max);
        while let Some(epoch) = self.next_epoch(state)?.filter(|_| left > 0) {
            for step in 0..count {
                let place = (self.turn + step) % count;
                let owned = &mut self.owned[place];
                let Some(position) = owned.position.filter(|_| !owned.paused && left > 0) else { continue };
                let partition = &mut state.topics[owned.at.0].partitions[owned.at.1 as usize];
                let before = self.pieces.len();
                let (records, next) = partition.read(position, left, epoch, &mut self.pieces);
                owned.position = Some(next);
                left -= records;
                if records > 0 {
                    self.taken.push((place, self.pieces.len() - before));
                }
            }
        }
        for (place, owned) in self.owned.iter_mut().enumerate() {
            let Some(position) = owned.position.filter(|_| !owned.paused && left > 0) else { continue };
            if self.taken.iter().any(|(taken, _)| *taken == place) {
                continue;
            }
            let partition = &mut state.topics[owned.at.0].partitions[owned.at.1 as usize];
            let next = partition.stable().max(position);
            owned.position = Some(next);
            if owned.told_end != Some(next) {
                owned.told_end = Some(next);
                changes.push(Change::AtEnd(named_of(owned)));
            }
            if !owned.told_finished && partition.is_finished(next) {
                owned.told_finished = true;
                changes.push(Change::Finished(named_of(owned)));
            }
        }
        self.turn = if count == 0 { 0 } else { (self.turn + 1) % count };
        Ok(())
    }

    /// The first barrier behind which there is something to read; none where there is nothing.
    fn next_epoch(&self, state: &mut State) -> Result<Option<u64>, LogError> {
        let mut first = None;
        for owned in self.owned.iter().filter(|owned| !owned.paused) {
            let Some(position) = owned.position else { continue };
            let topic = &mut state.topics[owned.at.0];
            let partition = &mut topic.partitions[owned.at.1 as usize];
            if position < partition.start() || position > partition.stable().max(partition.start()) {
                let context = format!("offset {position} of partition {} of topic \"{}\"", owned.at.1, topic.name);
                let message = format!("lies outside of the log ({} to {})", partition.start(), partition.stable());
                return Err(LogError::new(Class::Fatal, context, message));
            }
            if let Some(epoch) = partition.next_epoch(position) {
                first = Some(first.map_or(epoch, |first: u64| first.min(epoch)));
            }
        }
        Ok(first)
    }

    fn owned_mut(&mut self, partition: &TopicPartition) -> Option<&mut Owned> {
        self.owned.iter_mut().find(|owned| owned.at.1 == partition.partition && owned.topic == partition.topic)
    }
}

fn named(state: &State, at: At) -> TopicPartition {
    TopicPartition { topic: Arc::clone(&state.topics[at.0].name), partition: at.1 }
}

fn named_of(owned: &Owned) -> TopicPartition {
    TopicPartition { topic: Arc::clone(&owned.topic), partition: owned.at.1 }
}

impl Log for EmbeddedLog {
    fn poll(
        &mut self,
        timeout: Duration,
        max_records: usize,
        each: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<Vec<Change>, LogError> {
        self.call(Call::Poll, |log| {
            let mut changes = Vec::new();
            let shared = Arc::clone(&log.shared);
            let mut state = shared.lock();
            let mut deadline = None;
            loop {
                log.rebalance(&mut state, &mut changes)?;
                if max_records > 0 && !log.outbox.is_ahead(&state, shared.settings.topic_bytes_max) {
                    log.gather(&mut state, max_records, &mut changes)?;
                }
                let now = Instant::now();
                let deadline = *deadline.get_or_insert(now + timeout);
                if !(changes.is_empty() && log.pieces.is_empty()) || state.stopped || now >= deadline {
                    break;
                }
                state = shared.wait(state, Some(deadline));
            }
            drop(state);
            let mut pieces = log.pieces.drain(..);
            for (place, count) in log.taken.drain(..) {
                let owned = &log.owned[place];
                for piece in pieces.by_ref().take(count) {
                    for index in piece.from..piece.to {
                        each(piece.chunk.record(index, &owned.topic, owned.at.1).0);
                    }
                }
            }
            Ok(changes)
        })
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for partition in partitions {
            if let Some(owned) = self.owned_mut(partition) {
                owned.paused = true;
            }
        }
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for partition in partitions {
            let Some(owned) = self.owned_mut(partition) else { continue };
            if owned.position.is_none() {
                let context = format!("partition {} of topic \"{}\"", partition.partition, partition.topic);
                return Err(LogError::new(Class::Fatal, context, "has no position: seek before resume".into()));
            }
            owned.paused = false;
        }
        Ok(())
    }

    fn seek(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        self.call(Call::Seek, |log| {
            for (partition, next) in positions {
                let Some(owned) = log.owned_mut(partition) else { continue };
                (owned.position, owned.told_end, owned.told_finished) = (Some(*next), None, false);
            }
            Ok(())
        })
    }

    fn assignment(&mut self) -> Result<Vec<TopicPartition>, LogError> {
        Ok(self.owned.iter().map(named_of).collect())
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        self.call(Call::Committed, |log| {
            let mut state = log.shared.lock();
            let mut found = Vec::with_capacity(partitions.len());
            for at in partitions {
                found.push((state.partition(&at.topic, at.partition)?.0, at.partition));
            }
            let deadline = Instant::now() + log.shared.settings.wait_max;
            while found.iter().any(|at| state.groups[&log.group].pending.contains_key(at)) {
                if Instant::now() >= deadline || state.stopped {
                    let message = "a transaction with offsets of these partitions is not decided yet".into();
                    return Err(LogError::new(
                        Class::Retriable,
                        format!("offsets of group \"{}\"", log.group),
                        message,
                    ));
                }
                state = log.shared.wait(state, Some(deadline));
            }
            let offsets = &state.groups[&log.group].offsets;
            let one = |(at, name): (&At, &TopicPartition)| {
                let committed = offsets.get(at)?;
                Some(Offset { at: name.clone(), next: committed.next, metadata: committed.metadata.clone() })
            };
            Ok(found.iter().zip(partitions).map(one).collect())
        })
    }

    fn watermarks(&mut self, at: &TopicPartition) -> Result<(i64, i64), LogError> {
        self.call(Call::Watermarks, |log| {
            let mut state = log.shared.lock();
            let (_, partition) = state.partition(&at.topic, at.partition)?;
            Ok((partition.start(), partition.stable()))
        })
    }

    fn ends(&self, at: &TopicPartition) -> Option<(i64, i64)> {
        let mut state = self.shared.lock();
        state.partition(&at.topic, at.partition).ok().map(|(_, partition)| (partition.start(), partition.stable()))
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.call(Call::Begin, |log| log.shared.lock().begin(&log.name, log.epoch))
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), LogError> {
        self.call(Call::Send, |log| log.outbox.send(&log.shared, (&log.name, log.epoch), &record))
    }

    fn send_offsets(&mut self, offsets: &[Offset]) -> Result<(), LogError> {
        self.call(Call::SendOffsets, |log| {
            let shared = Arc::clone(&log.shared);
            let mut state = shared.lock();
            log.outbox.flush(&mut state, (&log.name, log.epoch))?;
            state.add_offsets((&log.name, log.epoch), (&log.group, log.id), offsets)
        })
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.call(Call::Commit, |log| {
            let shared = Arc::clone(&log.shared);
            let mut state = shared.lock();
            log.outbox.flush(&mut state, (&log.name, log.epoch))?;
            let ended = state.end(&log.name, log.epoch, true);
            shared.wake(&state);
            ended
        })
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.call(Call::Abort, |log| {
            log.outbox.discard();
            let mut state = log.shared.lock();
            let ended = state.end(&log.name, log.epoch, false);
            log.shared.wake(&state);
            ended
        })
    }

    fn reopen(&mut self) -> Result<(), LogError> {
        self.call(Call::Reopen, |log| {
            log.outbox.discard();
            let mut state = log.shared.lock();
            log.epoch = state.init_producer(&log.name);
            log.shared.wake(&state);
            Ok(())
        })
    }
}

impl Drop for EmbeddedLog {
    /// Leaves the group and aborts what is open, where it is still this one's to do.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.is_current(&self.name, self.epoch) {
            // Aborts what is open; a fresh epoch harms nobody.
            state.init_producer(&self.name);
        }
        let group = state.groups.get_mut(&self.group).expect("joined when opened");
        if group.leave(self.id) {
            state.balance(&self.group);
        }
        self.shared.wake(&state);
    }
}
