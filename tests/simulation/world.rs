//! A world: processes of the service over one embedded log, stepped one call at a time.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use operators::{FoldError, Views};
use pipeline::config::{Config, ItemVectors, Learn, Route, Size, Unlabeled, VectorSource};
use pipeline::encode::ItemSource;
use pipeline::encode::catalogue::Catalogue;
use pipeline::encode::learned::Learned;
use pipeline::engine::Engine;
use pipeline::learn::{self, Learner};
use pipeline::log::embedded::{Embedded, EmbeddedReader, EmbeddedSettings, Headers};
use pipeline::log::{Broker, Incoming, Reader, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::model::shelf::Shelf as Models;
use pipeline::rank::versions::Versions;
use pipeline::roles::{self, Group, Patience, Rooms, Shared};
use pipeline::route::Router;
use pipeline::service;
use pipeline::snapshot::SnapshotError;
use pipeline::snapshot::archive::Archive;
use pipeline::snapshot::manifest::{FORMAT, Owner};
use pipeline::stage::{StageError, Worker};
use schemas::event::EventColumns;
use schemas::output::{Output, Room};
use schemas::packed;
use schemas::partition::partition_of;
use schemas::topics::Topics;
use shaders::sdim::hash_matrix;

use super::asked::{self, Asked};
use super::cellar::Cellar;
use super::outcome::Outcome;
use super::shelf::Shelf;
use super::weather::Weather;
use crate::lessons;
use crate::path::VIEWS;
use crate::streams::{self, Dice};

const LATEST: [&str; 5] = ["features.last_hour", "features.last_five", "features.ever", "encodings.sdim", "forecasts"];
const INSTANCES: [&str; 3] = ["a", "b", "c"];
/// More steps than any world needs.
const STEPS_MAX: usize = 200_000;

/// What is the same in a world and in the one where nothing happens.
#[derive(Clone)]
pub struct Plan {
    /// Lines of each source partition.
    events: Vec<Vec<Vec<u8>>>,
    /// Lines of `candidates` and `feedback`, by topic.
    asked: Vec<(&'static str, Vec<u8>)>,
    /// In the wild world kernels run on a GPU, and it may be lost.
    gpu: bool,
    partitions: u32,
    config: Config,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x5eed);
        let count = 40 + dice.below(160) as usize;
        let users = 2 + dice.below(12);
        let (lines, _) = streams::events(seed, count, users);
        let mut events = vec![Vec::new(); 1 + dice.below(3) as usize];
        let direct = dice.one_in(4);
        for mut line in lines {
            // A user has one source partition, so his rows have one order in every world: which rows meet in a session
            // depends on it.
            let event = serde_json::from_slice::<serde_json::Value>(&line).unwrap_or_default();
            let sources = events.len();
            let place =
                |name: &str| event[name].as_str()?.strip_prefix('u')?.parse::<usize>().ok().map(|n| n % sources);
            let user = match event["user_id"].as_str() {
                Some(id) if direct => partition_of(id.as_bytes(), sources as u32) as usize,
                _ => place("user_id").unwrap_or(0),
            };
            if place("other_id").is_some_and(|other| direct || other != user) {
                let mut alone = event.clone();
                alone.as_object_mut().unwrap().remove("other_id");
                line = serde_json::to_vec(&alone).unwrap();
            }
            events[user].push(line);
        }
        let mut config = Config::default();
        config.engine.batch_rows = [1, 7, 8192][dice.below(3) as usize];
        config.engine.commit_interval_ms = [1, 20, 100][dice.below(3) as usize];
        config.events.out_of_orderness_ms = [0, 5000][dice.below(2) as usize];
        config.events.idle_timeout_ms = 1 << 40;
        config.state.snapshot_interval_ms = [1, 100, 1000][dice.below(3) as usize];
        config.sdim.enabled = dice.one_in(3);
        config.state.memory_limit = [None, Some(Size(1)), Some(Size(20_000))][dice.below(3) as usize];
        (config.sdim.dim, config.sdim.window, config.sdim.tables) = (8, 8, 4);
        config.sdim.items = ItemVectors::Hashed;
        config.encodings.min_interval_ms = [0, 20_000][dice.below(2) as usize];
        let mut partitions = 1 + dice.below(4) as u32;
        if direct {
            (config.route, partitions) = (Route::Direct, events.len() as u32);
            // Without an end of time who waits to be published waits on.
            config.encodings.min_interval_ms = 0;
        }
        // Forecasts by one version that stays, or by versions that come as the learner makes them.
        (config.prompt_tpp.enabled, config.prompt_tpp.learn) = match dice.below(6) {
            0 if !direct => (true, Learn::Frozen),
            1 if !direct => (true, Learn::PromptCalibrated),
            _ => (false, Learn::Frozen),
        };
        (config.prompt_tpp.warm_up_events, config.prompt_tpp.warm_up_passes) = (12, 1);
        (config.prompt_tpp.batch_samples, config.prompt_tpp.version_steps) = (4, 1 + dice.below(3));
        (config.prompt_tpp.window_events, config.prompt_tpp.clock) = ([5, 64][dice.below(2) as usize], dice.one_in(2));
        // Opening a device takes longer than most worlds live.
        let gpu = config.sdim.enabled && dice.one_in(8);
        config.candidates.enabled = !direct && dice.one_in(3);
        let asks = if config.candidates.enabled { dice.below(count as u64 / 2) } else { 0 };
        // Rankers that learn in the smallest steps, with room for few items.
        config.muse.enabled = config.candidates.enabled && dice.one_in(3);
        config.candidates.unlabeled = [Unlabeled::Ignored, Unlabeled::Negative][dice.below(2) as usize];
        config.candidates.feedback_wait_ms = [4, 600_000][dice.below(2) as usize];
        (config.candidates.batch_samples, config.candidates.version_steps) = (2, 1 + dice.below(3));
        (config.candidates.version_interval_ms, config.candidates.admit_after) = (0, 1 + dice.below(2) as u32);
        config.candidates.rows_max = [4, 64][dice.below(2) as usize];
        config.candidates.negatives = [0, 3][dice.below(2) as usize];
        config.candidates.recent_items_max = [5, 4096][dice.below(2) as usize];
        let asked = asked::lines(&mut dice, asks, users);
        // Vectors learned from few behaviors; tables of them are not the same in two worlds, as versions come in time.
        if config.muse.enabled && !config.sdim.enabled && dice.one_in(2) {
            (config.items.vectors, config.sdim.items) = (VectorSource::CoOccurrence, ItemVectors::Topic);
            (config.items.learn_events, config.items.version_events) = (30, 5);
        }
        Self { events, asked, gpu, partitions, config }
    }
}

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Happened {
    pub crashes: u64,
    pub zombies: u64,
    pub snapshots: u64,
    pub restored: u64,
    pub expired: u64,
    pub stops: u64,
    pub faults: u64,
    pub store_faults: u64,
    pub torn: u64,
    pub cold: u64,
    pub full_disks: u64,
    pub lost_devices: u64,
    pub expired_records: u64,
    pub versions: u64,
    pub rankings: u64,
    pub items: u64,
    pub forecasts: u64,
    pub answers: u64,
    pub negatives: u64,
}

impl Happened {
    pub fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.zombies += other.zombies;
        self.snapshots += other.snapshots;
        self.restored += other.restored;
        self.expired += other.expired;
        self.stops += other.stops;
        self.faults += other.faults;
        self.store_faults += other.store_faults;
        self.torn += other.torn;
        self.cold += other.cold;
        self.full_disks += other.full_disks;
        self.lost_devices += other.lost_devices;
        self.expired_records += other.expired_records;
        self.versions += other.versions;
        self.rankings += other.rankings;
        self.items += other.items;
        self.forecasts += other.forecasts;
        self.answers += other.answers;
        self.negatives += other.negatives;
    }
}

/// A process: a worker of each role.
struct Process {
    instance: &'static str,
    /// None where events come to the engine directly.
    router: Option<(String, Worker<Router>)>,
    engine: (String, Worker<Engine>),
    /// One of each room that learns.
    learners: Vec<(Room, Worker<Learner>)>,
    /// How far they have come.
    learned: Arc<learn::Learned>,
    /// Whether it never takes a step again: a worker has ended with an error.
    dead: bool,
}

pub struct World {
    plan: Plan,
    dice: Dice,
    /// Whether anything happens.
    wild: bool,
    broker: Embedded,
    weather: Arc<Weather>,
    shelf: Arc<Shelf>,
    cellar: Cellar,
    archive: Arc<Archive>,
    topics: Topics,
    processes: Vec<Process>,
    /// Those whose end nobody has seen yet; some of them are not dead.
    zombies: Vec<Process>,
    fed: Vec<usize>,
    /// How many of the lines of `candidates` and `feedback` are fed, and what they ask for.
    fed_asked: usize,
    asked: Asked,
    clock: Duration,
    /// The last process's device.
    device: Option<shaders::Gpu>,
    /// Reads along what the routers send, since the log is trimmed behind its snapshots.
    witness: EmbeddedReader,
    /// Rows sent, by source partition, offset and user.
    routed: BTreeMap<(i32, i64, String), u32>,
    pub happened: Happened,
}

pub fn views() -> Arc<Views> {
    static VIEWS_COMPILED: OnceLock<Arc<Views>> = OnceLock::new();
    let compile = || Arc::new(Views::compile(VIEWS, &EventColumns::default()).unwrap());
    Arc::clone(VIEWS_COMPILED.get_or_init(compile))
}

impl World {
    /// A world that lives `plan`: with a seed, things happen in it.
    pub fn new(plan: &Plan, seed: Option<u64>) -> Self {
        let mut dice = Dice(seed.unwrap_or(0));
        let (log_faults, store_faults) = if seed.is_some() {
            ([0, 300, 60][dice.below(3) as usize], [0, 40, 6][dice.below(3) as usize])
        } else {
            (0, 0)
        };
        let weather = Arc::new(Weather::new(dice.next(), log_faults));
        let shelf = Arc::new(Shelf::new(dice.next(), store_faults));
        let cellar = Cellar::new(dice.next(), store_faults * 8);
        let settings = EmbeddedSettings { trims: false, wait_max: Duration::ZERO, ..Default::default() };
        let broker = Embedded::with_faults(settings, Arc::clone(&weather) as _);
        let topics = Topics::new("app", "", views().names());
        let spec = |name: String, partitions: i32| TopicSpec { name, partitions, settings: Vec::new() };
        let sources = plan.events.len() as i32;
        let mut specs = vec![spec("events".into(), sources), spec("items".into(), 1), spec("forget".into(), 1)];
        specs.extend(["candidates", "feedback"].map(|name| spec(name.into(), 1)));
        specs.push(spec(topics.models(), 1));
        specs.push(spec(topics.by_user(), plan.partitions as i32));
        specs.push(spec(topics.learners(), 1));
        specs.push(spec(topics.samples(Room::PromptTpp), 1));
        specs.extend(roles::scorers(&plan.config).into_iter().map(|room| spec(topics.samples(room), 1)));
        specs.push(spec(topics.samples(Room::Items), 1));
        specs.extend(topics.outputs(&roles::said(&plan.config)).into_iter().map(|output| match output {
            Output::Late | Output::DeadLetter => spec(topics.name(output), sources),
            _ => spec(topics.name(output), plan.partitions as i32),
        }));
        broker.create(&specs).unwrap();
        if plan.config.prompt_tpp.enabled && plan.config.prompt_tpp.learn == Learn::Frozen {
            lessons::give_a_version(&broker, &topics, plan.partitions);
        }
        let owner = Owner {
            format: FORMAT.into(),
            app: "app".into(),
            topic: roles::engine_log(&plan.config, &topics),
            topic_id: "1".into(),
            partitions: plan.partitions,
        };
        let trims = (plan.config.route == Route::ByUser).then(|| Arc::new(broker.clone()) as _);
        let archive = Arc::new(Archive::new(Arc::clone(&shelf) as _, owner, trims));
        let fed = vec![0; plan.events.len()];
        let witness = broker.records(&[topics.by_user()]).unwrap();
        Self {
            plan: plan.clone(),
            dice,
            wild: seed.is_some(),
            broker,
            weather,
            shelf,
            cellar,
            archive,
            topics,
            processes: Vec::new(),
            zombies: Vec::new(),
            fed,
            fed_asked: 0,
            asked: Asked::of(&plan.config),
            clock: Duration::ZERO,
            device: None,
            witness,
            routed: BTreeMap::new(),
            happened: Happened::default(),
        }
    }

    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            if self.is_fed() {
                break;
            }
            if self.wild { self.something()? } else { self.round()? }
        }
        // From here on nothing happens, so that it can come to its end.
        self.wild = false;
        self.weather.calm();
        self.shelf.calm();
        self.cellar.calm();
        for (partition, _) in self.plan.events.iter().enumerate() {
            self.broker.seal("events", partition as i32).unwrap();
        }
        while !self.zombies.is_empty() {
            self.bury();
        }
        let mut quiet = 0;
        for _ in 0..STEPS_MAX {
            self.round()?;
            let drained = self.to_drain().iter().all(|(group, topic)| self.broker.drained(group, topic).unwrap());
            let done = drained && self.has_learned();
            quiet = if done { quiet + 1 } else { 0 };
            if quiet == 12 {
                self.watch();
                self.check_routed()?;
                self.happened.faults = self.weather.failed.load(Ordering::Relaxed);
                self.happened.store_faults = self.shelf.failed();
                (self.happened.cold, self.happened.full_disks) = self.cellar.happened();
                self.check_learned()?;
                self.happened.forecasts = self.forecasts();
                if self.plan.config.candidates.enabled {
                    self.happened.answers = self.asked.check(&self.broker)?;
                    for room in roles::scorers(&self.plan.config) {
                        self.happened.negatives =
                            self.asked.check_negatives(&self.broker, &self.topics.samples(room))?;
                    }
                }
                self.happened.snapshots = self.shelf.manifests() as u64;
                return Ok(());
            }
        }
        let drained = |(group, topic): (String, String)| {
            format!("{group} has read all of {topic}: {}", self.broker.drained(&group, &topic).unwrap())
        };
        let drained: Vec<String> = self.to_drain().into_iter().map(drained).collect();
        let living: Vec<&str> = self.processes.iter().map(|process| process.instance).collect();
        Err(format!("it does not come to its end: {drained:?}; {living:?} live"))
    }

    /// What came of the samples, where something was learned.
    fn check_learned(&mut self) -> Result<(), String> {
        let (config, same_device) = (self.plan.config_of("calm"), !self.plan.gpu);
        for room in self.plan.learning() {
            let learned = lessons::Learned::read(&self.broker, &self.topics, room);
            let versions = learned.check(&self.topics, &config, same_device)?;
            let happened = &mut self.happened;
            *match room {
                Room::PromptTpp => &mut happened.versions,
                Room::Sdim | Room::Muse => &mut happened.rankings,
                Room::Items => &mut happened.items,
            } += versions;
        }
        Ok(())
    }

    /// Whether somebody has learned from all samples.
    fn has_learned(&self) -> bool {
        self.plan.learning().into_iter().all(|room| {
            let samples = self.topics.samples(room);
            let of = |process: &Process| self.broker.is_read_to(&samples, 0, process.learned.next(room)).unwrap();
            let group = roles::group(&self.plan.config_of("x"), Group::Learner(room));
            self.broker.drained(&group, &samples).unwrap() || self.processes.iter().any(of)
        })
    }

    /// Which group has to read which topic to its end.
    fn to_drain(&self) -> Vec<(String, String)> {
        let config = self.plan.config_of("x");
        let engine = (roles::group(&config, Group::Engine), roles::engine_log(&config, &self.topics));
        if config.route == Route::Direct {
            return vec![engine];
        }
        let router = roles::group(&config, Group::Router);
        let inputs = roles::inputs(&config).into_iter().map(|name| (router.clone(), name.to_string()));
        inputs.chain([engine]).collect()
    }

    /// Rows that routers sent.
    pub fn routed(&self) -> Vec<(i32, i64, String)> {
        self.routed.keys().cloned().collect()
    }

    fn forecasts(&self) -> u64 {
        if !self.plan.config.prompt_tpp.enabled {
            return 0;
        }
        let (mut reader, mut count) = (self.broker.records(&[self.topics.name(Output::Forecasts)]).unwrap(), 0);
        reader.catch_up().unwrap();
        while !reader.poll_headers(Duration::ZERO, &mut |_, _| count += 1).unwrap() {}
        count
    }

    pub fn outcome(&self) -> Outcome {
        let outputs = self.topics.outputs(&roles::said(&self.plan.config)).into_iter();
        // Where versions come in time is not the same in two worlds, nor are floats on two devices.
        let varies = self.plan.gpu || self.plan.learning().contains(&Room::PromptTpp);
        // Two topics have no order between them, so what an answer sees is not the same either.
        let told = outputs.filter(|output| *output != Output::Scores && (*output != Output::Forecasts || !varies));
        let names: Vec<String> = told.map(|output| self.topics.name(output)).collect();
        Outcome::read(&self.broker, &names, &LATEST.map(String::from))
    }

    fn is_fed(&self) -> bool {
        let events = self.fed.iter().zip(&self.plan.events).all(|(fed, lines)| *fed == lines.len());
        events && self.fed_asked == self.plan.asked.len()
    }

    /// What a calm world does: feeds, and steps everybody.
    fn round(&mut self) -> Result<(), String> {
        self.feed(5);
        if self.processes.is_empty() {
            self.start();
        }
        for at in (0..self.processes.len()).rev() {
            self.clock += Duration::from_millis(110);
            for group in self.plan.groups() {
                if at < self.processes.len() {
                    self.step(at, group)?;
                }
            }
        }
        Ok(())
    }

    /// Takes down which rows are on the internal topic.
    fn watch(&mut self) {
        let (routed, asked) = (&mut self.routed, &mut self.asked);
        let mut take = |record: Incoming<'_>, _: Headers<'_>| {
            let packed = packed::read(record.value.unwrap()).unwrap();
            let rows = packed.rows().unwrap();
            // Requests stand behind the rows of their record.
            rows.iter().for_each(|rows| asked.named(record.partition, rows));
            asked.take(record.partition, &packed.header.requests);
            let Some(rows) = rows else { return };
            let users = rows.column_by_name("user_id").unwrap().as_string_view();
            let partitions = rows.column_by_name("source_partition").unwrap().as_primitive::<Int32Type>();
            let offsets = rows.column_by_name("source_offset").unwrap().as_primitive::<Int64Type>();
            for row in 0..rows.num_rows() {
                let key = (partitions.value(row), offsets.value(row), users.value(row).to_string());
                *routed.entry(key).or_default() += 1;
            }
        };
        while !self.witness.poll_headers(Duration::ZERO, &mut take).unwrap() {}
        self.witness.catch_up().unwrap();
    }

    /// One thing happens.
    fn something(&mut self) -> Result<(), String> {
        self.clock += Duration::from_millis(self.dice.below(30));
        match self.dice.below(100) {
            0..12 => {
                let lines = 1 + self.dice.below(6) as usize;
                self.feed(lines);
            }
            12..16 => self.start(),
            16..18 => self.crash(),
            18..20 => self.stop()?,
            20..23 => self.bury(),
            23..29 => self.walk()?,
            29 => self.expire(),
            30 => self.clock += Duration::from_secs(self.dice.below(60)),
            31 if self.happened.torn == 0 => self.happened.torn += u64::from(self.shelf.tear()),
            32..35 => {
                if let Some(gpu) = self.device.take() {
                    gpu.lose();
                    self.happened.lost_devices += 1;
                }
            }
            35 => self.retain(),
            _ if self.processes.is_empty() => self.start(),
            _ => {
                let at = self.dice.below(self.processes.len() as u64) as usize;
                let group = self.one_of_the_groups();
                self.step(at, group)?;
            }
        }
        Ok(())
    }

    /// Whose turn it is: seldom learners', since records of samples are few.
    fn one_of_the_groups(&mut self) -> Group {
        let learning = self.plan.learning();
        let learns = !learning.is_empty() && self.dice.one_in(4);
        match self.dice.one_in(2) {
            _ if learns => Group::Learner(learning[self.dice.below(learning.len() as u64) as usize]),
            true => Group::Router,
            false => Group::Engine,
        }
    }

    fn feed(&mut self, lines: usize) {
        for (partition, (fed, all)) in self.fed.iter_mut().zip(&self.plan.events).enumerate() {
            for line in all.iter().skip(*fed).take(lines) {
                self.broker.append("events", partition as i32, None, None, Some(line)).unwrap();
                *fed += 1;
            }
        }
        for (topic, line) in self.plan.asked.iter().skip(self.fed_asked).take(lines) {
            self.broker.append(topic, 0, None, None, Some(line)).unwrap();
            self.fed_asked += 1;
        }
    }

    /// A process starts, under a name that no living one has; a zombie may.
    fn start(&mut self) {
        let free = INSTANCES.iter().filter(|name| self.processes.iter().all(|process| process.instance != **name));
        let free: Vec<&'static str> = free.copied().collect();
        if free.is_empty() || (!self.wild && !self.processes.is_empty()) {
            return;
        }
        let instance = free[self.dice.below(free.len() as u64) as usize];
        let shared = self.shared(instance);
        let direct = shared.config.route == Route::Direct;
        let router = (!direct).then(|| roles::router(&shared, &self.broker, 0).unwrap());
        let engine = roles::engine(&shared, &self.broker, 0).unwrap();
        let learner = |room: Room| (room, roles::learner(&shared, &self.broker, room).unwrap().1);
        let learners = self.plan.learning().into_iter().map(learner).collect();
        let learned = Arc::clone(&shared.learned);
        self.processes.push(Process { instance, router, engine, learners, learned, dead: false });
    }

    fn shared(&mut self, instance: &str) -> Shared {
        let config = self.plan.config_of(instance);
        let choice = if self.plan.gpu && self.wild { shaders::Choice::Gpu } else { shaders::Choice::Cpu };
        let device = shaders::Device::open(choice).unwrap();
        if let shaders::Device::Gpu(gpu) = &device {
            self.device = Some(gpu.clone());
        }
        let sdim = config.sdim.enabled.then(|| Arc::new(hash_matrix(config.sdim.dim)));
        let models = || self.broker.reader(&[self.topics.models()]).unwrap();
        let forecasts = config.prompt_tpp.enabled.then(|| Arc::new(Models::new("prompt_tpp", models())));
        let scorers = roles::scorers(&config).into_iter();
        let look = roles::rank(&config).look;
        let scorers = scorers.map(|room| Arc::new(Versions::new(room, &look, models()))).collect();
        let items = if roles::learns_items(&config) {
            let learned = Learned::new(Arc::new(Models::new("items", models())), Vec::new());
            let catalogue = Catalogue::new(service::catalogue(&config), Some(learned), Metrics::new());
            ItemSource::Catalogue(Arc::new(catalogue))
        } else {
            ItemSource::Hashed
        };
        let rooms = Some(Rooms { device, items, sdim, forecasts, scorers });
        let patience = Patience {
            pauses: (Duration::ZERO, Duration::ZERO),
            idle_poll: Duration::ZERO,
            for_snapshots: true,
            ..Patience::default()
        };
        Shared {
            config: Arc::new(config),
            by_user_partitions: self.plan.partitions,
            views: views(),
            topics: self.topics.clone(),
            one_router: false,
            rooms,
            metrics: Metrics::new(),
            archive: Some(Arc::clone(&self.archive)),
            patience,
            cold: Some(self.cellar.stores()),
            ended: Arc::default(),
            learned: Arc::default(),
            limits: Arc::default(),
        }
    }

    /// Every row was sent once.
    fn check_routed(&self) -> Result<(), String> {
        let twice = self.routed.iter().find(|(_, times)| **times != 1);
        twice.map_or(Ok(()), |(row, times)| Err(format!("a row was sent {times} times: {row:?}")))
    }

    /// A living process takes a step; where that fails it is over with it.
    fn step(&mut self, at: usize, group: Group) -> Result<(), String> {
        let reads = self.shelf.reads();
        let stepped = self.processes[at].step(group, self.clock);
        self.happened.restored += u64::from(self.shelf.reads() > reads);
        self.watch();
        let Err(error) = stepped else { return Ok(()) };
        judge(error)?;
        self.happened.crashes += 1;
        let process = Process { dead: true, ..self.processes.remove(at) };
        // Its group sees its end at once, or after a while.
        if self.wild && self.dice.one_in(2) {
            self.zombies.push(process);
        }
        Ok(())
    }

    /// A process is gone without a word: nobody knows yet.
    fn crash(&mut self) {
        if !self.processes.is_empty() {
            let at = self.dice.below(self.processes.len() as u64) as usize;
            self.zombies.push(self.processes.remove(at));
            self.happened.crashes += 1;
        }
    }

    /// A process ends as it should.
    fn stop(&mut self) -> Result<(), String> {
        if self.processes.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.processes.len() as u64) as usize;
        let process = self.processes.remove(at);
        self.happened.stops += 1;
        let mut ended = process.router.map_or(Ok(()), |router| router.1.finish().map(|_| ()));
        ended = ended.and(process.engine.1.finish().map(|_| ()));
        for (_, learner) in process.learners {
            ended = ended.and(learner.finish().map(|_| ()));
        }
        ended.map_or_else(judge, Ok)
    }

    /// The group's session of a dead one ends, and the broker aborts what he has open.
    fn bury(&mut self) {
        if self.zombies.is_empty() {
            return;
        }
        let at = self.dice.below(self.zombies.len() as u64) as usize;
        let process = self.zombies.remove(at);
        // Where its name is another's by now, he has been buried.
        if self.processes.iter().all(|living| living.instance != process.instance) {
            self.expire_all(process.instance);
        }
    }

    /// The time of input records is over; that of events without a hop, which state is restored from, is not.
    fn retain(&mut self) {
        if self.plan.config.route == Route::ByUser {
            for (group, topic) in self.to_drain().into_iter().filter(|(_, topic)| *topic != self.topics.by_user()) {
                self.happened.expired_records += self.broker.expire_records(&group, &topic).unwrap();
            }
        }
    }

    fn expire_all(&mut self, instance: &str) {
        for group in self.plan.groups() {
            let name = self.member(group, instance);
            self.broker.expire(&roles::group(&self.plan.config, group), &name);
            self.broker.expire_transaction(&name);
        }
        self.happened.expired += 1;
    }

    /// A zombie wakes up and goes on where he was; what he is told does not matter.
    fn walk(&mut self) -> Result<(), String> {
        if self.zombies.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.zombies.len() as u64) as usize;
        if self.zombies[at].dead {
            return Ok(());
        }
        let group = self.one_of_the_groups();
        let stepped = self.zombies[at].step(group, self.clock);
        self.happened.zombies += 1;
        if let Err(error) = stepped {
            self.zombies.remove(at);
            judge(error)?;
        }
        Ok(())
    }

    fn member(&self, group: Group, instance: &str) -> String {
        roles::member(&self.plan.config_of(instance), group, 0)
    }

    /// A living process was too slow for its group or for its transaction.
    fn expire(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let at = self.dice.below(self.processes.len() as u64) as usize;
        let process = &self.processes[at];
        let instance = process.instance;
        if self.dice.one_in(4) {
            return self.expire_all(instance);
        }
        let group = self.one_of_the_groups();
        self.broker.expire_transaction(&self.member(group, instance));
    }
}

impl Process {
    /// A worker takes a step, where there is one.
    fn step(&mut self, group: Group, now: Duration) -> Result<(), StageError> {
        match group {
            Group::Router => self.router.as_mut().map_or(Ok(()), |router| router.1.step(now, &|| now)),
            Group::Engine => self.engine.1.step(now, &|| now),
            Group::Learner(room) => {
                let learner = self.learners.iter_mut().find(|(of, _)| *of == room);
                learner.map_or(Ok(()), |(_, learner)| learner.step(now, &|| now))
            }
        }
    }
}

impl Plan {
    /// The rooms that learn.
    fn learning(&self) -> Vec<Room> {
        let frozen = |room: &Room| *room == Room::PromptTpp && self.config.prompt_tpp.learn == Learn::Frozen;
        roles::learning(&self.config).into_iter().filter(|room| !frozen(room)).collect()
    }

    /// Of every process a worker each.
    fn groups(&self) -> Vec<Group> {
        [Group::Router, Group::Engine].into_iter().chain(self.learning().into_iter().map(Group::Learner)).collect()
    }

    fn config_of(&self, instance: &str) -> Config {
        Config { app: "app".into(), instance: instance.into(), ..self.config.clone() }
    }
}

/// A process may end for what its log or its store says; anything else must not happen.
fn judge(error: StageError) -> Result<(), String> {
    match error {
        StageError::Log(_) | StageError::Snapshot(SnapshotError::Store(_)) => Ok(()),
        // A disk that is full.
        StageError::Fold(FoldError::Cold(_)) | StageError::Snapshot(SnapshotError::Fold(FoldError::Cold(_))) => Ok(()),
        other => Err(format!("a process ended: {other}")),
    }
}
