//! `run`: every role in this process over the embedded log, from inputs that end to files.
//!
//! # Layout
//! - [`inputs`], [`generated`]: sources, or synthetic users, to input records; [`progress`]: a bar over them; [`paced`]: so
//!   many a second.
//! - [`collector`]: outputs to files. [`samples`]: what is learned from, to a file that is passed over again and again.

pub mod collector;
pub mod generated;
pub mod inputs;
pub mod paced;
pub mod progress;
pub mod samples;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schemas::output::{Output, Room};
use schemas::topics::Topics;
use serde::Serialize;

use self::collector::Collector;
use crate::config::{Config, ConfigError, Role, Route};
use crate::encode::follow::Follower;
use crate::log::embedded::{Embedded, EmbeddedSettings};
use crate::log::{Broker, LogError, TopicSpec};
use crate::metrics::Metrics;
use crate::roles::{self, Group, RoleError, Shared, Workers};
use crate::service::{self, ServiceError};
use crate::source::SourceError;
use crate::{engine::Engine, model, route::Router};

/// Items between two reads of the catalogue: the items topic holds no more than it can.
const ITEMS_BETWEEN_READS: u64 = 4096;

/// Events after which a run waits for its learner.
const EVENTS_BETWEEN_LESSONS: u64 = 2048;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The service did not start or had to stop.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// An input cannot be read.
    #[error(transparent)]
    Input(#[from] SourceError),
    /// An output cannot be written.
    #[error("writing {path}: {error}; is there room, and may it be written to?")]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It was stopped before its inputs were over.
    #[error("stopped before the inputs were over; the outputs hold what was done by then")]
    Stopped,
}

impl RunError {
    /// An output that cannot be written.
    pub fn output(path: &Path, error: std::io::Error) -> Self {
        Self::Output { path: path.into(), error }
    }
}

impl From<LogError> for RunError {
    fn from(error: LogError) -> Self {
        Self::Service(error.into())
    }
}

impl From<RoleError> for RunError {
    fn from(error: RoleError) -> Self {
        Self::Service(error.into())
    }
}

/// Takes one input record: topic, partition, value; says whether more is wanted.
pub type Append<'a> = dyn FnMut(&str, i32, &[u8]) -> Result<(), RunError> + 'a;

/// Input records in the order in which they are to be taken; those of `items` come first.
pub trait Feed: Send {
    /// How many partitions (sources) an input topic has; 0 where it has none.
    fn partitions(&self, topic: &str) -> i32;
    /// Gives all records to `append`.
    ///
    /// # Errors
    /// Where a source cannot be read, or what `append` says.
    fn feed(&mut self, append: &mut Append<'_>) -> Result<(), RunError>;
}

/// What a run did, as it prints it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Summary {
    /// Records of all inputs.
    pub records_in: u64,
    pub dead_letters: u64,
    /// In rows.
    pub late: u64,
    /// In rows.
    pub duplicates: u64,
    pub users: u64,
    pub seconds: f64,
    /// Records by topic.
    pub outputs: BTreeMap<String, u64>,
}

/// Runs `feed` to its end and writes the outputs below `output`. `stop` ends it early.
///
/// # Errors
/// Where something cannot be read, written or done; the message says what.
pub fn run(
    config: Config,
    feed: &mut dyn Feed,
    output: &Path,
    metrics: Metrics,
    stop: &Arc<AtomicBool>,
) -> Result<Summary, RunError> {
    let started = Instant::now();
    let (shared, broker) = prepare(config, feed, metrics)?;
    let names = output_names(&shared);
    let reader = broker.records(&names)?;
    let collector = Collector::new(reader, output, &names, &shared.topics.name(Output::DeadLetter))?;
    let (stages, outputs) = work(&shared, &broker, feed, stop, |ended| collector.run(ended))?;
    save_models(&shared, &broker, output)?;
    if stop.load(Ordering::Relaxed) {
        return Err(RunError::Stopped);
    }
    Ok(summary(&stages, outputs, started.elapsed()))
}

/// What the workers share, and a log with the topics that they need.
fn prepare(mut config: Config, feed: &dyn Feed, metrics: Metrics) -> Result<(Shared, Embedded), RunError> {
    if config.route == Route::Direct {
        let (what, remedy) =
            ("a run's sources are its partitions, whoever is in them", "leave route=direct to `serve`");
        return Err(ServiceError::from(ConfigError::Together { what: what.into(), remedy: remedy.into() }).into());
    }
    // A run is as fast as the machine: what it learns must not depend on that.
    (config.prompt_tpp.version_interval_ms, config.prompt_tpp.lag_max_ms) = (0, u64::MAX >> 1);
    (config.candidates.version_interval_ms, config.candidates.lag_max_ms) = (0, u64::MAX >> 1);
    let views = service::views(&config)?;
    let topics = service::topics(&config, &views);
    // For the latency on the page; a file's events are not to be judged by when it was read.
    let stamps = config.events.max_ahead_ms.is_none();
    let broker = Embedded::new(EmbeddedSettings { stamps, ..EmbeddedSettings::default() });
    broker.create(&specs(&config, &topics, feed))?;
    let partitions = config.partitions_embedded();
    let mut shared = service::prepare(config, views, partitions, &broker, metrics)?;
    shared.one_router = true;
    Ok((shared, broker))
}

/// The workers' stages when they have ended.
type Stages = (Vec<Router>, Vec<Engine>);

/// Lets the workers take what `feed` gives, to its end, while `collect` reads what comes of it until it is told that they have
/// ended.
fn work<C: Send>(
    shared: &Shared,
    broker: &Embedded,
    feed: &mut dyn Feed,
    stop: &AtomicBool,
    collect: impl FnOnce(&AtomicBool) -> Result<C, RunError> + Send,
) -> Result<(Stages, C), RunError> {
    let all_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collecting = scope.spawn(|| collect(&all_ended));
        let stages = feed_workers(shared, broker, feed, stop);
        all_ended.store(true, Ordering::Release);
        let collected = collecting.join().map_err(|_| RoleError::Panicked("collector".into()))?;
        Ok((stages?, collected?))
    })
}

fn feed_workers(
    shared: &Shared,
    broker: &Embedded,
    feed: &mut dyn Feed,
    stop: &AtomicBool,
) -> Result<Stages, RunError> {
    let workers = Workers::start(shared, broker, Arc::new(AtomicBool::new(false)))?;
    shared.metrics.set_ready(true);
    let fed = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feed_all(shared, broker, feed, stop));
        while !feeding.is_finished() || !ended(shared) {
            if workers.any_ended() || (feeding.is_finished() && stop.load(Ordering::Relaxed)) {
                broker.stop();
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        feeding.join().unwrap_or_else(|_| Err(RoleError::Panicked("feed".into()).into()))
    });
    if fed.is_ok() && !stop.load(Ordering::Relaxed) && !workers.any_ended() {
        drain_items(shared, broker)?;
    }
    let stages = workers.stop()?;
    fed.map(|()| stages)
}

/// Whether every task has committed the end of time: nothing can follow it.
fn ended(shared: &Shared) -> bool {
    shared.ended.load(Ordering::Acquire) == shared.by_user_partitions as usize
}

/// The router commits the items' dead letters too before it is stopped.
fn drain_items(shared: &Shared, broker: &Embedded) -> Result<(), RunError> {
    let group = roles::group(&shared.config, Group::Router);
    while !broker.wait_drained(&group, &shared.topics.input("items"), Duration::from_millis(100))? {}
    Ok(())
}

fn feed_all(shared: &Shared, broker: &Embedded, feed: &mut dyn Feed, stop: &AtomicBool) -> Result<(), RunError> {
    let inputs: Vec<(String, i32)> = roles::inputs(&shared.config)
        .into_iter()
        .map(|name| (shared.topics.input(name), feed.partitions(name).max(1)))
        .collect();
    let mut follower = service::read_items(shared, broker, stop)?;
    let (mut reading_items, mut count, mut fed, mut last) = (true, 0_u64, 0_u64, String::new());
    let learns = roles::works(&shared.config, Role::Learner);
    if learns {
        wait_started(shared, broker, stop)?;
    }
    feed.feed(&mut |name, partition, value| {
        if stop.load(Ordering::Relaxed) {
            return Err(RunError::Stopped);
        }
        if last != name {
            // Two topics have no order between them but this.
            broker.barrier();
            last = name.into();
        }
        let topic = shared.topics.input(name);
        if name == "items" {
            count += 1;
            broker.append(&topic, partition, None, None, Some(value))?;
            if count.is_multiple_of(ITEMS_BETWEEN_READS) {
                catch_up(&mut follower, stop)?;
            }
            return Ok(());
        }
        if std::mem::take(&mut reading_items) {
            catch_up(&mut follower, stop)?;
        }
        broker.append(&topic, partition, None, None, Some(value))?;
        let teaches = matches!(name, "events" | "feedback");
        fed += u64::from(teaches);
        if learns && teaches && fed.is_multiple_of(EVENTS_BETWEEN_LESSONS) {
            wait_routed(shared, broker, &topic, stop)?;
            wait_learned(shared, broker, stop)?;
        }
        Ok(())
    })?;
    catch_up(&mut follower, stop)?;
    for (topic, partitions) in &inputs {
        for partition in 0..*partitions {
            broker.seal(topic, partition)?;
        }
    }
    Ok(())
}

/// Whether what is waited for may still come: nobody has stopped the run, and no worker has ended.
fn may_come(broker: &Embedded, stop: &AtomicBool) -> Result<(), RunError> {
    if stop.load(Ordering::Relaxed) || broker.is_stopped() { Err(RunError::Stopped) } else { Ok(()) }
}

/// Waits until the models to start from are in force: the first record is to be answered by them.
fn wait_started(shared: &Shared, broker: &Embedded, stop: &AtomicBool) -> Result<(), RunError> {
    let config = &shared.config;
    for room in roles::learning(config).into_iter().filter(|room| roles::start(config, *room).is_some()) {
        while !shared.learned.has_begun(room) {
            may_come(broker, stop)?;
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

/// Waits until the router has committed all of `topic`.
fn wait_routed(shared: &Shared, broker: &Embedded, topic: &str, stop: &AtomicBool) -> Result<(), RunError> {
    let group = roles::group(&shared.config, Group::Router);
    while !broker.wait_drained(&group, topic, Duration::from_millis(100))? {
        may_come(broker, stop)?;
    }
    Ok(())
}

/// Waits until what is folded is learned from: what follows is forecast by a model that knows it.
fn wait_learned(shared: &Shared, broker: &Embedded, stop: &AtomicBool) -> Result<(), RunError> {
    let engine = roles::group(&shared.config, Group::Engine);
    while !broker.wait_drained(&engine, &shared.topics.by_user(), Duration::from_millis(100))? {
        may_come(broker, stop)?;
    }
    for room in roles::learning(&shared.config) {
        let samples = shared.topics.samples(room);
        while !broker.is_read_to(&samples, 0, shared.learned.next(room))? {
            may_come(broker, stop)?;
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

fn catch_up(follower: &mut Option<Follower>, stop: &AtomicBool) -> Result<(), RunError> {
    match follower {
        Some(follower) => Ok(follower.catch_up(stop).map_err(ServiceError::from)?),
        None => Ok(()),
    }
}

fn specs(config: &Config, topics: &Topics, feed: &dyn Feed) -> Vec<TopicSpec> {
    let spec = |name: String, partitions: i32| TopicSpec { name, partitions, settings: Vec::new() };
    let inputs = roles::inputs(config).into_iter().map(|name| (name, feed.partitions(name).max(1)));
    let inputs: Vec<(&str, i32)> = inputs.collect();
    let sources = inputs.iter().map(|&(_, partitions)| partitions).max().unwrap_or(1);
    let n = config.partitions_embedded() as i32;
    let mut specs: Vec<_> = inputs.iter().map(|&(name, partitions)| spec(topics.input(name), partitions)).collect();
    specs.push(spec(topics.by_user(), n));
    let compacted = |name| TopicSpec { settings: vec![("cleanup.policy".into(), "compact".into())], ..spec(name, 1) };
    specs.push(compacted(topics.models()));
    let learning = roles::learning(config);
    if !learning.is_empty() {
        specs.push(compacted(topics.learners()));
    }
    specs.extend(learning.into_iter().map(|room| spec(topics.samples(room), 1)));
    specs.extend(topics.outputs(&roles::said(config)).into_iter().map(|output| match output {
        Output::Late | Output::DeadLetter => spec(topics.name(output), sources),
        _ => spec(topics.name(output), n),
    }));
    specs
}

fn output_names(shared: &Shared) -> Vec<String> {
    let outputs = shared.topics.outputs(&roles::said(&shared.config));
    outputs.into_iter().map(|output| shared.topics.name(output)).collect()
}

fn save_models(shared: &Shared, broker: &Embedded, output: &Path) -> Result<(), RunError> {
    let items = roles::learns_items(&shared.config).then_some(Room::Items);
    for room in roles::rooms(&shared.config).into_iter().chain(items) {
        let model = model::read(broker, &shared.topics.models(), room.name()).map_err(ServiceError::from)?;
        if let Some(model) = model {
            model::file::save_in(&model, &output.join("models")).map_err(ServiceError::from)?;
        }
    }
    Ok(())
}

fn summary((routers, engines): &Stages, outputs: BTreeMap<String, u64>, took: Duration) -> Summary {
    let mut summary = Summary { outputs, seconds: took.as_secs_f64(), ..Summary::default() };
    for router in routers {
        summary.records_in += router.counters().records;
        summary.dead_letters += router.counters().dead_letters;
    }
    for counters in engines.iter().map(Engine::counters) {
        summary.dead_letters += counters.dead_letters;
        summary.late += counters.late;
        summary.duplicates += counters.duplicates;
        summary.users += counters.users;
    }
    summary
}
