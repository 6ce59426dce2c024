//! The learner: one worker learns from the samples of all engines, and publishes versions.
//!
//! ```text
//! <app>.samples.prompt_tpp ─► warm-up: the stream's beginning is kept, then fitted
//!                           └► steps of `prompt_tpp.batch_samples` windows ─► version v, one transaction:
//!                                tensors on <app>.models, the optimizer's state on <app>.learners, the offset of the
//!                                samples, and "v from here" on every partition of <app>.by-user
//! ```
//! The samples have one partition, so one order and one learner; others of its group stand by. What it learns is a function
//! of that log: batches are cut where records end and enough windows wait, versions where enough steps are done and enough
//! time has passed between the records. A learner that dies goes on from the last version to the same bits. Where it is too
//! far behind it says so with a version (`skip_until_ms`), and passes over what is older.
//!
//! # Layout
//! - this file: [`Learner`], the stage. [`fit`](mod@fit), [`warm_up`]: the beginning. [`live`]: the steps.

pub mod fit;
pub mod live;
pub mod warm_up;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use schemas::output::{Emit, Output, Record};
use schemas::packed::{self, Header};
use schemas::sample::{SampleError, Samples};
use serde_json::Value;
use shaders::Device;
use shaders::prompt_tpp::{LearningRates, Model as Network};

use self::live::Live;
use self::warm_up::WarmUp;
use crate::forecast::version::{About, VersionError};
use crate::forecast::vocabulary::Vocabulary;
use crate::log::transaction::TaskOffset;
use crate::log::{Incoming, Log, Offset, Reader, TopicPartition};
use crate::metrics::{Stage as Meter, Work, now_ms};
use crate::model::{self, Chunks, Model, ModelError};
use crate::stage::{Stage, StageError};

/// The only model that learns.
const MODEL: &str = "prompt_tpp";
/// The seed of every new network: two learners of one stream learn the same.
const SEED: u64 = 0;

/// What the learner is set to.
#[derive(Clone, Debug)]
pub struct LearnConfig {
    /// What is learned after the warm-up, and how fast.
    pub rates: LearningRates,
    /// Windows of a step.
    pub batch_samples: usize,
    /// Steps of a version, at least.
    pub version_steps: u64,
    /// Time between the samples of two versions, at least, where samples have a time.
    pub version_interval_ms: i64,
    /// Targets that the warm-up waits for.
    pub warm_up_targets: usize,
    /// Passes of the warm-up.
    pub warm_up_passes: usize,
    /// Most places of types.
    pub types_max: usize,
    /// A learner that is further behind passes over samples.
    pub lag_max_ms: i64,
    /// The model to start from in place of a warm-up.
    pub start: Option<PathBuf>,
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

/// The stage.
pub struct Learner {
    config: LearnConfig,
    device: Device,
    /// Of `<app>.learners`.
    reader: Box<dyn Reader>,
    learners: String,
    chunks: Chunks,
    meter: Meter,
    /// Tells how far it has come: the next sample.
    learned: Arc<AtomicI64>,
    task: Option<Task>,
}

/// The samples are this worker's.
struct Task {
    at: TopicPartition,
    /// The next sample record to learn from, and what is committed of them.
    next: i64,
    committed: i64,
    /// Records that came after a version was due.
    waiting: VecDeque<Waiting>,
    vocabulary: Vocabulary,
    state: State,
    /// The last version.
    version: u64,
    /// The time of the last sample, and that of the last one of the last version.
    time_ms: Option<i64>,
    version_time_ms: Option<i64>,
    skip_until_ms: Option<i64>,
    /// A version is to be published before anything else is learned.
    due: bool,
}

struct Waiting {
    offset: i64,
    timestamp_ms: Option<i64>,
    samples: Samples,
}

enum State {
    WarmUp(WarmUp),
    Live(Box<Live>),
}

impl Learner {
    /// A learner that stands by; the reader is of topic `learners`. `learned` is told the next sample to learn from.
    pub fn new(
        config: LearnConfig,
        device: Device,
        (reader, learners): (Box<dyn Reader>, String),
        meter: Meter,
        learned: Arc<AtomicI64>,
    ) -> Self {
        Self { config, device, reader, learners, chunks: Chunks::default(), meter, learned, task: None }
    }

    /// Where the samples are to be learned from: after the last version, or from the beginning.
    fn begin(&mut self, at: &TopicPartition, committed: Option<i64>, low: i64) -> Result<Task, LearnError> {
        let chunks = &mut self.chunks;
        model::read_all(self.reader.as_mut(), &self.learners, &mut |record| chunks.take(record))?;
        let saved = self.chunks.assemble(MODEL);
        let about = saved.as_ref().map(About::of).transpose()?;
        let found = about.as_ref().map(|about| about.samples_offset);
        if found != committed {
            return Err(LearnError::Apart { topic: self.learners.clone(), committed, found });
        }
        let (vocabulary, state) = match (&saved, &about) {
            (Some(saved), Some(about)) => {
                let live = Live::load(&self.device, saved.tensors.clone(), about.targets)?;
                (Vocabulary::new(about.types.clone()), State::Live(Box::new(live)))
            }
            _ => self.first()?,
        };
        // A model that was given goes out as the first version, whatever comes.
        let due = saved.is_none() && matches!(state, State::Live(_));
        let version = saved.map_or(0, |saved| saved.version);
        let next = committed.unwrap_or(low);
        tracing::info!(version, offset = next, "learning begins");
        Ok(Task {
            at: at.clone(),
            next,
            committed: next,
            waiting: VecDeque::new(),
            vocabulary,
            state,
            version,
            time_ms: about.as_ref().and_then(|about| about.time_ms),
            version_time_ms: about.as_ref().and_then(|about| about.time_ms),
            skip_until_ms: about.and_then(|about| about.skip_until_ms),
            due,
        })
    }

    /// Before the first version: the model of a file, or nothing yet.
    fn first(&self) -> Result<(Vocabulary, State), LearnError> {
        let Some(path) = &self.config.start else {
            return Ok((Vocabulary::default(), State::WarmUp(WarmUp::default())));
        };
        let model = model::file::load(path)?;
        let about = About::of(&model)?;
        let network = Network::from_weights(&self.device, Default::default(), model.tensors, SEED)?;
        Ok((Vocabulary::new(about.types), State::Live(Box::new(Live::new(network, about.targets)))))
    }

    /// Learns from what waits, up to the next version.
    fn advance(&mut self) -> Result<(), LearnError> {
        while let Some(task) = self.task.as_mut().filter(|task| !task.due)
            && let Some(waiting) = task.waiting.pop_front()
        {
            task.next = waiting.offset + 1;
            task.time_ms = waiting.timestamp_ms.or(task.time_ms);
            let passed_over = waiting.timestamp_ms.zip(task.skip_until_ms).is_some_and(|(at, until)| at < until);
            let next = task.next;
            if !passed_over {
                self.learn(&waiting.samples)?;
            }
            // A version that is due is to be in force before it counts as learned.
            if self.task.as_ref().is_some_and(|task| !task.due) {
                self.learned.store(next, Ordering::Release);
            }
        }
        Ok(())
    }

    fn learn(&mut self, samples: &Samples) -> Result<(), LearnError> {
        let Self { config, device, task, .. } = self;
        let task = task.as_mut().expect("samples come to who has a task");
        let places = samples.names.iter().map(|name| task.vocabulary.add(name, config.types_max));
        let places: Vec<u32> = places.collect();
        let place_of = |kind: u16| places[usize::from(kind)];
        match &mut task.state {
            State::WarmUp(warm_up) => {
                (0..samples.len()).for_each(|window| warm_up.take(samples, window, place_of));
                if warm_up.targets() < config.warm_up_targets {
                    return Ok(());
                }
                tracing::info!(targets = warm_up.targets(), "fitting a network to the stream's beginning");
                let network = warm_up.fit(device, task.vocabulary.places(), config.warm_up_passes, SEED)?;
                let targets = warm_up.targets() as u64;
                task.state = State::Live(Box::new(Live::new(network, targets)));
                task.due = true;
            }
            State::Live(live) => {
                live.grow(device, &task.vocabulary)?;
                (0..samples.len()).for_each(|window| live.take(samples, window, place_of));
                if live.pending() < config.batch_samples {
                    return Ok(());
                }
                let refused = live.learn(device, config.batch_samples, &config.rates)?;
                if refused > 0 {
                    tracing::warn!(steps = refused, "a loss was not finite: nothing was learned from these samples");
                }
                let since = task.time_ms.zip(task.version_time_ms).map(|(now, then)| now - then);
                let enough = since.is_none_or(|since| since >= config.version_interval_ms);
                if live.steps >= config.version_steps && enough {
                    task.due = live.check(device)?;
                    if !task.due {
                        live.steps = 0;
                        tracing::warn!(
                            version = task.version,
                            "the network is not finite any more: back to its last version"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    /// Stages the version that is due.
    fn publish(&mut self, staged: &mut dyn Emit) -> Option<TaskOffset> {
        let partitions = self.config.by_user_partitions as i32;
        let task = self.task.as_mut().filter(|task| task.due)?;
        let State::Live(live) = &task.state else { unreachable!("a version is due when there is a network") };
        let now_ms = now_ms();
        let lag_ms = task.time_ms.map_or(0, |time_ms| now_ms - time_ms);
        if lag_ms > self.config.lag_max_ms {
            tracing::warn!(lag_ms, "learning is too far behind: samples from before now are passed over");
            task.skip_until_ms = Some(now_ms);
        }
        let about = About {
            types: task.vocabulary.names().to_vec(),
            unit_ms: live.unit_ms(),
            samples_offset: task.next,
            time_ms: task.time_ms,
            skip_until_ms: task.skip_until_ms,
            targets: live.targets,
            usage: live.usage().to_vec(),
        };
        let about: Value = serde_json::to_value(about).expect("what is said of a version becomes JSON");
        let version = task.version + 1;
        for (output, tensors) in [(Output::Models, live.weights()), (Output::Learners, live.saved())] {
            let model = Model { name: MODEL.into(), version, about: about.clone(), tensors };
            let sent = model.records(|key, value| {
                staged.emit(TASK, Record { output, partition: 0, key: Some(key), value: Some(value), headers: &[] });
                Ok::<_, std::convert::Infallible>(())
            });
            sent.expect("staging does not fail");
        }
        let versions = BTreeMap::from([(MODEL.to_owned(), version)]);
        let mut control = Vec::new();
        packed::write(&Header { versions, ..Header::default() }, None, &mut control).expect("a header becomes JSON");
        for partition in 0..partitions {
            let (output, value) = (Output::ByUser, Some(control.as_slice()));
            staged.emit(TASK, Record { output, partition, key: None, value, headers: &[] });
        }
        let offset = Offset { at: task.at.clone(), next: task.next, metadata: String::new() };
        Some(TaskOffset { task: TASK, before: task.committed, offset })
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
            log.seek(&[(at.clone(), task.next)])?;
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
        let samples = Samples::read(record.value.unwrap_or_default()).unwrap_or_else(|error: SampleError| {
            tracing::warn!(offset = record.offset, "a record is passed over: {error}");
            Samples::default()
        });
        task.waiting.push_back(Waiting { offset: record.offset, timestamp_ms: record.timestamp_ms, samples });
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
        (task.due, task.committed, task.version_time_ms) = (false, task.next, task.time_ms);
        self.learned.store(task.next, Ordering::Release);
        task.version += 1;
        if let State::Live(live) = &mut task.state {
            live.steps = 0;
            self.meter.learned(task.version, live.targets);
            self.meter.all().learning().pool_usage(live.usage(), task.version);
        }
        tracing::info!(version = task.version, offset = task.next, "a version is in force");
    }

    fn settled(&mut self, _: Duration) -> Result<(), StageError> {
        if self.task.is_none() {
            // Who stands by reads along: taking over does not take long.
            let chunks = &mut self.chunks;
            self.reader.poll(Duration::ZERO, &mut |record| chunks.take(record))?;
        }
        Ok(self.advance()?)
    }

    fn positions(&self) -> Vec<(TopicPartition, i64)> {
        self.task.iter().map(|task| (task.at.clone(), task.next)).collect()
    }
}
