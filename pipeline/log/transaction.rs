//! One micro-batch, one transaction: outputs and offsets are committed together or not at all, whatever the log answers.
//!
//! The log's input cannot change, so neither can what was made of it: after an abort, or an outcome that is not known,
//! the same staged records and offsets are sent again, less those of partitions that are another's by then.

use super::backoff::{Backoff, Trying};
use super::fencing::Fencings;
use super::passing::Passing;
use super::staged::Staged;
use super::{Change, Class, Log, LogError, Offset, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// What one task commits: an input partition's offset; the task's staged records go with it. A task may have several
/// (its records came from several partitions): then they are committed together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOffset {
    /// The task, as its records were staged.
    pub task: i32,
    /// The offset at which the task stood before this batch. Where that is the offset to be committed as well, the batch
    /// read nothing; if the log then loses the answer to its commit, it is sent again, so it must bear repetition.
    pub before: i64,
    /// The offset to be committed.
    pub offset: Offset,
}

/// How a transaction ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Partitions that were lost on the way; nothing was committed for them here.
    pub lost: Vec<TopicPartition>,
    /// What polls in between told, in order; to be handled as if the next poll had told it.
    pub changes: Vec<Change>,
    /// How many transactions it took.
    pub attempts: u32,
    /// Why those before the last failed.
    pub errors: Vec<Class>,
}

/// Drives transactions; remembers how often it was fenced.
#[derive(Debug)]
pub struct Transactor {
    /// Of one batch, all attempts together.
    backoff: Backoff,
    fencings: Fencings,
}

/// What is left to do of one batch.
struct Batch<'a> {
    staged: &'a Staged,
    left: Vec<&'a TaskOffset>,
    outcome: Outcome,
    trying: Trying<'a>,
    passing: Passing,
}

impl Transactor {
    /// A driver that gives up on a batch after `patience`, and pauses between attempts from the first of `pauses`, longer
    /// each time, to the second.
    pub fn new(patience: Duration, pauses: (Duration, Duration)) -> Self {
        Self { backoff: Backoff::new(patience, pauses), fencings: Fencings::default() }
    }

    /// A transaction may last so long; who is fenced after that is sent back to begin it again, however often.
    pub fn lasting(mut self, limit: Duration) -> Self {
        self.fencings.limit = limit;
        self
    }

    /// Gives up on a batch soon where `stop` is set: it is not committed then, and whoever comes next takes it up.
    pub fn heed(&mut self, stop: &Arc<AtomicBool>) {
        self.backoff.heed(stop);
    }

    /// Commits the records of the tasks of `offsets` with those offsets. An error means that this worker has to end.
    pub fn commit(&mut self, log: &mut dyn Log, staged: &Staged, offsets: &[TaskOffset]) -> Result<Outcome, LogError> {
        let mut batch = Batch {
            staged,
            left: offsets.iter().collect(),
            outcome: Outcome::default(),
            trying: self.backoff.begin(),
            passing: Passing::default(),
        };
        if let Some(task) = staged.task_ids().find(|task| offsets.iter().all(|offset| offset.task != *task)) {
            let message = "has records but no offset to be committed with them".into();
            return Err(LogError::new(Class::Fatal, format!("task {task}"), message));
        }
        while !batch.left.is_empty() {
            batch.outcome.attempts += 1;
            let started = Instant::now();
            let Err(error) = batch.attempt(log) else { break };
            batch.outcome.errors.push(error.class);
            tracing::warn!(class = ?error.class, fenced = error.fenced, "transaction sent again: {error}");
            self.fencings.count(&error, started.elapsed())?;
            let mut recovery = if error.class == Class::Abortable { batch.abort(log) } else { Err(error) };
            while let Err(error) = recovery {
                self.fencings.count(&error, started.elapsed())?;
                batch.give_up_on(&error)?;
                recovery = batch.reopen(log);
            }
            batch.follow_changes(log)?;
        }
        Ok(batch.outcome)
    }
}

impl Batch<'_> {
    /// One transaction with all that is left.
    fn attempt(&mut self, log: &mut dyn Log) -> Result<(), LogError> {
        self.again(|| log.begin())?;
        let (staged, left) = (self.staged, self.left.clone());
        let tasks: BTreeSet<i32> = left.iter().map(|task| task.task).collect();
        for task in tasks {
            staged.send(task, |record| self.again(|| log.send(record)))?;
        }
        let offsets: Vec<Offset> = left.iter().map(|task| task.offset.clone()).collect();
        self.again(|| log.send_offsets(&offsets))?;
        self.again(|| log.commit())
    }

    /// Calls again while the log asks for that and there is time.
    fn again<T>(&mut self, mut call: impl FnMut() -> Result<T, LogError>) -> Result<T, LogError> {
        loop {
            match call() {
                Err(error) if error.class == Class::Retriable => self.give_up_on(&error)?,
                done => return done,
            }
        }
    }

    /// Pauses, longer each time; fails where the error is fatal or time is over.
    fn give_up_on(&mut self, error: &LogError) -> Result<(), LogError> {
        if error.class == Class::Fatal || self.trying.is_over() {
            let (fenced, context) = (error.fenced, error.context.clone());
            let message = match error.class {
                Class::Fatal => error.message.clone(),
                _ if self.trying.is_stopping() => {
                    format!("{}; asked to stop: the open transaction is left to whoever comes next", error.message)
                }
                _ => format!("{}; given up after {} attempts", error.message, self.outcome.attempts),
            };
            return Err(LogError { class: Class::Fatal, fenced, context, message });
        }
        self.passing.tell(error);
        self.trying.rest();
        Ok(())
    }

    /// The transaction is certainly not committed.
    fn abort(&mut self, log: &mut dyn Log) -> Result<(), LogError> {
        self.again(|| log.abort())?;
        self.trying.rest();
        Ok(())
    }

    /// The transaction may be committed: the producer is made anew, which settles it, then the offsets tell.
    fn reopen(&mut self, log: &mut dyn Log) -> Result<(), LogError> {
        self.again(|| log.reopen())?;
        let partitions: Vec<TopicPartition> = self.left.iter().map(|task| task.offset.at.clone()).collect();
        let committed = self.again(|| log.committed(&partitions))?;
        // Of a task with several offsets, those that moved tell together: another owner may have moved one of them.
        let moved = self.left.iter().zip(&committed).filter(|(task, _)| task.offset.next > task.before);
        let mut is_committed: BTreeMap<i32, bool> = BTreeMap::new();
        for (task, found) in moved {
            let reached = found.as_ref().is_some_and(|found| found.next >= task.offset.next);
            *is_committed.entry(task.task).or_insert(true) &= reached;
        }
        self.left.retain(|task| !is_committed.get(&task.task).copied().unwrap_or(false));
        Ok(())
    }

    /// Lets the group have its say (no transaction is open now), and drops the tasks that are another's.
    fn follow_changes(&mut self, log: &mut dyn Log) -> Result<(), LogError> {
        if self.left.is_empty() {
            return Ok(());
        }
        let changes = self.again(|| log.poll(Duration::ZERO, 0, &mut |_| {}))?;
        let assigned = log.assignment()?;
        // A partition that was lost and came back is to be begun anew as well.
        let revoked = changes.iter().filter_map(|change| match change {
            Change::Revoked(partitions) => Some(partitions),
            _ => None,
        });
        let revoked: Vec<TopicPartition> = revoked.flatten().cloned().collect();
        let is_lost = |at: &TopicPartition| revoked.contains(at) || !assigned.contains(at);
        let lost: BTreeSet<i32> = self.left.iter().filter(|t| is_lost(&t.offset.at)).map(|t| t.task).collect();
        let outcome = &mut self.outcome;
        self.left.retain(|task| {
            let drops = lost.contains(&task.task);
            // A task's other partitions are still this worker's: told of the loss, it reads them again.
            if drops && is_lost(&task.offset.at) {
                outcome.lost.push(task.offset.at.clone());
            }
            !drops
        });
        outcome.changes.extend(changes);
        Ok(())
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
