//! The worker threads of a process: what each role reads, and how its stage is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::{JoinHandle, ScopedJoinHandle};
use std::time::Duration;

use operators::{ColdStore, EmitMode, Fold, FoldConfig, Views};
use schemas::output::{Output, Room};
use schemas::topics::Topics;

use crate::config::{Config, Emit, ItemVectors, Role, Route};
use crate::decode::Admission;
use crate::encode::{Encoders, ItemSource, SdimConfig, SdimRoom};
use crate::engine::Engine;
use crate::engine::direct::Direct;
use crate::log::staged::Staged;
use crate::log::transaction::Transactor;
use crate::log::{Broker, Log, LogError};
use crate::metrics::Metrics;
use crate::route::{Router, RouterConfig};
use crate::snapshot::archive::Archive;
use crate::snapshot::desk::Desk;
use crate::snapshot::scheduler::Scheduler;
use crate::stage::{Pace, Stage, StageError, Worker};

/// How long workers wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One micro-batch may take so long to be committed, all attempts together, before the worker gives up.
    pub commit_max: Duration,
    /// Pauses between attempts: the first, and the longest.
    pub pauses: (Duration, Duration),
    /// A poll waits so long when nothing is open.
    pub idle_poll: Duration,
    /// Whether a worker waits for its snapshots to be written, so that every step has its place.
    pub for_snapshots: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            commit_max: Duration::from_secs(300),
            pauses: (Duration::from_millis(1), Duration::from_millis(200)),
            idle_poll: Duration::from_millis(50),
            for_snapshots: false,
        }
    }
}

/// Makes a store for a worker's idle users.
pub type ColdStores = Arc<dyn Fn() -> Box<dyn ColdStore> + Send + Sync>;

/// What all workers of a process share.
#[derive(Clone)]
pub struct Shared {
    /// The settings.
    pub config: Arc<Config>,
    /// N.
    pub by_user_partitions: u32,
    /// The views.
    pub views: Arc<Views>,
    /// The names of the topics.
    pub topics: Topics,
    /// Where kernels run, and what they know; none where no room is open.
    pub rooms: Option<Rooms>,
    /// The figures.
    pub metrics: Metrics,
    /// Where snapshots go.
    pub archive: Option<Arc<Archive>>,
    /// Makes the store that a worker's idle users go to.
    pub cold: Option<ColdStores>,
    /// How long workers wait.
    pub patience: Patience,
    /// How many tasks have committed the end of time.
    pub ended: Arc<AtomicUsize>,
}

/// What the open rooms need.
#[derive(Clone)]
pub struct Rooms {
    /// Where kernels run.
    pub device: shaders::Device,
    /// The frozen hash matrix of SDIM (48, dim), scale 2^-8.
    pub hash: Arc<Vec<i16>>,
    /// Its items.
    pub items: ItemSource,
}

/// Why workers cannot start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The log does not open.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A stage stopped its worker.
    #[error("worker {worker}: {error}")]
    Stage {
        /// The worker's name.
        worker: String,
        /// Why.
        error: StageError,
    },
    /// A device failed at start.
    #[error(transparent)]
    Device(#[from] shaders::Error),
    /// A worker panicked: a bug.
    #[error("worker {0} panicked; this is a bug in the service, please report it with the lines above")]
    Panicked(String),
}

/// The running workers.
pub struct Workers {
    stop: Arc<AtomicBool>,
    routers: Vec<Thread<Router>>,
    engines: Vec<Thread<Engine>>,
}

/// A worker's stage when it has ended, and its log, which leaves its group when it is dropped.
type Ended<S> = (S, Box<dyn Log>);

struct Thread<S> {
    name: String,
    handle: JoinHandle<Result<Ended<S>, StageError>>,
}

/// Whether this process has workers of a role.
pub fn works(config: &Config, role: Role) -> bool {
    config.roles.contains(&role) && (role == Role::Engine || config.route == Route::ByUser)
}

/// The topic whose partitions are the tasks of the engine.
pub fn engine_log(config: &Config, topics: &Topics) -> String {
    match config.route {
        Route::ByUser => topics.by_user(),
        Route::Direct => topics.input("events"),
    }
}

/// The group of a role.
pub fn group(config: &Config, role: Role) -> String {
    let role = match role {
        Role::Router => "router",
        Role::Engine => "engine",
    };
    format!("{}.{role}", config.app)
}

impl Workers {
    /// Opens a log for every worker, then starts them all.
    ///
    /// # Errors
    /// Where a log or a device does not open.
    pub fn start(shared: &Shared, broker: &dyn Broker, stop: Arc<AtomicBool>) -> Result<Self, RoleError> {
        let (config, workers) = (&shared.config, 0..shared.config.engine.workers);
        // Each waits for a broker to settle what its forerunner left: together.
        let (routers, engines) = std::thread::scope(|scope| {
            let of = |role| if works(config, role) { workers.clone() } else { 0..0 };
            let routers: Vec<_> =
                of(Role::Router).map(|worker| scope.spawn(move || router(shared, broker, worker))).collect();
            let engines: Vec<_> =
                of(Role::Engine).map(|worker| scope.spawn(move || engine(shared, broker, worker))).collect();
            (opened(routers), opened(engines))
        });
        let (routers, engines) = (routers?, engines?);
        let routers = routers.into_iter().map(|(name, worker)| spawn(name, worker, &stop)).collect();
        let engines = engines.into_iter().map(|(name, worker)| spawn(name, worker, &stop)).collect();
        Ok(Self { stop, routers, engines })
    }

    /// Whether a worker has ended, which none does by itself but for an error.
    pub fn any_ended(&self) -> bool {
        self.routers.iter().any(|thread| thread.handle.is_finished())
            || self.engines.iter().any(|thread| thread.handle.is_finished())
    }

    /// Lets every worker commit what is open and end; gives the stages back.
    ///
    /// # Errors
    /// The first worker's error, where one had to stop.
    pub fn stop(self) -> Result<(Vec<Router>, Vec<Engine>), RoleError> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let routers: Vec<_> = self.routers.into_iter().map(join).collect();
        let engines: Vec<_> = self.engines.into_iter().map(join).collect();
        // All have ended: now the logs may leave their groups.
        let routers: Result<Vec<_>, _> = routers.into_iter().collect();
        let engines: Result<Vec<_>, _> = engines.into_iter().collect();
        let stages = (routers?, engines?);
        Ok((stages.0.into_iter().map(|(s, _)| s).collect(), stages.1.into_iter().map(|(s, _)| s).collect()))
    }
}

fn opened<T>(opening: Vec<ScopedJoinHandle<'_, Result<T, RoleError>>>) -> Result<Vec<T>, RoleError> {
    let opened =
        opening.into_iter().map(|thread| thread.join().map_err(|_| RoleError::Panicked("at its start".into()))?);
    opened.collect()
}

fn spawn<S: Stage + Send + 'static>(name: String, worker: Worker<S>, stop: &Arc<AtomicBool>) -> Thread<S> {
    let stop = Arc::clone(stop);
    let thread = std::thread::Builder::new().name(name.clone());
    let run = move || {
        let ended = worker.run(&stop);
        // Others may take their time to end.
        ended.inspect_err(|error| tracing::error!("a worker has to stop: {error}"))
    };
    let handle = thread.spawn(run).expect("the system gives a thread");
    Thread { name, handle }
}

fn join<S>(thread: Thread<S>) -> Result<Ended<S>, RoleError> {
    let worker = thread.name;
    match thread.handle.join() {
        Ok(Ok(ended)) => Ok(ended),
        Ok(Err(error)) => Err(RoleError::Stage { worker, error }),
        Err(_) => Err(RoleError::Panicked(worker)),
    }
}

/// The name of a worker in its group, which is its transactional id too.
pub fn member(config: &Config, role: Role, worker: usize) -> String {
    format!("{}.{}.{worker}", group(config, role), config.instance)
}

/// Kafka's own `max.message.bytes`.
const BYTES_DEFAULT: usize = 1_048_588;

fn staged(shared: &Shared, broker: &dyn Broker) -> Result<Staged, LogError> {
    let mut partitions = i32::MAX;
    for output in [Output::Late, Output::DeadLetter] {
        partitions = partitions.min(broker.partitions(&shared.topics.name(output))?.unwrap_or(1));
    }
    let mut staged = Staged::new(&shared.topics, &rooms(&shared.config), partitions);
    staged.limit(|topic| bytes_max(broker, topic));
    Ok(staged)
}

/// Bytes of a record that a topic takes.
fn bytes_max(broker: &dyn Broker, topic: &str) -> usize {
    let key = "max.message.bytes";
    let found = broker.describe(topic, &[key.to_owned()]).unwrap_or_else(|error| {
        tracing::warn!("{key} of topic {topic} cannot be read, {BYTES_DEFAULT} is taken for it: {error}");
        None
    });
    let value = found.and_then(|state| state.settings.into_iter().find(|(name, _)| name == key)?.1.parse().ok());
    value.unwrap_or(BYTES_DEFAULT)
}

/// A packed record holds thousands of rows, an input record one event.
fn pace(shared: &Shared, role: Role) -> Pace {
    let records = match (role, shared.config.route) {
        (Role::Router, _) | (_, Route::Direct) => 4096,
        (Role::Engine, Route::ByUser) => 16,
    };
    let interval = Duration::from_millis(shared.config.engine.commit_interval_ms);
    Pace::new(interval, records, shared.patience.idle_poll)
}

fn transactor(shared: &Shared) -> Transactor {
    Transactor::new(shared.patience.commit_max, shared.patience.pauses)
}

fn admission(config: &Config) -> Admission {
    let Config { events, .. } = config;
    Admission { columns: config.event_columns(), max_ahead_ms: events.max_ahead_ms, bytes_max: events.max_bytes }
}

/// A worker of the router, and its name.
///
/// # Errors
/// Where its log does not open.
pub fn router(shared: &Shared, broker: &dyn Broker, worker: usize) -> Result<(String, Worker<Router>), RoleError> {
    let Shared { config, topics, .. } = shared;
    let events = topics.input("events");
    let partitions = broker.partitions(&events)?.unwrap_or(0);
    let inputs = [events.clone(), topics.input("items"), topics.input("forget")];
    let member = member(config, Role::Router, worker);
    let log = broker.open(&group(config, Role::Router), &member, &inputs)?;
    let meter = shared.metrics.stage("router");
    let stage = RouterConfig {
        admission: admission(config),
        events: events.into(),
        forget: topics.input("forget").into(),
        events_partitions: partitions,
        by_user_partitions: shared.by_user_partitions,
        dim: config.sdim.enabled.then_some(config.sdim.dim),
        out_of_orderness_ms: config.events.out_of_orderness_ms,
        idle_timeout: Duration::from_millis(config.events.idle_timeout_ms),
    };
    let staged = staged(shared, broker)?;
    let router = Router::new(stage, meter.clone());
    let worker = Worker::new(router, log, staged, transactor(shared), pace(shared, Role::Router), meter);
    Ok((member, worker))
}

/// A worker of the engine, and its name.
///
/// # Errors
/// Where its log or its device does not open.
pub fn engine(shared: &Shared, broker: &dyn Broker, worker: usize) -> Result<(String, Worker<Engine>), RoleError> {
    let Shared { config, topics, .. } = shared;
    let member = member(config, Role::Engine, worker);
    let log = broker.open(&group(config, Role::Engine), &member, &[engine_log(config, topics)])?;
    let meter = shared.metrics.stage("engine");
    let fold = FoldConfig {
        columns: config.event_columns(),
        dedupe_ids: config.events.dedupe_ids,
        history_max_events: config.history.max_events,
        history_ttl_ms: config.history.ttl.map(|ttl| ttl.0.as_millis() as i64),
        user_ttl_ms: config.state.user_ttl.map(|ttl| ttl.0.as_millis() as i64),
        batch_rows: config.engine.batch_rows,
        emit: match config.views.emit {
            Emit::Batch => EmitMode::Batch,
            Emit::Event => EmitMode::Event,
        },
        item_window: if config.sdim.enabled { config.sdim.window } else { 0 },
    };
    let mut fold = Fold::new(Arc::clone(&shared.views), fold);
    if let Some((limit, stores)) = config.state.memory_limit.zip(shared.cold.as_ref()) {
        let limit = limit.0 as usize / config.engine.workers;
        let keep_ms = if config.sdim.enabled { config.encodings.min_interval_ms as i64 } else { 0 };
        fold.set_cold_store(stores(), limit, keep_ms);
    }
    let interval = Duration::from_millis(config.state.snapshot_interval_ms);
    let snapshots = shared.archive.as_ref().map(|archive| {
        let desk = match shared.patience.for_snapshots {
            true => Desk::Inline { archive: Arc::clone(archive), done: None },
            false => Desk::thread(Arc::clone(archive)),
        };
        Scheduler::new(Arc::clone(archive), interval, desk, meter.clone())
    });
    let direct = (config.route == Route::Direct)
        .then(|| Direct::new(admission(config), shared.by_user_partitions, config.events.out_of_orderness_ms));
    let stage = Engine::new(fold, encoders(shared)?, direct, snapshots, meter.clone(), Arc::clone(&shared.ended));
    let staged = staged(shared, broker)?;
    let pace = pace(shared, Role::Engine);
    Ok((member, Worker::new(stage, log, staged, transactor(shared), pace, meter)))
}

fn encoders(shared: &Shared) -> Result<Encoders, shaders::Error> {
    let Some(rooms) = &shared.rooms else { return Ok(Encoders::default()) };
    let settings = &shared.config.sdim;
    let config = SdimConfig {
        dim: settings.dim,
        tables: settings.tables,
        min_interval_ms: shared.config.encodings.min_interval_ms as i64,
    };
    let sdim = SdimRoom::new(config, &rooms.device, &rooms.hash, rooms.items.clone())?;
    Ok(Encoders { sdim: Some(sdim) })
}

/// The rooms that the settings open.
pub fn rooms(config: &Config) -> Vec<Room> {
    config.sdim.enabled.then_some(Room::Sdim).into_iter().collect()
}

/// Whether items are read from the topic.
pub fn reads_items(config: &Config) -> bool {
    config.sdim.enabled && config.sdim.items == ItemVectors::Topic
}
