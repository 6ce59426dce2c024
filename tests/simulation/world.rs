//! A world: processes of the service over one embedded log, stepped one call at a time.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use operators::Views;
use pipeline::config::{Learn, Route};
use pipeline::encode::ItemSource;
use pipeline::encode::catalogue::Catalogue;
use pipeline::encode::learned::Learned;
use pipeline::log::embedded::{Embedded, EmbeddedReader, EmbeddedSettings, Headers};
use pipeline::log::{Broker, Incoming, Reader, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::model::shelf::Shelf as Models;
use pipeline::rank::versions::Versions;
use pipeline::roles::{self, Group, Patience, Rooms, Shared};
use pipeline::service;
use pipeline::snapshot::archive::Archive;
use pipeline::snapshot::manifest::{FORMAT, Owner};
use schemas::event::EventColumns;
use schemas::output::{Output, Room};
use schemas::packed;
use schemas::topics::Topics;
use shaders::sdim::hash_matrix;

use super::asked::Asked;
use super::cellar::Cellar;
use super::happened::Happened;
use super::outcome::Outcome;
use super::plan::Plan;
use super::process::{Process, judge};
use super::shelf::Shelf;
use super::weather::Weather;
use crate::lessons;
use crate::path::VIEWS;
use crate::streams::Dice;

const LATEST: [&str; 5] = ["features.last_hour", "features.last_five", "features.ever", "encodings.sdim", "forecasts"];
const INSTANCES: [&str; 3] = ["a", "b", "c"];
/// More steps than any world needs.
const STEPS_MAX: usize = 200_000;

pub struct World {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    /// Whether anything happens.
    pub(super) wild: bool,
    pub(super) broker: Embedded,
    pub(super) weather: Arc<Weather>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) cellar: Cellar,
    pub(super) archive: Arc<Archive>,
    pub(super) topics: Topics,
    pub(super) processes: Vec<Process>,
    /// Those whose end nobody has seen yet; some of them are not dead.
    pub(super) zombies: Vec<Process>,
    pub(super) fed: Vec<usize>,
    /// How many of the lines of `candidates` and `feedback` are fed, and what they ask for.
    pub(super) fed_asked: usize,
    pub(super) asked: Asked,
    pub(super) clock: Duration,
    /// The last process's device.
    pub(super) device: Option<shaders::Gpu>,
    /// Reads along what the routers send, since the log is trimmed behind its snapshots.
    pub(super) witness: EmbeddedReader,
    /// Rows sent, by source partition, offset and user.
    pub(super) routed: BTreeMap<(i32, i64, String), u32>,
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
    pub(super) fn to_drain(&self) -> Vec<(String, String)> {
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
    pub(super) fn watch(&mut self) {
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

    pub(super) fn feed(&mut self, lines: usize) {
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
    pub(super) fn start(&mut self) {
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
    pub(super) fn step(&mut self, at: usize, group: Group) -> Result<(), String> {
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
}
