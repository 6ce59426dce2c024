//! Versions published sparsely: what readers assemble is what was learned, whatever was sent of it, and whatever failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use pipeline::learn::study::{Published, Study};
use pipeline::learn::{LearnConfig, LearnError, Learned, Learner};
use pipeline::log::embedded::{Call, Embedded, EmbeddedReader, EmbeddedSettings, Fault, Faults};
use pipeline::log::staged::Staged;
use pipeline::log::transaction::Transactor;
use pipeline::log::{Broker, Class, Incoming, LogError, Reader, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::model::shelf::Shelf;
use pipeline::model::{self, Chunks, Model};
use pipeline::stage::{Pace, StageError, Worker};
use schemas::output::{Output, Room};
use schemas::topics::Topics;
use serde_json::json;
use shaders::ops::tensors::Entry;

use crate::streams::Dice;

const ROOM: Room = Room::PromptTpp;
const GROUP: &str = "app.learner.prompt_tpp";
const MEMBER: &str = "app.learner.prompt_tpp.one.0";
/// Four rows are one chunk of 64 KiB.
const SHAPE: [usize; 2] = [40, 4096];
const CHUNKS: usize = 10;

/// A study whose every sample names a row of its table, to which 1 is added; each makes a version.
struct Table {
    values: Vec<f32>,
    samples: u64,
}

impl Table {
    fn new() -> Self {
        Self { values: vec![0.0; SHAPE[0] * SHAPE[1]], samples: 0 }
    }

    fn entry(&self) -> Entry {
        Entry::floats(SHAPE.to_vec(), &self.values)
    }

    fn add(&mut self, row: u32) {
        let columns = SHAPE[1];
        self.values[row as usize * columns..][..columns].iter_mut().for_each(|value| *value += 1.0);
        self.samples += 1;
    }
}

impl Study for Table {
    fn room(&self) -> Room {
        ROOM
    }

    fn begin(&mut self, saved: Option<&Model>) -> Result<bool, LearnError> {
        *self = Self::new();
        if let Some(saved) = saved {
            self.values = saved.tensors["table"].to_floats(&SHAPE).unwrap();
            self.samples = saved.tensors["samples"].to_integers(1).unwrap()[0];
        }
        Ok(false)
    }

    fn learn(&mut self, record: &[u8], _: Option<i64>) -> Result<bool, LearnError> {
        let row = record.try_into().map_err(|_| LearnError::Unreadable("no row".into()))?;
        self.add(u32::from_le_bytes(row));
        Ok(true)
    }

    fn version(&mut self) -> Published {
        let weights = [("table".to_string(), self.entry())];
        let saved = weights.clone().into_iter().chain([("samples".into(), Entry::integers(&[self.samples]))]);
        let about = json!({"samples": self.samples});
        Published { about, saved: saved.collect(), weights: weights.into(), targets: self.samples }
    }
}

/// A learner of a table, and what readers should find.
struct World {
    broker: Embedded,
    topics: Topics,
    learned: Arc<Learned>,
    worker: Worker<Learner>,
    clock: Duration,
    rows: Vec<u32>,
}

impl World {
    fn new(broker: Embedded) -> Self {
        let topics = Topics::new("app", "", Vec::new());
        let compact = vec![("cleanup.policy".to_string(), "compact".to_string())];
        let spec = |name: String, settings: &[_]| TopicSpec { name, partitions: 1, settings: settings.to_vec() };
        let mut specs = vec![spec(topics.models(), &compact), spec(topics.learners(), &compact)];
        specs.extend([topics.samples(ROOM), topics.by_user()].map(|name| spec(name, &[])));
        specs.extend(topics.outputs(&[]).into_iter().map(|output| spec(topics.name(output), &[])));
        broker.create(&specs).unwrap();
        let learned = Arc::default();
        let worker = worker(&broker, &topics, &learned);
        Self { broker, topics, learned, worker, clock: Duration::ZERO, rows: Vec::new() }
    }

    fn step(&mut self) -> Result<(), StageError> {
        self.clock += Duration::from_millis(20);
        let now = self.clock;
        self.worker.step(now, &|| now)
    }

    fn sample(&mut self, value: &[u8]) {
        self.broker.append(&self.topics.samples(ROOM), 0, None, None, Some(value)).unwrap();
    }

    /// A version that differs from the last one in a row.
    fn bump(&mut self, row: u32) {
        self.sample(&row.to_le_bytes());
        self.rows.push(row);
    }

    fn settle(&mut self) {
        (0..6).for_each(|_| self.step().unwrap());
    }

    /// The process is gone, and another one of its name begins.
    fn restart(&mut self) {
        self.worker = worker(&self.broker, &self.topics, &self.learned);
    }

    /// Version `version`, as it has to be.
    fn table(&self, version: u64) -> Entry {
        let mut table = Table::new();
        self.rows[..version as usize].iter().for_each(|&row| table.add(row));
        table.entry()
    }

    fn check(&self, model: &Model) {
        assert_eq!(model.about["samples"], model.version);
        assert!(model.tensors["table"] == self.table(model.version), "version {} is another table", model.version);
    }

    /// What somebody finds on both topics who comes only now.
    fn check_afresh(&self) {
        for topic in [self.topics.models(), self.topics.learners()] {
            let newest = model::read(&self.broker, &topic, ROOM.name()).unwrap().expect("a version that is whole");
            assert_eq!(newest.version, self.rows.len() as u64, "{topic}");
            self.check(&newest);
        }
    }

    fn shelf(&self) -> Shelf {
        Shelf::new(ROOM.name(), self.broker.reader(&[self.topics.models()]).unwrap())
    }

    /// Keys of the records of a topic, with their offsets.
    fn records(&self, topic: &str) -> Vec<(i64, String)> {
        let mut keys = Vec::new();
        read(&mut self.broker.records(&[topic.into()]).unwrap(), &mut |record| {
            keys.push((record.offset, String::from_utf8(record.key.unwrap().to_vec()).unwrap()));
        });
        keys
    }

    /// Keys of the records that came to a topic while versions are made of these rows.
    fn sent(&mut self, topic: &str, rows: &[u32]) -> Vec<String> {
        let last = self.records(topic).last().map_or(-1, |(offset, _)| *offset);
        for &row in rows {
            self.bump(row);
            self.settle();
        }
        self.records(topic).into_iter().filter(|(offset, _)| *offset > last).map(|(_, key)| key).collect()
    }
}

fn read(reader: &mut EmbeddedReader, each: &mut dyn FnMut(Incoming<'_>)) {
    while reader.poll_headers(Duration::ZERO, &mut |record, _| each(record)).is_ok_and(|ended| !ended) {}
}

fn worker(broker: &Embedded, topics: &Topics, learned: &Arc<Learned>) -> Worker<Learner> {
    let log = broker.open(GROUP, MEMBER, &[topics.samples(ROOM)]).unwrap();
    let meter = Metrics::new().stage("learner");
    let config = LearnConfig { lag_max_ms: 1_000, by_user_partitions: 1 };
    let reader = (broker.reader(&[topics.learners()]).unwrap(), topics.learners());
    let learner = Learner::new(config, Box::new(Table::new()), reader, meter.clone(), Arc::clone(learned));
    let staged = Staged::new(topics, &[Output::Learners], 1);
    let transactor = Transactor::new(Duration::from_secs(20), (Duration::ZERO, Duration::ZERO));
    Worker::new(learner, log, staged, transactor, Pace::new(Duration::from_millis(10), 1, Duration::ZERO), meter)
}

#[test]
fn a_version_costs_what_changed_and_every_reader_finds_all_of_it() {
    let mut world = World::new(Embedded::new(EmbeddedSettings::default()));
    let (models, learners) = (world.topics.models(), world.topics.learners());
    let along = world.shelf();
    let first = world.sent(&models, &[3]);
    assert_eq!(first.len(), CHUNKS + 1, "all chunks and the manifest: {first:?}");
    world.check_afresh();
    assert_eq!(world.sent(&models, &[17]), ["prompt_tpp/table/4", "prompt_tpp"]);
    let kept = world.sent(&learners, &[17]);
    assert_eq!(kept, ["prompt_tpp/samples/0", "prompt_tpp/table/4", "prompt_tpp"]);
    world.check_afresh();
    (1..=3).for_each(|version| world.check(&along.get(version).unwrap()));
    // What is no sample is passed over.
    world.sample(b"no row");
    world.settle();
    assert!(world.broker.is_read_to(&world.topics.samples(ROOM), 0, world.learned.next(ROOM)).unwrap());
    // Many versions later the broker has compacted both topics, though not the chunks that never changed.
    for at in 0..60 {
        world.bump([5, 12, 39][at % 3]);
        world.settle();
        along.look().unwrap();
    }
    for (topic, sent) in [(&models, CHUNKS + 1 + 2 * 62), (&learners, CHUNKS + 2 + 3 * 62)] {
        let left = world.records(topic).len();
        assert!(left < sent * 2 / 3, "{left} of {sent} records of {topic}: nothing was compacted");
    }
    world.check_afresh();
    world.check(&along.get(63).unwrap());
    let late = world.shelf().get(1).unwrap();
    assert!(late.version > 1, "version 1 is gone from the topic");
    world.check(&late);
    world.restart();
    assert_eq!(world.sent(&models, &[0]).len(), CHUNKS + 1, "who begins sends everything once");
    assert_eq!(world.sent(&models, &[0]).len(), 2);
    world.check_afresh();
    world.check(&along.get(65).unwrap());
}

/// Commits that fail, before or after they are done; groups that take a learner for dead while he sends a version.
struct Trouble {
    broker: OnceLock<Embedded>,
    dice: Mutex<Dice>,
    failed: AtomicU64,
    lost: AtomicU64,
}

impl Trouble {
    fn new(seed: u64) -> Arc<Self> {
        let (failed, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { broker: OnceLock::new(), dice: Mutex::new(Dice(seed)), failed, lost })
    }
}

impl Faults for Trouble {
    fn at(&self, call: Call, _: &str) -> Option<Fault> {
        let mut dice = self.dice.lock().unwrap();
        let error = |class| LogError::new(class, format!("{call:?}"), "trouble".into());
        let fault = match call {
            // The version that is on its way is aborted, and its learner begins anew in the same process.
            Call::SendOffsets if dice.one_in(4) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                self.broker.get()?.expire(GROUP, MEMBER);
                return None;
            }
            Call::Send if dice.one_in(40) => Fault::Before(error(Class::Abortable)),
            Call::Commit => match dice.below(12) {
                0 | 1 => Fault::Before(error(Class::Abortable)),
                2 => Fault::Before(error(Class::Reopen)),
                3 => Fault::After(error(Class::Reopen)),
                4 => Fault::Before(error(Class::Fatal)),
                5 => Fault::After(error(Class::Fatal)),
                _ => return None,
            },
            _ => return None,
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        Some(fault)
    }
}

#[test]
fn what_was_aborted_was_never_sent() {
    let (mut failed, mut lost, mut restarts, mut sparse) = (0, 0, 0, 0);
    for seed in 1..=6 {
        let trouble = Trouble::new(seed);
        let settings = EmbeddedSettings { wait_max: Duration::ZERO, ..EmbeddedSettings::default() };
        let broker = Embedded::with_faults(settings, Arc::clone(&trouble) as _);
        trouble.broker.set(broker.clone()).map_err(drop).unwrap();
        let (mut world, mut dice) = (World::new(broker), Dice(seed ^ 0xd1ce));
        let mut along = world.broker.records(&[world.topics.models()]).unwrap();
        let (mut chunks, mut seen, mut records) = (Chunks::of(ROOM.name()), 0, 0);
        for round in 0..50 {
            if round < 40 {
                world.bump(dice.below(SHAPE[0] as u64) as u32);
            }
            for _ in 0..12 {
                if world.step().is_err() {
                    world.restart();
                    restarts += 1;
                }
            }
            along.catch_up().unwrap();
            read(&mut along, &mut |record| {
                records += 1;
                if chunks.take(record) {
                    let version = chunks.assemble().expect("a version that is whole");
                    seen += 1;
                    sparse += u64::from(records == 2);
                    records = 0;
                    assert_eq!(version.version, seen, "each version once");
                    world.check(&version);
                }
            });
        }
        assert_eq!(seen, 40);
        world.check_afresh();
        failed += trouble.failed.load(Ordering::Relaxed);
        lost += trouble.lost.load(Ordering::Relaxed);
    }
    for (count, what) in
        [(failed, "failed calls"), (lost, "losses"), (restarts, "restarts"), (sparse, "sparse versions")]
    {
        assert!(count > 10, "{count} {what}");
    }
}
