//! The worker threads of a process: what each role reads, and how its stage is made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, ScopedJoinHandle};
use std::time::Duration;

use operators::rates::Limits;
use operators::{ColdStore, EmitMode, Fold, FoldConfig, Views};
use schemas::output::{Output, Room};
use schemas::topics::Topics;

use crate::config::{Config, Emit, ItemVectors, Learn, Role, Route, Unlabeled, VectorSource, properties};
use crate::decode::Admission;
use crate::encode::passages::sampler::Sampler;
use crate::encode::{Encoders, ItemSource, SdimConfig, SdimRoom};
use crate::engine::Engine;
use crate::engine::direct::Direct;
use crate::forecast::{Bounds, ForecastConfig, ForecastRoom};
use crate::learn::items::{CoOccurrence, CoOccurrenceConfig};
use crate::learn::prompt_tpp::{PromptTpp, PromptTppConfig, seen};
use crate::learn::ranking::{Ranking, RankingConfig};
use crate::learn::study::Study;
use crate::learn::{LearnConfig, Learned, Learner};
use crate::log::staged::Staged;
use crate::log::transaction::Transactor;
use crate::log::{Broker, Log, LogError};
use crate::metrics::Metrics;
use crate::model::shelf::Shelf;
use crate::rank::look::LookConfig;
use crate::rank::pending::Patience as Waiting;
use crate::rank::tally::Bounds as Counted;
use crate::rank::versions::Versions;
use crate::rank::{MODELS, RankConfig, RankRoom};
use crate::route::{CandidatesConfig, Router, RouterConfig};
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
    /// Whether one router reads all inputs, so that they keep the order between them where the log has one.
    pub one_router: bool,
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
    /// How far its learners have come.
    pub learned: Arc<Learned>,
    /// Bytes of a record that each output takes, as they were found.
    pub limits: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// What the open rooms need.
#[derive(Clone)]
pub struct Rooms {
    /// Where kernels run.
    pub device: shaders::Device,
    /// Item vectors.
    pub items: ItemSource,
    /// SDIM's frozen hash matrix (48, dim), scale 2^-8, where open.
    pub sdim: Option<Arc<Vec<i16>>>,
    /// PromptTPP's versions, where open.
    pub forecasts: Option<Arc<Shelf>>,
    /// Versions of the models that score candidates.
    pub scorers: Vec<Arc<Versions>>,
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
    learners: Vec<Thread<Learner>>,
}

/// A worker's stage when it has ended, and its log, which leaves its group when it is dropped.
type Ended<S> = (S, Box<dyn Log>);

struct Thread<S> {
    name: String,
    handle: JoinHandle<Result<Ended<S>, StageError>>,
}

/// How many workers this process has of a role.
fn workers(shared: &Shared, role: Role) -> usize {
    match role {
        _ if !works(&shared.config, role) => 0,
        Role::Router if shared.one_router => 1,
        Role::Router | Role::Engine => shared.config.engine.workers,
        // Samples have one partition.
        Role::Learner => learning(&shared.config).len(),
    }
}

/// Whether this process has workers of a role.
pub fn works(config: &Config, role: Role) -> bool {
    let wanted = match role {
        Role::Engine => true,
        Role::Router => config.route == Route::ByUser,
        Role::Learner => !learning(config).is_empty(),
    };
    wanted && config.roles.contains(&role)
}

/// The topic whose partitions are the tasks of the engine.
pub fn engine_log(config: &Config, topics: &Topics) -> String {
    match config.route {
        Route::ByUser => topics.by_user(),
        Route::Direct => topics.input("events"),
    }
}

/// Workers that share what there is to read: those of a role, and of learners those of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Of inputs.
    Router,
    /// Of the engine's log.
    Engine,
    /// Of a room's samples.
    Learner(Room),
}

/// The name of a consumer group.
pub fn group(config: &Config, group: Group) -> String {
    let name = match group {
        Group::Router => "router".into(),
        Group::Engine => "engine".into(),
        Group::Learner(room) => format!("learner.{}", room.name()),
    };
    format!("{}.{name}", config.app)
}

impl Workers {
    /// Opens a log for every worker, then starts them all.
    ///
    /// # Errors
    /// Where a log or a device does not open.
    pub fn start(shared: &Shared, broker: &dyn Broker, stop: Arc<AtomicBool>) -> Result<Self, RoleError> {
        // Each waits for a broker to settle what its forerunner left: together.
        let (routers, engines, learners) = std::thread::scope(|scope| {
            let of = |role| 0..workers(shared, role);
            let routers: Vec<_> =
                of(Role::Router).map(|worker| scope.spawn(move || router(shared, broker, worker))).collect();
            let engines: Vec<_> =
                of(Role::Engine).map(|worker| scope.spawn(move || engine(shared, broker, worker))).collect();
            let rooms = of(Role::Learner).zip(learning(&shared.config));
            let learners: Vec<_> = rooms.map(|(_, room)| scope.spawn(move || learner(shared, broker, room))).collect();
            (opened(routers), opened(engines), opened(learners))
        });
        let (routers, engines, learners) = (routers?, engines?, learners?);
        let learners = learners.into_iter().map(|(name, worker)| spawn(name, worker, &stop)).collect();
        let routers = routers.into_iter().map(|(name, worker)| spawn(name, worker, &stop)).collect();
        let engines = engines.into_iter().map(|(name, worker)| spawn(name, worker, &stop)).collect();
        Ok(Self { stop, routers, engines, learners })
    }

    /// Whether a worker has ended, which none does by itself but for an error.
    pub fn any_ended(&self) -> bool {
        self.routers.iter().any(|thread| thread.handle.is_finished())
            || self.engines.iter().any(|thread| thread.handle.is_finished())
            || self.learners.iter().any(|thread| thread.handle.is_finished())
    }

    /// Lets every worker commit what is open and end; gives the stages back.
    ///
    /// # Errors
    /// The first worker's error, where one had to stop.
    pub fn stop(self) -> Result<(Vec<Router>, Vec<Engine>), RoleError> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let routers: Vec<_> = self.routers.into_iter().map(join).collect();
        let engines: Vec<_> = self.engines.into_iter().map(join).collect();
        let learners: Vec<_> = self.learners.into_iter().map(join).collect();
        // All have ended: now the logs may leave their groups.
        let routers: Result<Vec<_>, _> = routers.into_iter().collect();
        let engines: Result<Vec<_>, _> = engines.into_iter().collect();
        let _learners = learners.into_iter().collect::<Result<Vec<_>, _>>()?;
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
pub fn member(config: &Config, of: Group, worker: usize) -> String {
    format!("{}.{}.{worker}", group(config, of), config.instance)
}

/// Kafka's own `max.message.bytes`.
const BYTES_DEFAULT: usize = 1_048_588;

fn staged(shared: &Shared, broker: &dyn Broker) -> Result<Staged, LogError> {
    let mut partitions = i32::MAX;
    for output in [Output::Late, Output::DeadLetter] {
        partitions = partitions.min(broker.partitions(&shared.topics.name(output))?.unwrap_or(1));
    }
    let mut staged = Staged::new(&shared.topics, &sent(&shared.config), partitions);
    let mut limits = shared.limits.lock().unwrap_or_else(PoisonError::into_inner);
    staged.limit(|topic| *limits.entry(topic.to_owned()).or_insert_with(|| bytes_max(broker, topic)));
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
        (Role::Router, _) | (Role::Engine, Route::Direct) => 4096,
        (Role::Engine, Route::ByUser) => 16,
        // A record is up to half a thousand windows: some steps.
        (Role::Learner, _) => 1,
    };
    let interval = Duration::from_millis(shared.config.engine.commit_interval_ms);
    Pace::new(interval, records, shared.patience.idle_poll)
}

fn transactor(shared: &Shared) -> Transactor {
    let timeout = properties::transaction_timeout(&shared.config.kafka.properties);
    Transactor::new(shared.patience.commit_max, shared.patience.pauses).lasting(timeout)
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
    let inputs: Vec<String> = inputs(config).into_iter().map(|name| topics.input(name)).collect();
    let member = member(config, Group::Router, worker);
    let log = broker.open(&group(config, Group::Router), &member, &inputs)?;
    let meter = shared.metrics.stage("router");
    let stage = RouterConfig {
        admission: admission(config),
        events: events.into(),
        forget: topics.input("forget").into(),
        candidates: config.candidates.enabled.then(|| CandidatesConfig {
            candidates: topics.input("candidates").into(),
            feedback: topics.input("feedback").into(),
            items_max: config.candidates.items_max,
        }),
        events_partitions: partitions,
        by_user_partitions: shared.by_user_partitions,
        dim: reads_items(config).then_some(config.sdim.dim),
        items_version: if reads_items(config) { config.items.version } else { 0 },
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
    let member = member(config, Group::Engine, worker);
    let log = broker.open(&group(config, Group::Engine), &member, &[engine_log(config, topics)])?;
    let meter = shared.metrics.stage("engine");
    let fold = FoldConfig {
        columns: config.event_columns(),
        dedupe_ids: config.events.dedupe_ids,
        history_max_events: config.history.max_events,
        history_ttl_ms: config.history.ttl.map(|ttl| ttl.0.as_millis() as i64),
        user_ttl_ms: config.state.user_ttl.map(|ttl| ttl.0.as_millis() as i64),
        batch_rows: config.engine.batch_rows,
        emit: emit(config),
        item_window: if config.sdim.enabled { config.sdim.window } else { 0 },
        keeps_arrivals: config.prompt_tpp.enabled || learns_items(config),
        keeps_order: config.candidates.enabled,
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

fn emit(config: &Config) -> EmitMode {
    match config.views.emit {
        Emit::Batch => EmitMode::Batch,
        Emit::Event => EmitMode::Event,
    }
}

fn encoders(shared: &Shared) -> Result<Encoders, shaders::Error> {
    let config = &shared.config;
    let Some(rooms) = &shared.rooms else { return Ok(Encoders::default()) };
    let Rooms { device, items, sdim, forecasts, scorers } = rooms;
    let sdim = sdim.as_ref().filter(|_| config.sdim.enabled).map(|hash| {
        let min_interval_ms = config.encodings.min_interval_ms as i64;
        let sdim = SdimConfig { dim: config.sdim.dim, tables: config.sdim.tables, min_interval_ms };
        SdimRoom::new(sdim, device, hash, items.clone())
    });
    let rank = config.candidates.enabled.then(|| RankRoom::new(rank(config), device, items.clone(), scorers));
    let history_ttl_ms = config.history.ttl.map(|ttl| ttl.0.as_millis() as i64);
    let bounds = Bounds { history_max_events: config.history.max_events, history_ttl_ms };
    let forecasts = forecasts.as_ref().map(|shelf| {
        let settings = &config.prompt_tpp;
        let goes_on = settings.learn != Learn::Frozen;
        let cut = seen(settings).cut;
        let config =
            ForecastConfig { sample_percent: settings.sample_percent, cut, goes_on, emit: emit(config), bounds };
        ForecastRoom::new(config, device.clone(), Arc::clone(shelf))
    });
    let (sdim, rank, passages) = (sdim.transpose()?, rank.transpose()?, learns_items(config).then(Sampler::default));
    Ok(Encoders { sdim, forecasts, rank, passages, ..Encoders::default() })
}

/// What the settings have the room look at that answers candidates.
pub fn rank(config: &Config) -> RankConfig {
    let settings = &config.candidates;
    RankConfig {
        bounds: Counted {
            items: Limits { items_max: settings.counted_items_max, transitions_max: settings.counted_transitions_max },
            users_max: settings.counted_users_max,
        },
        look: LookConfig {
            features: settings.features.clone(),
            dim: config.sdim.dim,
            window: config.sdim.window,
            hash: config.sdim.enabled.then_some((config.sdim.bits, config.sdim.group_bits)),
            found: config.muse.enabled.then_some(config.muse.found),
            blocks_bytes: config.muse.memory_limit.0 as usize / config.engine.workers,
        },
        patience: Waiting {
            wait_ms: settings.feedback_wait_ms as i64,
            bytes_max: settings.feedback_wait_bytes.0 as usize,
            rest_is_negative: settings.unlabeled == Unlabeled::Negative,
        },
        sample_percent: u64::from(settings.sample_percent),
        negatives: settings.negatives,
        recent_items_max: settings.recent_items_max,
    }
}

/// The worker of a room's learner, and its name.
///
/// # Errors
/// Where its log does not open.
pub fn learner(shared: &Shared, broker: &dyn Broker, room: Room) -> Result<(String, Worker<Learner>), RoleError> {
    let Shared { config, topics, .. } = shared;
    let member = member(config, Group::Learner(room), 0);
    let log = broker.open(&group(config, Group::Learner(room)), &member, &[topics.samples(room)])?;
    let meter = shared.metrics.stage("learner");
    let (study, lag_max_ms) = study(shared, room)?;
    let learn = LearnConfig { lag_max_ms: lag_max_ms as i64, by_user_partitions: shared.by_user_partitions };
    let reader = broker.reader(&[topics.learners()])?;
    let learned = Arc::clone(&shared.learned);
    let stage = Learner::new(learn, study, (reader, topics.learners()), meter.clone(), learned);
    let (staged, pace) = (staged(shared, broker)?, pace(shared, Role::Learner));
    Ok((member, Worker::new(stage, log, staged, transactor(shared), pace, meter)))
}

/// What a room learns by, and how far behind it may be (ms).
fn study(shared: &Shared, room: Room) -> Result<(Box<dyn Study>, u64), shaders::Error> {
    let config = &shared.config;
    let device = shared.rooms.as_ref().map_or(shaders::Device::Cpu, |rooms| rooms.device.clone());
    Ok(match room {
        Room::PromptTpp => {
            let settings = &shared.config.prompt_tpp;
            let study = PromptTpp::new(PromptTppConfig::of(settings), device, shared.metrics.clone());
            (Box::new(study), settings.lag_max_ms)
        }
        Room::Sdim | Room::Muse => {
            (Box::new(Ranking::new(ranking(config, room), device)?), config.candidates.lag_max_ms)
        }
        // Counting is fast: nothing is passed over.
        Room::Items => {
            (Box::new(CoOccurrence::new(CoOccurrenceConfig::of(&config.items, config.sdim.dim))), u64::MAX >> 1)
        }
    })
}

/// How a model that scores candidates learns.
pub fn ranking(config: &Config, room: Room) -> RankingConfig {
    let model = MODELS.into_iter().find(|(of, _)| *of == room).expect("it is one that scores candidates");
    let inputs = rank(config).look.inputs();
    let attention = (room == Room::Muse).then_some(config.muse.attention);
    let start = start(config, room).cloned();
    RankingConfig { attention, start, ..RankingConfig::of(model, &config.candidates, inputs, config.sdim.dim) }
}

/// The model that a room starts from, where the settings name one.
pub fn start(config: &Config, room: Room) -> Option<&PathBuf> {
    match room {
        Room::Sdim => config.sdim.start.as_ref(),
        Room::Muse => config.muse.start.as_ref(),
        Room::PromptTpp => config.prompt_tpp.start.as_ref(),
        Room::Items => None,
    }
}

/// The rooms that the settings open.
pub fn rooms(config: &Config) -> Vec<Room> {
    let open = [
        (Room::Sdim, config.sdim.enabled),
        (Room::Muse, config.muse.enabled),
        (Room::PromptTpp, config.prompt_tpp.enabled),
    ];
    open.into_iter().filter(|(_, open)| *open).map(|(room, _)| room).collect()
}

/// The rooms whose models score candidates.
pub fn scorers(config: &Config) -> Vec<Room> {
    let scores = |room: &Room| MODELS.iter().any(|(of, _)| of == room);
    if config.candidates.enabled { rooms(config).into_iter().filter(scores).collect() } else { Vec::new() }
}

/// What the settings have learn.
pub fn learning(config: &Config) -> Vec<Room> {
    let forecasts = config.prompt_tpp.enabled.then_some(Room::PromptTpp);
    let items = learns_items(config).then_some(Room::Items);
    forecasts.into_iter().chain(scorers(config)).chain(items).collect()
}

/// What the settings have rooms say.
pub fn said(config: &Config) -> Vec<Output> {
    let of = |room| match room {
        Room::PromptTpp => Some(Output::Forecasts),
        Room::Sdim => Some(Output::Encoding(room)),
        Room::Muse | Room::Items => None,
    };
    let scores = config.candidates.enabled.then_some(Output::Scores);
    rooms(config).into_iter().filter_map(of).chain(scores).collect()
}

/// What the settings have rooms send: what they say, and what is learned from.
fn sent(config: &Config) -> Vec<Output> {
    let samples: Vec<Output> = learning(config).into_iter().map(Output::Samples).collect();
    let learners = (!samples.is_empty()).then_some(Output::Learners);
    said(config).into_iter().chain(samples).chain(learners).collect()
}

/// The input topics that a router reads, without their prefix.
pub fn inputs(config: &Config) -> Vec<&'static str> {
    let candidates: &[&str] = if config.candidates.enabled { &["candidates", "feedback"] } else { &[] };
    ["events", "items", "forget"].into_iter().chain(candidates.iter().copied()).collect()
}

/// Whether vectors of items are learned from the log.
pub fn learns_items(config: &Config) -> bool {
    reads_items(config) && config.items.vectors == VectorSource::CoOccurrence
}

/// Whether items are read from the topic.
pub fn reads_items(config: &Config) -> bool {
    (config.sdim.enabled || !scorers(config).is_empty()) && config.sdim.items == ItemVectors::Topic
}
