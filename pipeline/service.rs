//! The service: everything a process prepares before its workers start, and `serve` over Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use operators::{ViewError, Views};
use schemas::output::Room;
use schemas::topics::Topics;
use serde_json::Value;
use shaders::ops::tensors::Entry;
use shaders::sdim::{BITS, GROUP_BITS, hash_matrix};

use crate::ahead::read_ahead;
use crate::config::{Config, ConfigError, Device, Route};
use crate::encode::ItemSource;
use crate::encode::catalogue::{Catalogue, CatalogueConfig};
use crate::encode::follow::{FollowError, Follower};
use crate::encode::learned::Learned;
use crate::engine::cold::ColdFolder;
use crate::ground::{Ground, GroundError};
use crate::log::{Broker, LogError};
use crate::metrics::Metrics;
use crate::model::shelf::Shelf;
use crate::model::{self, Model, ModelError};
use crate::rank::versions::Versions;
use crate::roles::{self, ColdStores, Patience, RoleError, Rooms, Shared, Workers};
use crate::snapshot::archive::Archive;
use crate::snapshot::bucket::Bucket;
use crate::snapshot::manifest::{FORMAT, Owner};
use crate::snapshot::objects::StoreError;

/// How long processes of one name may stand in each other's way while they publish the first model.
const FIRST_MODEL_MAX: Duration = Duration::from_secs(10);

/// Why the service does not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The settings name something that cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A view is refused.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A topic is missing or not as it must be.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// A device failed.
    #[error(transparent)]
    Device(#[from] shaders::Error),
    /// The models topic cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model that is published does not fit the settings.
    #[error("{0}")]
    Misfit(String),
    /// The folder of snapshots cannot be opened.
    #[error("state.snapshots: {0}")]
    Snapshots(#[from] StoreError),
    /// Items cannot be read.
    #[error("topic items: {0}")]
    Items(#[from] FollowError),
    /// A worker had to stop.
    #[error(transparent)]
    Role(#[from] RoleError),
}

impl ServiceError {
    /// Whether the user asked for what cannot be, rather than something failing.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_) | Self::View(_))
    }
}

/// The views of the settings; none where no file is named.
///
/// # Errors
/// Where the file cannot be read or a view is refused.
pub fn views(config: &Config) -> Result<Views, ServiceError> {
    let sql = config.views_sql()?.unwrap_or_default();
    Ok(Views::compile(&sql, &config.event_columns())?)
}

/// The names of the topics of the settings.
pub fn topics(config: &Config, views: &Views) -> Topics {
    Topics::new(&config.app, &config.topics.prefix, views.names())
}

/// The kernels' device of the settings.
///
/// # Errors
/// Where it is not there.
pub fn device(config: &Config) -> Result<shaders::Device, shaders::Error> {
    shaders::Device::open(match config.device {
        Device::Auto => shaders::Choice::Auto,
        Device::Cpu => shaders::Choice::Cpu,
        Device::Gpu => shaders::Choice::Gpu,
    })
}

/// Everything that the workers share; the model of each open room is read, or published where there is none.
///
/// # Errors
/// Where a device or a model cannot be had.
pub fn prepare(
    config: Config,
    views: Views,
    by_user_partitions: u32,
    broker: &dyn Broker,
    metrics: Metrics,
) -> Result<Shared, ServiceError> {
    let topics = topics(&config, &views);
    metrics.name_views(views.names());
    metrics.inquiries().divide_by(by_user_partitions);
    if !config.prompt_tpp.enabled {
        metrics.learning().silent("prompt_tpp.enabled=false");
    }
    let is_open = config.candidates.enabled || !roles::rooms(&config).is_empty();
    let rooms = if is_open { Some(rooms(&config, &topics, broker, &metrics)?) } else { None };
    let cold = config.state.memory_limit.map(|_| {
        let dir = config.state.dir.clone().unwrap_or_else(|| std::env::temp_dir().join("wellspring"));
        let folder = Arc::new(ColdFolder::new(&dir, format!("{}.{}", config.app, config.instance)));
        Arc::new(move || folder.store()) as ColdStores
    });
    Ok(Shared {
        cold,
        config: Arc::new(config),
        by_user_partitions,
        views: Arc::new(views),
        topics,
        one_router: false,
        rooms,
        metrics,
        archive: None,
        patience: Patience::default(),
        ended: Arc::new(AtomicUsize::new(0)),
        learned: Arc::default(),
        limits: Arc::default(),
    })
}

fn rooms(config: &Config, topics: &Topics, broker: &dyn Broker, metrics: &Metrics) -> Result<Rooms, ServiceError> {
    let models = || broker.reader(&[topics.models()]);
    let look = roles::rank(config).look;
    let versions = |room: Room| models().map(|reader| Arc::new(Versions::new(room, &look, reader)));
    let scorers = roles::scorers(config).into_iter().map(versions).collect::<Result<_, _>>()?;
    let shelf = |room: Room| models().map(|reader| Arc::new(Shelf::new(room.name(), reader)));
    let forecasts = config.prompt_tpp.enabled.then(|| shelf(Room::PromptTpp)).transpose()?;
    let dim = config.sdim.dim;
    let sdim = if config.sdim.enabled {
        let model = first_model(config, topics, broker)?;
        Some(Arc::new(hash_of(&model, dim, &topics.models())?))
    } else {
        None
    };
    let device = device(config)?;
    let items = if roles::reads_items(config) {
        let form = catalogue(config);
        let learned = if roles::learns_items(config) {
            let kernels = form.kernels(&device, sdim.as_ref().map(|hash| hash.as_slice()))?;
            Some(Learned::new(shelf(Room::Items)?, kernels))
        } else {
            None
        };
        ItemSource::Catalogue(Arc::new(Catalogue::new(form, learned, metrics.clone())))
    } else {
        ItemSource::Hashed
    };
    Ok(Rooms { device, items, sdim, forecasts, scorers })
}

/// What the settings have the catalogue be.
pub fn catalogue(config: &Config) -> CatalogueConfig {
    // Published tables, and what is read of them for candidates.
    let scores = config.sdim.enabled && config.candidates.enabled;
    let published = config.sdim.enabled.then_some((BITS, GROUP_BITS));
    let read = scores.then_some((config.sdim.bits, config.sdim.group_bits));
    // A signature does not depend on how its bits are grouped.
    let mut hashes: Vec<(usize, usize)> = published.into_iter().chain(read).collect();
    hashes.dedup_by_key(|(bits, _)| *bits);
    let dir = config.state.dir.clone().unwrap_or_else(std::env::temp_dir);
    let (dim, memory_limit) = (config.sdim.dim, config.items.memory_limit.0);
    CatalogueConfig { dim, hashes, max: config.items.max, version: config.items.version, memory_limit, dir }
}

/// The model that is published; where there is none, the first one is.
fn first_model(config: &Config, topics: &Topics, broker: &dyn Broker) -> Result<Model, ServiceError> {
    let until = Instant::now() + FIRST_MODEL_MAX;
    loop {
        if let Some(model) = model::read(broker, &topics.models(), "sdim")? {
            return Ok(model);
        }
        let model = sdim_model(config.sdim.dim);
        let member = format!("{}.models.{}", config.app, config.instance);
        match model::publish(broker, &topics.models(), &member, &model) {
            // Another process of this name does the same; which of the two stays is found out by their workers.
            Err(ModelError::Log(error)) if error.fenced && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(200));
            }
            published => return Ok(published.map(|()| model)?),
        }
    }
}

/// Version 1 of model `sdim`: the frozen hash matrix, its values multiples of 2^-8.
pub fn sdim_model(dim: usize) -> Model {
    let values: Vec<f32> = hash_matrix(dim).into_iter().map(|x| f32::from(x) / 256.0).collect();
    let hash = Entry::floats(vec![values.len() / dim, dim], &values);
    Model { name: "sdim".into(), version: 1, about: Value::Null, tensors: [("hash".into(), hash)].into() }
}

fn hash_of(model: &Model, dim: usize, topic: &str) -> Result<Vec<i16>, ServiceError> {
    let hash = model.tensors.get("hash");
    let values = hash.filter(|hash| hash.shape.last() == Some(&dim)).and_then(|hash| hash.to_floats(&hash.shape).ok());
    match values {
        Some(values) => Ok(values.iter().map(|x| (x * 256.0).round() as i16).collect()),
        None => Err(ServiceError::Misfit(format!(
            "model sdim on topic {topic} was made for item vectors of length {:?}, sdim.dim is {dim}: set sdim.dim to \
             that length, or start over under another `app`",
            hash.and_then(|hash| hash.shape.last()).copied().unwrap_or(0)
        ))),
    }
}

/// Reads the items to their present end; gives the follower that goes on, where the settings want items at all.
///
/// # Errors
/// Where the log or the device fails.
pub fn read_items(shared: &Shared, broker: &dyn Broker, stop: &AtomicBool) -> Result<Option<Follower>, ServiceError> {
    let Some(Rooms { device, items: ItemSource::Catalogue(catalogue), sdim, .. }) = &shared.rooms else {
        return Ok(None);
    };
    let kernels = catalogue.config().kernels(device, sdim.as_ref().map(|hash| hash.as_slice()))?;
    let reader = broker.reader(&[shared.topics.input("items")])?;
    let mut follower = Follower::new(reader, kernels, Arc::clone(catalogue));
    follower.catch_up(stop)?;
    Ok(Some(follower))
}

/// The folder of snapshots that the settings name; `topic_id` is that of the engine's log.
///
/// # Errors
/// Where it cannot be opened.
pub fn archive(shared: &Shared, topic_id: &str, cluster: &Arc<dyn Broker>) -> Result<Option<Archive>, ServiceError> {
    let Some(url) = &shared.config.state.snapshots else { return Ok(None) };
    let (app, topic_id) = (shared.config.app.clone(), topic_id.to_owned());
    let topic = roles::engine_log(&shared.config, &shared.topics);
    let trims = (shared.config.route == Route::ByUser).then(|| Arc::clone(cluster));
    let owner = Owner { format: FORMAT.into(), app, topic, topic_id, partitions: shared.by_user_partitions };
    Ok(Some(Archive::new(Arc::new(Bucket::open(url)?), owner, trims)))
}

/// Runs the service over `cluster` until `stop` is set or a worker has to stop.
///
/// # Errors
/// Where it cannot start, or a worker had to stop.
pub fn serve(
    config: Config,
    cluster: &Arc<dyn Broker>,
    metrics: Metrics,
    stop: &Arc<AtomicBool>,
) -> Result<(), ServiceError> {
    let broker = cluster.as_ref();
    let views = views(&config)?;
    let names = topics(&config, &views);
    let ground = Arc::new(Ground::check(&config, &names, broker)?);
    let partitions = config.partitions_kafka();
    let mut shared = prepare(config, views, partitions, broker, metrics)?;
    let topic_id = ground.id(&roles::engine_log(&shared.config, &names)).unwrap_or_default();
    shared.archive = archive(&shared, topic_id, cluster)?.map(Arc::new);
    let follower = read_items(&shared, broker, stop)?;
    let ending = Arc::new(AtomicBool::new(false));
    let items = shared.topics.input("items");
    let following = follower.map(|follower| follower.follow(Arc::clone(cluster), items, Arc::clone(&ending)));
    let reading = shared.rooms.as_ref().and_then(|rooms| read_ahead(rooms, Arc::clone(&ending)));
    let watching = ground.watch(cluster, &ending);
    let workers = Workers::start(&shared, broker, Arc::clone(&ending))?;
    shared.metrics.set_ready(true);
    tracing::info!(app = shared.config.app, instance = shared.config.instance, "running");
    while !stop.load(Ordering::Relaxed) && !workers.any_ended() && !ended(&following) && !watching.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
    }
    shared.metrics.set_ready(false);
    if !stop.load(Ordering::Relaxed) {
        // What a worker suffered from is often a topic, which the brokers' answers to it do not name; and where it is, the
        // others cannot commit any more: waiting for them would only hide why.
        if watching.is_finished() {
            return Ok(watching.join().map_err(|_| RoleError::Panicked("ground".into()))??);
        }
        if let Err(reason) = ground.look(broker)
            && !matches!(reason, GroundError::Log(_))
        {
            return Err(reason.into());
        }
    }
    tracing::info!("stopping: the open transactions are committed");
    let stopped = workers.stop();
    let followed = following.map_or(Ok(Ok(())), JoinHandle::join);
    let read = reading.map_or(Ok(()), JoinHandle::join);
    stopped?;
    read.map_err(|_| RoleError::Panicked("models".into()))?;
    Ok(followed.map_err(|_| RoleError::Panicked("items".into()))??)
}

fn ended<T>(thread: &Option<JoinHandle<T>>) -> bool {
    thread.as_ref().is_some_and(JoinHandle::is_finished)
}
