//! Learners: one worker of a room learns from the samples of all engines, and publishes versions of its model.
//!
//! ```text
//! <app>.samples.<model> ─► the study learns, record by record, until it says that a version is due
//!                          └► version v, one transaction:
//!                               tensors on <app>.models, what a learner needs to go on to <app>.learners, the offset of
//!                               the samples, and "v from here" on every partition of <app>.by-user
//! ```
//! The samples have one partition, so one order and one learner; others of its group stand by. What it learns is a function
//! of that log: batches and versions are cut by the records and the time between them. A learner that dies goes on from the
//! last version to the same bits. Where it is too far behind it says so with a version (`skip_until_ms`), and passes over
//! what is older. Of a version only chunks are sent that do not stand on the topics already ([`crate::model::sparse`]): a
//! learner that begins sends everything once.
//!
//! # Layout
//! - this file: [`Learner`], the stage, whatever the model. [`study`]: what it needs of a model, what every version says.
//!   [`device`]: devices that are lost.
//! - [`prompt_tpp`], [`ranking`]: the studies of PromptTPP, and of the models that score candidates (SDIM, MUSE). [`items`]:
//!   vectors of items.

pub mod device;
pub mod items;
pub mod prompt_tpp;
pub mod ranking;
pub mod study;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemas::output::{Emit, Output, Record, Room};
use schemas::packed::{self, Header};

use self::study::{Progress, Published, Study};
use crate::forecast::version::VersionError;
use crate::log::transaction::TaskOffset;
use crate::log::{Incoming, Log, Offset, Reader, TopicPartition};
use crate::metrics::{Stage as Meter, Work, now_ms};
use crate::model::sparse::Standing;
use crate::model::{self, Chunks, Model, ModelError};
use crate::stage::{Stage, StageError};

/// What a learner is set to, whatever its model.
#[derive(Clone, Debug)]
pub struct LearnConfig {
    /// A learner that is further behind passes over samples.
    pub lag_max_ms: i64,
    /// N.
    pub by_user_partitions: u32,
}

/// Why nothing is learned.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] shaders::Error),
    /// The last version cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The last version is not one of this model.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The model to start from is not one for these settings.
    #[error("{room}.start={}: {reason}", path.display())]
    Start {
        /// The room.
        room: &'static str,
        /// The file.
        path: PathBuf,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// A record of samples is none: it is passed over.
    #[error("{0}")]
    Unreadable(String),
    /// The topics do not belong together.
    #[error(
        "samples up to offset {committed:?} are committed, but the state on topic {topic} is of offset {found:?}; was one of \
         the two topics made anew? restore it, or start over under another `app`"
    )]
    Apart {
        /// The topic of learners' states.
        topic: String,
        /// The group's offset.
        committed: Option<i64>,
        /// The state's.
        found: Option<i64>,
    },
}

/// How far the learners of a process have come, for who waits for them; told per record of samples.
#[derive(Debug, Default)]
pub struct Learned(Mutex<BTreeMap<Room, i64>>);

impl Learned {
    /// The next sample of a room that is to be learned from.
    pub fn next(&self, room: Room) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&room).copied().unwrap_or(0)
    }

    /// Whether the learner of a room has come anywhere: where it had a model to start from, that is in force.
    pub fn has_begun(&self, room: Room) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&room)
    }

    fn come_to(&self, room: Room, next: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(room, next);
    }
}

/// The stage.
pub struct Learner {
    config: LearnConfig,
    study: Box<dyn Study>,
    /// Of `<app>.learners`.
    reader: Box<dyn Reader>,
    learners: String,
    chunks: Chunks,
    meter: Meter,
    learned: Arc<Learned>,
    task: Option<Task>,
}

/// The samples are this worker's.
struct Task {
    at: TopicPartition,
    /// The next sample record to learn from, and the time of the last one.
    progress: Progress,
    /// What is committed of the samples.
    committed: i64,
    /// Records that came after a version was due.
    waiting: VecDeque<Waiting>,
    /// The last version, the time of its last sample, and what it had learned from.
    version: u64,
    version_time_ms: Option<i64>,
    targets: u64,
    /// A version is to be published before anything else is learned.
    due: bool,
    /// What stands on topics `models` and `learners`. While the samples are this worker's, nobody else sends there.
    standing: [Standing; 2],
}

struct Waiting {
    offset: i64,
    timestamp_ms: Option<i64>,
    value: Vec<u8>,
}

impl Learner {
    /// A learner that stands by; the reader is of topic `learners`. `learned` is told the next sample to learn from.
    pub fn new(
        config: LearnConfig,
        study: Box<dyn Study>,
        (reader, learners): (Box<dyn Reader>, String),
        meter: Meter,
        learned: Arc<Learned>,
    ) -> Self {
        let chunks = Chunks::of(study.room().name());
        Self { config, study, reader, learners, chunks, meter, learned, task: None }
    }

    /// Where the samples are to be learned from: after the last version, or from the beginning.
    fn begin(&mut self, at: &TopicPartition, committed: Option<i64>, low: i64) -> Result<Task, LearnError> {
        let chunks = &mut self.chunks;
        model::read_all(self.reader.as_mut(), &self.learners, &mut |record| _ = chunks.take(record))?;
        let saved = self.chunks.assemble();
        let progress = saved.as_ref().map(Progress::of).transpose()?;
        let found = progress.as_ref().map(|progress| progress.samples_offset);
        if found != committed {
            return Err(LearnError::Apart { topic: self.learners.clone(), committed, found });
        }
        let due = self.study.begin(saved.as_ref())?;
        let before = self.study.version_before();
        let version = saved.map_or(before, |saved| saved.version);
        let next = committed.unwrap_or(low);
        let progress = Progress { samples_offset: next, ..progress.unwrap_or_default() };
        tracing::info!(model = self.study.room().name(), version, offset = next, "learning begins");
        Ok(Task {
            at: at.clone(),
            committed: next,
            waiting: VecDeque::new(),
            version,
            version_time_ms: progress.time_ms,
            progress,
            targets: 0,
            due,
            standing: Default::default(),
        })
    }

    /// Learns from what waits, up to the next version.
    fn advance(&mut self) -> Result<(), LearnError> {
        let Self { study, learned, task, .. } = self;
        let Some(task) = task else { return Ok(()) };
        while !task.due
            && let Some(waiting) = task.waiting.pop_front()
        {
            task.due = task.learn(study.as_mut(), &waiting)?;
            // A version that is due is to be in force before it counts as learned.
            if !task.due {
                learned.come_to(study.room(), task.progress.samples_offset);
            }
        }
        Ok(())
    }

    /// Stages the version that is due.
    fn publish(&mut self, staged: &mut dyn Emit) -> Option<TaskOffset> {
        let task = self.task.as_mut().filter(|task| task.due)?;
        let name = self.study.room().name();
        let now_ms = now_ms();
        let lag_ms = task.progress.time_ms.map_or(0, |time_ms| now_ms - time_ms);
        if lag_ms > self.config.lag_max_ms {
            tracing::warn!(model = name, lag_ms, "learning is too far behind: samples from before now are passed over");
            task.progress.skip_until_ms = Some(now_ms);
        }
        let Published { mut about, weights, saved, targets } = self.study.version();
        task.progress.add_to(&mut about);
        task.targets = targets;
        let version = task.version + 1;
        let sets = [(Output::Models, weights), (Output::Learners, saved)];
        for ((output, tensors), standing) in sets.into_iter().zip(&mut task.standing) {
            let model = Model { name: name.into(), version, about: about.clone(), tensors };
            standing.stage(&model, |key, value| {
                staged.emit(TASK, Record { output, partition: 0, key: Some(key), value: Some(value), headers: &[] });
            });
        }
        let versions = BTreeMap::from([(name.to_owned(), version)]);
        let mut control = Vec::new();
        packed::write(&Header { versions, ..Header::default() }, None, &mut control).expect("a header becomes JSON");
        for partition in 0..self.config.by_user_partitions as i32 {
            let (output, value) = (Output::ByUser, Some(control.as_slice()));
            staged.emit(TASK, Record { output, partition, key: None, value, headers: &[] });
        }
        let offset = Offset { at: task.at.clone(), next: task.progress.samples_offset, metadata: String::new() };
        Some(TaskOffset { task: TASK, before: task.committed, offset })
    }
}

impl Task {
    /// Learns from a record, unless it is passed over; whether a version is due.
    fn learn(&mut self, study: &mut dyn Study, record: &Waiting) -> Result<bool, LearnError> {
        let Progress { samples_offset, time_ms, skip_until_ms } = &mut self.progress;
        *samples_offset = record.offset + 1;
        *time_ms = record.timestamp_ms.or(*time_ms);
        if record.timestamp_ms.zip(*skip_until_ms).is_some_and(|(at, until)| at < until) {
            return Ok(false);
        }
        let since_version_ms = time_ms.zip(self.version_time_ms).map(|(now, then)| now - then);
        match study.learn(&record.value, since_version_ms) {
            Err(LearnError::Unreadable(error)) => {
                tracing::warn!(model = study.room().name(), offset = record.offset, "a record is passed over: {error}");
                Ok(false)
            }
            learned => learned,
        }
    }
}

/// The samples' only partition.
const TASK: i32 = 0;

impl Stage for Learner {
    const WORK: Work = Work::Learn;

    fn assign(&mut self, log: &mut dyn Log, partitions: &[TopicPartition]) -> Result<(), StageError> {
        for at in partitions {
            let committed = log.committed(std::slice::from_ref(at))?.pop().flatten();
            let (low, _) = log.watermarks(at)?;
            let task = self.begin(at, committed.map(|offset| offset.next), low)?;
            log.seek(&[(at.clone(), task.committed)])?;
            self.task = Some(task);
        }
        Ok(log.resume(partitions)?)
    }

    fn revoke(&mut self, _: &mut dyn Log, _: &[TopicPartition]) -> Result<bool, StageError> {
        self.task = None;
        Ok(true)
    }

    fn record(&mut self, record: Incoming<'_>, _: &mut dyn Emit) -> Result<(), StageError> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let Incoming { offset, timestamp_ms, value, .. } = record;
        task.waiting.push_back(Waiting { offset, timestamp_ms, value: value.unwrap_or_default().to_vec() });
        Ok(self.advance()?)
    }

    fn at_end(&mut self, _: &TopicPartition, _: bool) {}

    fn tick(&mut self, _: Duration) -> bool {
        self.task.as_ref().is_some_and(|task| task.due)
    }

    fn finish(&mut self, staged: &mut dyn Emit) -> Result<Vec<TaskOffset>, StageError> {
        Ok(self.publish(staged).into_iter().collect())
    }

    /// A version goes out at once: nothing is learned in the meantime.
    fn bytes_to_come(&self) -> usize {
        if self.task.as_ref().is_some_and(|task| task.due) { usize::MAX / 2 } else { 0 }
    }

    fn committed(&mut self) {
        let Some(task) = self.task.as_mut().filter(|task| task.due) else { return };
        let (room, next) = (self.study.room(), task.progress.samples_offset);
        (task.due, task.committed, task.version_time_ms) = (false, next, task.progress.time_ms);
        task.standing.iter_mut().for_each(Standing::committed);
        task.version += 1;
        self.learned.come_to(room, next);
        self.study.in_force(task.version);
        self.meter.learned(room.name(), task.version, task.targets);
        tracing::info!(model = room.name(), version = task.version, offset = next, "a version is in force");
    }

    fn settled(&mut self, _: Duration) -> Result<(), StageError> {
        // Who stands by reads along: taking over does not take long. Who learns does too: an embedded log keeps what was not
        // read.
        let chunks = &mut self.chunks;
        self.reader.poll(Duration::ZERO, &mut |record| _ = chunks.take(record))?;
        Ok(self.advance()?)
    }

    fn positions(&self) -> Vec<(TopicPartition, i64)> {
        self.task.iter().map(|task| (task.at.clone(), task.progress.samples_offset)).collect()
    }
}
