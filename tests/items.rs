//! Items come late, twice, in parts and in versions, and there are more of them than memory holds: what is made of them is what
//! would be made if all had been there from the beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pipeline::config::{Config, Size};
use pipeline::encode::catalogue::{Catalogue, CatalogueConfig, Holder};
use pipeline::encode::follow::Follower;
use pipeline::encode::items::Described;
use pipeline::encode::passages::Passages;
use pipeline::engine::Engine;
use pipeline::log::embedded::{Embedded, EmbeddedSettings};
use pipeline::log::{Broker, Incoming, Reader, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::roles::{self, Group, Patience, Shared};
use pipeline::route::Router;
use pipeline::run::RunError;
use pipeline::run::samples::Samples;
use pipeline::service;
use pipeline::stage::Worker;
use schemas::output::{Output, Room};
use serde_json::{Value, json};
use shaders::co_occurrence::WINDOW;

use crate::path::{Lines, config, outputs};
use crate::scores::{Script, tastes};
use crate::streams::{self, Dice};

const DIM: usize = 8;
const PARTITIONS: u32 = 3;

/// Last tables by user, each with the version of its items.
type Tables = BTreeMap<String, (String, u64)>;

fn tables(records: impl IntoIterator<Item = Value>) -> Tables {
    let of = |record: Value| {
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        (text("user_id"), (text("table"), record["items_version"].as_u64().unwrap()))
    };
    records.into_iter().map(of).collect()
}

fn item(id: u64, version: u64, dice: &mut Dice) -> Value {
    let raw: Vec<f64> = (0..DIM).map(|_| dice.below(2001) as f64 - 1000.0).collect();
    let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    let vector: Vec<f64> = raw.iter().map(|x| x / norm).collect();
    json!({"item_id": format!("i{id}"), "version": version, "vector": vector})
}

fn line(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// A process over an embedded log, stepped by hand.
struct Process {
    shared: Shared,
    router: (String, Worker<Router>),
    engines: Vec<(String, Worker<Engine>)>,
    follower: Follower,
}

struct World {
    broker: Embedded,
    snapshots: tempfile::TempDir,
    takes_snapshots: bool,
    clock: Duration,
    process: Option<Process>,
}

impl World {
    fn new(takes_snapshots: bool) -> Self {
        let settings = EmbeddedSettings { trims: false, wait_max: Duration::ZERO, ..EmbeddedSettings::default() };
        let broker = Embedded::new(settings);
        let config = Self::config(0);
        let topics = service::topics(&config, &service::views(&config).unwrap());
        let spec =
            |name: String, partitions: u32| TopicSpec { name, partitions: partitions as i32, settings: Vec::new() };
        let one = ["events", "items", "forget"].map(|name| spec(name.into(), 1));
        let own =
            [topics.models(), topics.name(Output::Late), topics.name(Output::DeadLetter)].map(|name| spec(name, 1));
        let by_user = [topics.by_user(), topics.name(Output::Encoding(Room::Sdim))].map(|name| spec(name, PARTITIONS));
        broker.create(&[&one[..], &own, &by_user].concat()).unwrap();
        Self { broker, snapshots: tempfile::tempdir().unwrap(), takes_snapshots, clock: Duration::ZERO, process: None }
    }

    fn config(version: u64) -> Config {
        let mut config = Config { app: "app".into(), instance: "one".into(), ..Config::default() };
        config.device = pipeline::config::Device::Cpu;
        (config.sdim.enabled, config.sdim.dim, config.sdim.window) = (true, DIM, 12);
        (config.items.version, config.state.memory_limit) = (version, None);
        config
    }

    /// A new process in place of the one that is there, cut in any way.
    fn restart(&mut self, version: u64, dice: &mut Dice) {
        let mut config = Self::config(version);
        config.engine.batch_rows = [1, 7, 8192][dice.below(3) as usize];
        config.engine.commit_interval_ms = [1, 20, 100][dice.below(3) as usize];
        config.state.snapshot_interval_ms = [100, 1000][dice.below(2) as usize];
        config.sdim.tables = [2, 4096][dice.below(2) as usize];
        config.items.memory_limit = Size([1, 300, 1 << 30][dice.below(3) as usize]);
        config.engine.workers = 1 + dice.below(2) as usize;
        // What is trimmed behind snapshots can only be had from them.
        if self.takes_snapshots {
            config.state.snapshots = Some(format!("file://{}", self.snapshots.path().display()));
        }
        if let Some(process) = self.process.take() {
            let config = &process.shared.config;
            let names = process.engines.iter().map(|(name, _)| (Group::Engine, name));
            for (group, name) in names.chain([(Group::Router, &process.router.0)]) {
                self.broker.expire(&roles::group(config, group), name);
                self.broker.expire_transaction(name);
            }
        }
        let cluster: Arc<dyn Broker> = Arc::new(self.broker.clone());
        let views = service::views(&config).unwrap();
        let mut shared = service::prepare(config, views, PARTITIONS, &self.broker, Metrics::new()).unwrap();
        shared.patience = Patience { idle_poll: Duration::ZERO, for_snapshots: true, ..Patience::default() };
        shared.archive = service::archive(&shared, "1", &cluster).unwrap().map(Arc::new);
        let follower = service::read_items(&shared, &self.broker, &AtomicBool::new(false)).unwrap().unwrap();
        let router = roles::router(&shared, &self.broker, 0).unwrap();
        let engines = (0..shared.config.engine.workers).map(|at| roles::engine(&shared, &self.broker, at).unwrap());
        self.process = Some(Process { router, engines: engines.collect(), follower, shared });
    }

    fn append(&self, topic: &str, value: &Value) {
        self.broker.append(topic, 0, None, None, Some(&line(value))).unwrap();
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    fn step(&mut self, dice: &mut Dice) {
        self.clock += Duration::from_millis(dice.below(40));
        let now = self.clock;
        let process = self.process.as_mut().unwrap();
        match dice.below(3) {
            0 => process.router.1.step(now, &|| now).unwrap(),
            1 => process.follower.catch_up(&AtomicBool::new(false)).unwrap(),
            _ => {
                let at = dice.below(process.engines.len() as u64) as usize;
                process.engines[at].1.step(now, &|| now).unwrap();
            }
        }
    }

    /// Lets everything that is there be read.
    fn settle(&mut self, dice: &mut Dice) {
        let (mut quiet, topics) = (0, self.process().shared.topics.clone());
        let config = Self::config(0);
        for _ in 0..10_000 {
            self.clock += Duration::from_millis(100);
            self.step(dice);
            let read = |group, topic: &str| self.broker.drained(&roles::group(&config, group), topic).unwrap();
            let done = read(Group::Router, "events") && read(Group::Engine, &topics.by_user());
            quiet = if done { quiet + 1 } else { 0 };
            if quiet == 40 {
                return;
            }
        }
        panic!("it does not come to its end");
    }

    fn tables(&mut self) -> Tables {
        let topic = self.process().shared.topics.name(Output::Encoding(Room::Sdim));
        let mut reader = self.broker.records(std::slice::from_ref(&topic)).unwrap();
        reader.catch_up().unwrap();
        let mut records = Vec::new();
        let mut take = |record: Incoming<'_>, _: pipeline::log::embedded::Headers<'_>| {
            records.extend(record.value.map(|value| serde_json::from_slice::<Value>(value).unwrap()));
        };
        while !reader.poll_headers(Duration::ZERO, &mut take).unwrap() {}
        tables(records)
    }
}

/// What happens in a world: events, and records of items as they may come.
struct Plan {
    events: Vec<Value>,
    /// In any order, with what repeats; those of version 2 last of all are in `calm`, as they count.
    items: Vec<Value>,
    calm: Vec<Value>,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let (lines, _) = streams::events(seed, 250, 8);
        // Relational events have no one order, and what is none is nothing here.
        let events = lines.iter().filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let events = events.filter(|event| event.get("other_id").is_none()).map(|mut event| {
            if let Some(id) = event["item_id"].as_str() {
                event["item_id"] = format!("i{}", id[1..].parse::<u64>().unwrap() % 30).into();
            }
            event
        });
        let (mut items, mut calm) = (Vec::new(), Vec::new());
        // Items 0 to 25 have a version 1, 5 to 30 a version 2: half a roll-over.
        for (version, ids) in [(1, 0..25), (2, 5..30)] {
            for id in ids {
                let first = item(id, version, &mut dice);
                if version == 2 {
                    calm.push(first.clone());
                }
                // A description that its vector follows, and others that come too late to count.
                let bare = json!({"item_id": first["item_id"], "version": version, "category": "c"});
                let copies = [bare, first.clone(), first, item(id, version, &mut dice)];
                let skipped = usize::from(dice.one_in(2));
                items.extend(copies.into_iter().skip(skipped).take(4 - skipped - dice.below(2) as usize));
            }
        }
        // Records of one item keep their order, others are mixed: each goes up some places.
        for at in 1..items.len() {
            let mut at = at;
            for _ in 0..dice.below(40) {
                if at == 0 || items[at - 1]["item_id"] == items[at]["item_id"] {
                    break;
                }
                items.swap(at - 1, at);
                at -= 1;
            }
        }
        Self { events: events.collect(), items, calm }
    }
}

/// Tables of a run in which all items of version 2 were there before the first event, and no others.
fn calm(plan: &Plan, last: &[Value]) -> Tables {
    let settings = [
        ("partitions", PARTITIONS.into()),
        ("device", "cpu".into()),
        ("sdim.enabled", true.into()),
        ("sdim.dim", DIM.into()),
        ("sdim.window", 12.into()),
        ("items.version", 2.into()),
    ];
    let events = plan.events.iter().chain(last).map(line).collect();
    let mut lines = Lines { events: vec![events], items: plan.calm.iter().map(line).collect() };
    tables(outputs(&mut lines, &settings, "").1.remove("encodings.sdim").unwrap())
}

#[test]
fn tables_after_a_roll_over_are_those_of_the_new_version_alone() {
    let mut versions_seen = BTreeSet::new();
    for seed in 1..=12 {
        let (plan, mut dice, mut world) = (Plan::of(seed), Dice(seed), World::new(seed % 3 > 0));
        let (mut events, mut items) = (plan.events.iter(), plan.items.iter());
        let mut version = 1;
        world.restart(version, &mut dice);
        let (mut fed, roll_over) = (0, 60 + dice.below(120));
        while fed < plan.events.len() as u64 {
            match dice.below(12) {
                0..3 => events.by_ref().take(1 + dice.below(4) as usize).for_each(|event| {
                    world.append("events", event);
                    fed += 1;
                }),
                3 => items.by_ref().take(dice.below(6) as usize).for_each(|item| world.append("items", item)),
                4 if dice.one_in(6) => world.restart(version, &mut dice),
                5 if fed > roll_over && version == 1 => {
                    versions_seen.extend(world.tables().values().map(|(_, version)| *version));
                    version = 2;
                    world.restart(version, &mut dice);
                    // A process of the old setting that speaks once more turns nothing back.
                    if dice.one_in(2) {
                        world.restart(1, &mut dice);
                        (0..20).for_each(|_| world.step(&mut dice));
                        world.restart(version, &mut dice);
                    }
                }
                _ => world.step(&mut dice),
            }
        }
        if version == 1 {
            world.restart(2, &mut dice);
        }
        items.for_each(|item| world.append("items", item));
        world.settle(&mut dice);
        world.process().follower.catch_up(&AtomicBool::new(false)).unwrap();
        // Everybody is touched once more, when all items are there.
        let newest = plan.events.iter().filter_map(|event| event["time"].as_i64()).max().unwrap();
        let last = (0..8)
            .map(|user| json!({"user_id": format!("u{user}"), "type": "view", "time": newest + 1, "item_id": "i7"}));
        let last: Vec<Value> = last.collect();
        last.iter().for_each(|event| world.append("events", event));
        world.settle(&mut dice);
        let (got, want) = (world.tables(), calm(&plan, &last));
        assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "seed {seed}");
        for (user, table) in &want {
            assert!(got[user] == *table, "seed {seed}: the table of {user}, of version {}", got[user].1);
            assert_eq!(table.1, 2);
        }
    }
    assert!(versions_seen.contains(&1), "before the roll-over tables were of version 1");
}

/// Samples of both scorers, of what a script gives.
fn samples(script: &Script, settings: &[(&str, Value)], metrics: &Metrics) -> Vec<Vec<u8>> {
    let fixed = [
        ("partitions", 1.into()),
        ("device", "cpu".into()),
        ("candidates.enabled", true.into()),
        ("sdim.bits", 96.into()),
        ("sdim.group_bits", 6.into()),
        ("sdim.dim", DIM.into()),
        ("candidates.features", json!(["place"])),
    ];
    let dir = tempfile::tempdir().unwrap();
    let sql = dir.path().join("none.sql");
    std::fs::write(&sql, "").unwrap();
    let mut all = Vec::new();
    for room in [Room::Sdim, Room::Muse] {
        let open = [("sdim.enabled", (room == Room::Sdim).into()), ("muse.enabled", (room == Room::Muse).into())];
        let config = config(&sql, &[&fixed[..], &open, settings].concat());
        let stop = Arc::new(AtomicBool::new(false));
        let mut samples = Samples::of(config, room, &mut script.clone(), metrics.clone(), &stop).unwrap();
        let keep = |sample: &[u8]| {
            all.push(sample.to_vec());
            Ok::<_, RunError>(())
        };
        samples.pass(keep).unwrap();
    }
    all
}

#[test]
fn what_requests_see_is_of_the_version_in_force_wherever_its_vectors_lie() {
    let (script, metrics) = (tastes(7, 150), Metrics::new());
    let want = samples(&script, &[], &metrics);
    assert!(want.len() > 1000);
    // The same vectors as version 3, and others of versions before and after it.
    let mut dice = Dice(1);
    let mut versions = Script::default();
    for (topic, bytes) in &script.0 {
        let mut record: Value = serde_json::from_slice(bytes).unwrap();
        if *topic == "items" {
            let id = record["item_id"].as_str().unwrap()[1..].parse().unwrap();
            record["version"] = 3.into();
            let others = [0, 2, 4].map(|version| ("items", line(&item(id, version, &mut dice))));
            versions.0.extend(others);
        }
        versions.0.push((topic, line(&record)));
    }
    let cuts: [&[(&str, Value)]; 3] = [
        &[],
        &[("items.memory_limit", "1B".into()), ("engine.batch_rows", 7.into())],
        &[("items.memory_limit", "1000B".into()), ("engine.commit_interval_ms", 1.into())],
    ];
    for cut in cuts {
        let settings = [&[("items.version", 3.into())][..], cut].concat();
        let got = samples(&versions, &settings, &metrics);
        assert_eq!(got.len(), want.len(), "{cut:?}");
        let differs = got.iter().zip(&want).position(|(got, want)| got != want);
        assert_eq!(differs, None, "the first sample that differs, with {cut:?}");
    }
    assert!(samples(&versions, &[("items.version", 4.into())], &metrics) != want, "vectors make a difference");
}

#[test]
fn items_beyond_the_bound_stay_unknown_and_are_counted() {
    let (script, metrics) = (tastes(7, 30), Metrics::new());
    let few = samples(&script, &[("items.max", 10.into())], &metrics);
    let text = metrics.text();
    let figure = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    // Once for each of the two models.
    assert_eq!(figure("wellspring_items_refused_total "), Some(60.0), "{text}");
    assert_eq!(figure("wellspring_items "), Some(10.0));
    let of_few = |(topic, line): &&(&str, Vec<u8>)| {
        let id = |value: Value| value["item_id"].as_str().unwrap()[1..].parse::<u64>().unwrap();
        *topic != "items" || id(serde_json::from_slice(line).unwrap()) < 10
    };
    let known = Script(script.0.iter().filter(of_few).cloned().collect());
    assert!(samples(&known, &[], &metrics) == few, "as if nobody had told of them");
}

#[test]
fn versions_far_ahead_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let (dim, hashes, memory_limit) = (DIM, vec![(48, 3)], 1 << 20);
    let config = CatalogueConfig { dim, hashes, max: 1000, version: 2, memory_limit, dir: dir.path().into() };
    let metrics = Metrics::new();
    let catalogue = Arc::new(Catalogue::new(config, None, metrics.clone()));
    let mut kernels = catalogue.config().kernels(&shaders::Device::Cpu, None).unwrap();
    // Somebody writes times for versions, before and between what is meant.
    for version in [1_700_000_000_000, 1, 3, 1_700_000_000_001, 2, 1_700_000_000_002, 4, 1_700_000_000_003] {
        let of = |n: u64| Described { id: format!("i{n}").into(), version, category: "".into(), vector: None };
        catalogue.take(&mut kernels, (0..3).map(of).collect()).unwrap();
    }
    let known: Vec<u64> = catalogue.known().into_keys().collect();
    assert_eq!(known, [1, 2, 3, 1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_002]);
    assert!(metrics.text().contains("wellspring_items_refused_total 6"), "{}", metrics.text());
    // Whatever it is, where it is in force it is read.
    let mut holder = Holder::new(Arc::clone(&catalogue));
    holder.adopt(0, 1_700_000_000_003).unwrap();
    let item = Described { id: "i".into(), version: 1_700_000_000_003, category: "".into(), vector: None };
    catalogue.take(&mut kernels, vec![item]).unwrap();
    assert_eq!(catalogue.known().get(&1_700_000_000_003), Some(&1));
}

#[test]
fn a_version_that_all_have_left_goes_and_comes_back_where_it_is_needed() {
    let broker = Embedded::new(EmbeddedSettings { trims: false, ..EmbeddedSettings::default() });
    broker.create(&[TopicSpec { name: "items".into(), partitions: 1, settings: Vec::new() }]).unwrap();
    let mut dice = Dice(3);
    for version in [1, 2, 3] {
        for id in 0..50 {
            broker.append("items", 0, None, None, Some(&line(&item(id, version, &mut dice)))).unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let memory_limit = 60 * DIM as u64 * 2;
    let config = CatalogueConfig {
        dim: DIM,
        hashes: vec![(48, 3)],
        max: 1000,
        version: 0,
        memory_limit,
        dir: dir.path().into(),
    };
    let catalogue = Arc::new(Catalogue::new(config, None, Metrics::new()));
    let kernels = catalogue.config().kernels(&shaders::Device::Cpu, None).unwrap();
    let mut follower = Follower::new(broker.reader(&["items".into()]).unwrap(), kernels, Arc::clone(&catalogue));
    let stop = Arc::new(AtomicBool::new(false));
    follower.catch_up(&stop).unwrap();
    let known = |versions: &[u64]| versions.iter().map(|version| (*version, 50)).collect::<BTreeMap<_, _>>();
    assert_eq!((catalogue.known(), catalogue.spilled()), (known(&[1, 2, 3]), 90 * DIM as u64 * 2));
    let vectors = |holder: &Holder, task: i32| {
        let items = holder.read(task);
        let rows: Vec<u32> = (0..50).map(|id| items.find(&format!("i{id}")).row.unwrap()).collect();
        let mut gathered = pipeline::encode::items::Gathered::default();
        items.gather(&rows, Some(0), &mut gathered).unwrap();
        (gathered.vectors().flatten().copied().collect::<Vec<i16>>(), gathered.signatures().to_vec())
    };
    let [mut one, mut other] = [(); 2].map(|()| Holder::new(Arc::clone(&catalogue)));
    one.adopt(0, 1).unwrap();
    one.adopt(1, 2).unwrap();
    let before = [vectors(&one, 0), vectors(&one, 1)];
    assert!(before[0] != before[1]);
    let following = follower.follow(Arc::new(broker.clone()), "items".into(), Arc::clone(&stop));
    let wait = |versions: &[u64]| {
        let until = Instant::now() + Duration::from_secs(20);
        while catalogue.known() != known(versions) {
            assert!(Instant::now() < until, "{:?} are known", catalogue.known());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(catalogue.known(), known(&[1, 2, 3]), "a task is in the oldest");
    one.adopt(0, 2).unwrap();
    wait(&[2, 3]);
    assert!(vectors(&one, 0) == before[1] && vectors(&one, 1) == before[1]);
    // A task of another worker, whose log has not come to version 2.
    other.adopt(7, 1).unwrap();
    assert_eq!(catalogue.known(), known(&[1, 2, 3]));
    assert!(vectors(&other, 7) == before[0] && vectors(&one, 1) == before[1]);
    drop(other);
    one.forget(0);
    one.adopt(1, 3).unwrap();
    wait(&[3]);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    following.join().unwrap().unwrap();
    assert_eq!(catalogue.spilled(), 0, "there was room for all of it again");
}

/// Each behavior that is told, with the items before it, the newest first, sorted.
fn told(script: &Script, settings: &[(&str, Value)]) -> Vec<(String, Vec<String>)> {
    let fixed = [
        ("device", "cpu".into()),
        ("candidates.enabled", true.into()),
        ("muse.enabled", true.into()),
        ("items.vectors", "co-occurrence".into()),
    ];
    let dir = tempfile::tempdir().unwrap();
    let sql = dir.path().join("none.sql");
    std::fs::write(&sql, "").unwrap();
    let config = config(&sql, &[&fixed[..], settings].concat());
    let (stop, mut all) = (Arc::new(AtomicBool::new(false)), Vec::new());
    let mut samples = Samples::of(config, Room::Items, &mut script.clone(), Metrics::new(), &stop).unwrap();
    let take = |record: &[u8]| {
        let passages = Passages::read(record).unwrap();
        for (items, told) in passages.iter() {
            let name = |at: usize| passages.names[items[at] as usize].clone();
            for at in items.len() - told..items.len() {
                all.push((name(at), (at.saturating_sub(WINDOW)..at).rev().map(name).collect()));
            }
        }
        Ok::<_, RunError>(())
    };
    samples.pass(take).unwrap();
    all.sort();
    all
}

#[test]
fn what_is_told_of_histories_does_not_depend_on_how_the_log_is_cut() {
    let (events, _) = streams::events(9, 3000, 12);
    let script = Script(events.into_iter().map(|event| ("events", event)).collect());
    for most in [1024, 12, 3] {
        let settings = [("partitions", 2.into()), ("history.max_events", most.into())];
        let cuts: [&[(&str, Value)]; 4] = [
            &[("engine.commit_interval_ms", 1000.into())],
            &[("engine.commit_interval_ms", 1.into()), ("engine.batch_rows", 1.into())],
            &[("engine.commit_interval_ms", 4.into()), ("engine.workers", 2.into())],
            &[("state.memory_limit", "1000B".into()), ("engine.commit_interval_ms", 2.into())],
        ];
        let all = cuts.map(|cut| told(&script, &[&settings[..], cut].concat()));
        assert!(all[0].len() > 2000 && all[0].iter().any(|(_, before)| before.len() == WINDOW.min(most as usize)));
        for (cut, got) in cuts.iter().zip(&all) {
            assert_eq!(got.len(), all[0].len(), "{most} events are kept, {cut:?}");
            let differs = got.iter().zip(&all[0]).find(|(got, want)| got != want);
            assert_eq!(differs, None, "{most} events are kept, {cut:?}");
        }
    }
}

const GROUPS: u64 = 6;

/// Users who look at items of one of several groups, and take what is of it. Nobody says which items are of which.
fn hidden_groups(seed: u64, rounds: u64) -> Script {
    let (mut dice, mut script) = (Dice(seed), Script::default());
    let item = |group: u64, dice: &mut Dice| dice.below(70) * GROUPS + group;
    for n in 0..rounds {
        let user = dice.below(60);
        let (group, user_id, time) = (user % GROUPS, format!("u{user}"), n as i64 * 1000);
        for _ in 0..3 {
            let group = if dice.one_in(8) { dice.below(GROUPS) } else { group };
            let item_id = format!("i{}", item(group, &mut dice));
            let event = json!({"user_id": user_id, "type": "view", "time": time, "item_id": item_id});
            script.0.push(("events", line(&event)));
        }
        let items = [group, dice.below(GROUPS), group, dice.below(GROUPS)].map(|group| item(group, &mut dice));
        let names = items.map(|item| format!("i{item}"));
        let request_id = format!("r{n}");
        let asked = json!({"request_id": request_id, "user_id": user_id, "time": time, "item_ids": names});
        script.0.push(("candidates", line(&asked)));
        for (item, name) in items.iter().zip(&names) {
            let label = u8::from((item % GROUPS == group) != dice.one_in(10));
            let given =
                json!({"user_id": user_id, "time": time, "request_id": request_id, "item_id": name, "label": label});
            script.0.push(("feedback", line(&given)));
        }
    }
    script
}

#[test]
fn vectors_that_are_learned_tell_what_nobody_said() {
    let rounds = 2400;
    for seed in [1, 2] {
        let auc = |vectors: &str| {
            let settings = [
                ("partitions", 2.into()),
                ("device", "cpu".into()),
                ("muse.enabled", true.into()),
                ("sdim.dim", 16.into()),
                ("items.vectors", vectors.into()),
                ("candidates.batch_samples", 64.into()),
                ("candidates.version_steps", 8.into()),
            ];
            let (answers, dead) = hidden_groups(seed, rounds).answers(&settings);
            assert_eq!((answers.len() as u64, dead), (rounds, Vec::new()));
            let mut scored = Vec::new();
            for answer in (rounds * 2 / 3..rounds).map(|n| &answers[&format!("r{n}")]) {
                let user: u64 = answer["user_id"].as_str().unwrap()[1..].parse().unwrap();
                for of in answer["scores"].as_array().unwrap() {
                    let item: u64 = of["item_id"].as_str().unwrap()[1..].parse().unwrap();
                    scored.push((of["muse"].as_f64().expect("a version is in force"), item % GROUPS == user % GROUPS));
                }
            }
            let of = |label: bool| scored.iter().filter(move |(_, of)| *of == label).map(|(p, _)| *p);
            let wins = of(true).map(|p| {
                of(false).map(|q| f64::from(u8::from(p > q)) + f64::from(u8::from(p == q)) / 2.0).sum::<f64>()
            });
            wins.sum::<f64>() / (of(true).count() * of(false).count()) as f64
        };
        let (learned, none) = (auc("co-occurrence"), auc("topic"));
        println!("seed {seed}: AUC {learned:.3} with vectors learned from the log, {none:.3} without vectors");
        assert!(
            learned > 0.8 && learned > none + 0.08,
            "seed {seed}: AUC {learned} with learned vectors, {none} without"
        );
    }
}
