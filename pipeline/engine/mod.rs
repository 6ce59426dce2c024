//! The engine: the stage that folds `by-user` into views and encodings, one task a partition.
//!
//! # Layout
//! - `answer`: what the page asks of one user.
//! - [`cold`]: idle users on the local disk.
//! - [`direct`]: events without the hop through `by-user`.
//! - [`minimum`]: the watermark of a task.
//! - `recovery`: where a task begins, and the snapshots that it leaves.
//! - [`crate::encode`]: what the rooms make of the users touched.

mod answer;
pub mod cold;
pub mod direct;
pub mod minimum;
mod recovery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use operators::{Counters, Fold};
use schemas::output::{Emit, Room};
use schemas::packed;
use schemas::request::Request;

use self::direct::{Asked, Direct};
use self::minimum::Minimum;
use crate::dead_letter;
use crate::encode::{EncodeError, Encoders, Heard};
use crate::log::transaction::TaskOffset;
use crate::log::{Incoming, Log, Offset, TopicPartition};
use crate::metrics::{Stage as Meter, Work, thread_cpu};
use crate::rank::RankRoom;
use crate::snapshot::scheduler::Scheduler;
use crate::stage::{Stage, StageError};

/// The engine of one worker: the state of all its by-user partitions.
pub struct Engine {
    fold: Fold,
    encoders: Encoders,
    /// Where it reads events themselves.
    direct: Option<Direct>,
    meter: Meter,
    tasks: BTreeMap<i32, Task>,
    snapshots: Option<Scheduler>,
    /// The worker's clock, as it was last told.
    now: Duration,
    /// How many tasks of this process have committed the end of time.
    ended: Arc<AtomicUsize>,
}

struct Task {
    at: TopicPartition,
    /// The next record to read.
    next: i64,
    /// What the group has committed; below it the task replays muted.
    committed: i64,
    muted: bool,
    minimum: Minimum,
    ended: bool,
}

impl Engine {
    /// An engine with no partitions yet.
    pub fn new(
        fold: Fold,
        encoders: Encoders,
        direct: Option<Direct>,
        snapshots: Option<Scheduler>,
        meter: Meter,
        ended: Arc<AtomicUsize>,
    ) -> Self {
        Self { fold, encoders, direct, meter, tasks: BTreeMap::new(), snapshots, now: Duration::ZERO, ended }
    }

    /// What has been folded so far.
    pub fn counters(&self) -> Counters {
        self.fold.counters()
    }

    /// Ends the work on everything pending: views, then encodings of the users touched.
    fn settle(&mut self, staged: &mut dyn Emit) -> Result<(), StageError> {
        let cpu = thread_cpu();
        for task in self.tasks.keys().copied().collect::<Vec<_>>() {
            self.push_direct(task, staged)?;
        }
        self.fold_pending(staged)?;
        let cpu = self.meter.spend(Work::Fold, cpu);
        self.fold.end_transaction(staged)?;
        let cpu = self.meter.spend(Work::Settle, cpu);
        self.hear_left(staged);
        let tasks = &self.tasks;
        let heard = |task: i32| {
            let task = &tasks[&task];
            Heard { watermark: task.minimum.in_force(), muted: task.muted }
        };
        self.encoders.encode(&mut self.fold, &heard, staged)?;
        if let Some((scored, trivial)) = self.encoders.take_scored() {
            self.meter.all().learning().record(&scored, trivial);
        }
        for (model, judged) in self.encoders.rank.iter_mut().flat_map(RankRoom::take_judged) {
            self.meter.all().answers().record(model, &judged);
        }
        self.fold.release()?;
        self.meter.spend(Work::Encode, cpu);
        Ok(())
    }

    /// Folds what is pending, and counts it.
    fn fold_pending(&mut self, staged: &mut dyn Emit) -> Result<(), StageError> {
        self.fold.flush(staged)?;
        if let Some(rank) = &mut self.encoders.rank {
            rank.count(&mut self.fold);
        }
        Ok(())
    }

    /// Tells the encoders whose slots may be others', and takes back what readers see of those who are gone.
    fn hear_left(&mut self, staged: &mut dyn Emit) {
        for left in self.fold.take_left() {
            self.encoders.forget_user(left.task, Some(left.slot));
            if let Some(user_id) = left.user_id.filter(|_| self.tasks.get(&left.task).is_some_and(|task| !task.muted)) {
                self.encoders.take_back(left.task, &user_id, staged);
            }
        }
    }

    /// A version of a model is in force for a task from here on.
    fn adopt(&mut self, task: i32, model: &str, version: u64) -> Result<(), StageError> {
        self.encoders.adopt(&self.fold, task, model, version)?;
        if model == Room::PromptTpp.name() {
            self.meter.all().learning().adopted(version);
        }
        Ok(())
    }

    /// The task speaks from here on: what it did before was said already.
    fn unmute(&mut self, partition: i32, staged: &mut dyn Emit) -> Result<(), StageError> {
        self.settle(staged)?;
        let task = self.tasks.get_mut(&partition).expect("only a task of this worker is unmuted");
        task.muted = false;
        self.fold.set_muted(partition, false);
        tracing::info!(partition, offset = task.committed, "state restored");
        Ok(())
    }

    fn fold(&mut self, record: Incoming<'_>, staged: &mut dyn Emit) -> Result<(), StageError> {
        let read = packed::read(record.value.unwrap_or_default()).and_then(|packed| Ok((packed.rows()?, packed)));
        let (rows, packed) = match read {
            Ok(read) => read,
            Err(error) => {
                self.dead_letter(record, &error, staged);
                return Ok(());
            }
        };
        let task = self.tasks.get_mut(&record.partition).expect("the caller found the task");
        if let Some(rows) = rows {
            self.meter.rows(rows.num_rows());
            self.fold.push(record.partition, &packed.topic(), &rows, task.minimum.in_force(), staged)?;
        }
        for request in packed.header.requests {
            self.request(record.partition, request, staged)?;
        }
        if !packed.header.controls.is_empty() {
            let task = self.tasks.get_mut(&record.partition).expect("the caller found the task");
            let watermark = task.minimum.apply(&packed.header.controls);
            self.fold.advance(record.partition, watermark);
        }
        let mut versions = packed.header.versions;
        versions.retain(|model, version| self.encoders.is_news(record.partition, model, *version));
        if !versions.is_empty() {
            // What stands before it is said with the versions from before.
            self.settle(staged)?;
            for (model, version) in versions {
                self.adopt(record.partition, &model, version)?;
            }
        }
        Ok(())
    }

    /// What a user is asked for, or says, after the rows before it.
    fn request(&mut self, task: i32, request: Request, staged: &mut dyn Emit) -> Result<(), StageError> {
        self.fold_pending(staged)?;
        let muted = self.tasks[&task].muted;
        match (request, &mut self.encoders.rank) {
            (Request::Forget(user_id), _) => self.forget(task, &user_id, staged)?,
            (Request::Feedback(given), Some(rank)) => {
                let slot = self.fold.recall(task, &given.user_id)?;
                rank.feedback(&self.fold, (task, muted), slot, &given, staged).map_err(EncodeError::from)?;
            }
            (Request::Candidates(asked), Some(rank)) => {
                let slot = self.fold.recall(task, &asked.user_id)?;
                rank.ask(&self.fold, (task, muted), slot, asked, staged).map_err(EncodeError::from)?;
            }
            // Nobody answers.
            (Request::Feedback(_) | Request::Candidates(_), None) => {}
        }
        Ok(())
    }

    fn event(&mut self, record: Incoming<'_>, staged: &mut dyn Emit) -> Result<(), StageError> {
        let direct = self.direct.as_mut().expect("the caller found that events come directly");
        match direct.record(record) {
            Ok((asked, undeclared)) => {
                self.meter.undeclared(undeclared);
                match asked {
                    Asked::Row { full: false } => Ok(()),
                    Asked::Row { full: true } => self.push_direct(record.partition, staged),
                    Asked::Forget(user_id) => {
                        self.push_direct(record.partition, staged)?;
                        self.forget(record.partition, user_id, staged)
                    }
                }
            }
            Err(error) => {
                self.dead_letter(record, &error, staged);
                Ok(())
            }
        }
    }

    /// Folds the rows of a task that wait to be enough.
    fn push_direct(&mut self, partition: i32, staged: &mut dyn Emit) -> Result<(), StageError> {
        let (Some(direct), Some(task)) = (&mut self.direct, self.tasks.get_mut(&partition)) else { return Ok(()) };
        let Some((rows, control)) = direct.take(partition, &task.at.topic) else { return Ok(()) };
        self.meter.rows(rows.num_rows());
        let topic = Arc::clone(&task.at.topic);
        self.fold.push(partition, &topic, &rows, task.minimum.in_force(), staged)?;
        self.fold.advance(partition, task.minimum.apply(&[control]));
        Ok(())
    }

    fn forget(&mut self, partition: i32, user_id: &str, staged: &mut dyn Emit) -> Result<(), StageError> {
        let slot = self.fold.forget(partition, user_id, staged)?;
        self.encoders.forget_user(partition, slot);
        if let Some(rank) = &mut self.encoders.rank {
            rank.count(&mut self.fold);
        }
        if !self.tasks[&partition].muted {
            self.encoders.take_back(partition, user_id, staged);
        }
        Ok(())
    }

    /// Not a record of this topic: its bytes are kept, and the log goes on.
    fn dead_letter(&mut self, record: Incoming<'_>, error: &dyn std::error::Error, staged: &mut dyn Emit) {
        if self.tasks[&record.partition].muted {
            return;
        }
        dead_letter::emit(record.partition, record, error, staged);
        self.meter.dead_letter();
    }
}

impl Stage for Engine {
    const WORK: Work = Work::Fold;

    fn assign(&mut self, log: &mut dyn Log, partitions: &[TopicPartition]) -> Result<(), StageError> {
        let committed = log.committed(partitions)?;
        let mut positions = Vec::new();
        for (at, offset) in partitions.iter().zip(committed) {
            let (low, high) = log.watermarks(at)?;
            let task = self.begin(at, offset.map(|offset| offset.next), low, high)?;
            positions.push((at.clone(), task.next));
            if let Some(direct) = &mut self.direct {
                direct.begin(at.partition, task.minimum.in_force());
            }
            self.tasks.insert(at.partition, task);
        }
        log.seek(&positions)?;
        log.resume(partitions)?;
        Ok(())
    }

    fn revoke(&mut self, _: &mut dyn Log, partitions: &[TopicPartition]) -> Result<bool, StageError> {
        for at in partitions {
            if self.tasks.remove(&at.partition).is_some() {
                self.encoders.forget(at.partition);
                if let Some(direct) = &mut self.direct {
                    direct.end(at.partition);
                }
                self.fold.revoke(at.partition)?;
                if let Some(snapshots) = &mut self.snapshots {
                    snapshots.forget(at.partition);
                }
            }
        }
        Ok(false)
    }

    fn record(&mut self, record: Incoming<'_>, staged: &mut dyn Emit) -> Result<(), StageError> {
        let Some(task) = self.tasks.get_mut(&record.partition) else { return Ok(()) };
        let speaks = task.muted && record.offset >= task.committed;
        task.next = record.offset + 1;
        if speaks {
            self.unmute(record.partition, staged)?;
        }
        if self.direct.is_some() { self.event(record, staged) } else { self.fold(record, staged) }
    }

    fn at_end(&mut self, _: &TopicPartition, _: bool) {}

    fn tick(&mut self, _: Duration) -> bool {
        false
    }

    fn settled(&mut self, now: Duration) -> Result<(), StageError> {
        self.now = now;
        if self.meter.all().inquiries().are_waiting() {
            self.answer();
        }
        self.snapshot().map(|_| ())
    }

    fn finish(&mut self, staged: &mut dyn Emit) -> Result<Vec<TaskOffset>, StageError> {
        self.settle(staged)?;
        let counters = self.fold.counters();
        self.meter.folded(&counters, self.fold.resident_users(), self.fold.bytes());
        let moved = self.tasks.values().filter(|task| task.next > task.committed);
        let offset = |task: &Task| TaskOffset {
            task: task.at.partition,
            before: task.committed,
            offset: Offset { at: task.at.clone(), next: task.next, metadata: String::new() },
        };
        Ok(moved.map(offset).collect())
    }

    fn bytes_to_come(&self) -> usize {
        self.encoders.bytes(self.fold.touched_users())
    }

    fn committed(&mut self) {
        if let Some(rank) = &mut self.encoders.rank {
            self.meter.answered(rank.take_given());
        }
        for task in self.tasks.values_mut() {
            task.committed = task.committed.max(task.next);
            if task.minimum.in_force() == i64::MAX && !std::mem::replace(&mut task.ended, true) {
                self.ended.fetch_add(1, Ordering::Release);
            }
        }
    }

    fn stop(&mut self) -> Result<(), StageError> {
        self.put_away()
    }

    fn positions(&self) -> Vec<(TopicPartition, i64)> {
        self.tasks.values().map(|task| (task.at.clone(), task.next)).collect()
    }
}
