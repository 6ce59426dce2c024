//! The whole service on a real Kafka: what comes out is what a run over files gives, also when a process is killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pipeline::log::kafka::{KafkaBroker, KafkaFeed};
use pipeline::log::{Broker, Reader, TopicPartition};
use serde_json::Value;

use crate::broker::{brokers, unique};
use crate::path::{Lines, VIEWS, outputs};
use crate::streams;

const TOPICS: [&str; 6] = ["clicks_1m", "activity", "visits", "last_hour", "last_five", "ever"];
/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(180);

/// A `wellspring serve` that is killed when the test ends.
pub struct Service {
    process: Child,
    /// What it writes on standard error.
    log: PathBuf,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let said = self.said();
            let tail: Vec<&str> = said.lines().rev().take(40).collect();
            eprintln!("--- {}\n{}", self.log.display(), tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

impl Service {
    #[expect(unsafe_code, reason = "the standard library sends no signals but SIGKILL")]
    pub fn signal(&self, signal: i32) {
        // SAFETY: it is a child of this process that nobody has waited for.
        let sent = unsafe { libc::kill(self.process.id() as i32, signal) };
        assert_eq!(sent, 0);
    }

    /// SIGTERM: it ends by itself, soon, with status 0.
    pub fn stop(mut self) {
        let started = Instant::now();
        self.signal(libc::SIGTERM);
        let status = self.process.wait().unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(started.elapsed() < Duration::from_secs(8), "it took {:?}", started.elapsed());
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Until it says `what`.
    pub fn wait_for(&mut self, what: &str) {
        let started = Instant::now();
        while !self.said().contains(what) {
            assert_eq!(self.process.try_wait().unwrap(), None, "it ended before it said {what:?}");
            assert!(started.elapsed() < LIMIT, "it does not say {what:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// It ends by itself with status 1; gives its last line.
    pub fn fails(mut self) -> String {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < LIMIT, "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(status.code(), Some(1));
        self.said().lines().last().unwrap_or_default().into()
    }
}

pub struct World {
    pub app: String,
    dir: PathBuf,
    sql: String,
    snapshots: String,
    /// Further settings.
    pub settings: Vec<(String, String)>,
    /// Where the cluster is, and what it asks for.
    pub brokers: String,
    pub properties: BTreeMap<String, String>,
}

impl World {
    /// An application of these views whose files are in `dir`.
    pub fn new(dir: &tempfile::TempDir, app: String, views: &str) -> Self {
        let sql = dir.path().join("views.sql");
        std::fs::write(&sql, views).unwrap();
        let snapshots = format!("file://{}/snapshots", dir.path().display());
        Self {
            app,
            dir: dir.path().into(),
            sql: sql.to_str().unwrap().into(),
            snapshots,
            settings: Vec::new(),
            brokers: brokers().into(),
            properties: BTreeMap::new(),
        }
    }

    pub fn cluster(&self) -> KafkaBroker {
        KafkaBroker::new(&self.brokers, &self.properties)
    }

    /// `topics create`, which `topics check` then finds well.
    pub fn create_topics(&self) {
        for action in ["create", "check"] {
            let status = self.command(&["topics", action], "t").stdout(Stdio::null()).status();
            assert!(status.unwrap().success(), "topics {action}");
        }
    }

    /// Sends lines to an input.
    pub fn send_to(&self, input: &str, lines: &[Vec<u8>]) {
        self.send_slowly(input, lines, Duration::ZERO);
    }

    /// Sends lines to an input, evenly over a time.
    pub fn send_slowly(&self, input: &str, lines: &[Vec<u8>], over: Duration) {
        self.send(input, lines, 0..3, over);
    }

    /// Sends lines to these partitions of an input in turn, evenly over a time.
    pub fn send(&self, input: &str, lines: &[Vec<u8>], partitions: Range<i32>, over: Duration) {
        let mut feed = KafkaFeed::open(&self.cluster()).unwrap();
        let (topic, begun) = (self.topic(input), Instant::now());
        for ((n, line), partition) in lines.iter().enumerate().zip(partitions.cycle()) {
            let due = begun + over * n as u32 / lines.len() as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let key = format!("{n}");
            feed.send(&topic, Some(partition), Some(key.as_bytes()), Some(line)).unwrap();
        }
        feed.flush().unwrap();
    }

    pub fn command(&self, arguments: &[&str], instance: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
        command.args(arguments).stdin(Stdio::null());
        let settings = [
            ("app", self.app.as_str()),
            ("topics.prefix", &format!("{}.", self.app)),
            ("topics.partitions", "3"),
            ("kafka.brokers", &self.brokers),
            ("partitions", "4"),
            ("views.file", &self.sql),
            ("instance", instance),
            ("http.listen", "off"),
            ("engine.commit_interval_ms", "50"),
            ("engine.workers", "2"),
            ("events.out_of_orderness_ms", "100000000"),
            ("events.dedupe_ids", "10000"),
            ("sdim.enabled", "true"),
            ("sdim.dim", "16"),
            ("device", "cpu"),
            ("kafka.properties.session.timeout.ms", "6000"),
            ("state.snapshots", &self.snapshots),
            ("state.snapshot_interval_ms", "400"),
        ];
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        for (key, value) in &self.properties {
            command.arg("--set").arg(format!("kafka.properties.{key}={value}"));
        }
        command
    }

    pub fn serve(&self, instance: &str) -> Service {
        self.serve_with(instance, &[])
    }

    /// With further arguments.
    pub fn serve_with(&self, instance: &str, arguments: &[&str]) -> Service {
        let log = self.dir.join(unique(instance)).with_extension("log");
        let mut command = self.command(&["serve"], instance);
        command.args(arguments).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Service { process: command.spawn().unwrap(), log }
    }

    /// Until the log is trimmed somewhere: then there are three snapshots of a partition.
    pub fn wait_for_snapshots(&self) {
        let broker = self.cluster();
        let mut log = broker.open(&format!("{}.look", self.app), "look", &[self.by_user()]).unwrap();
        let by_user = |partition| TopicPartition { topic: self.by_user().into(), partition };
        let started = Instant::now();
        while (0..4).all(|partition| log.watermarks(&by_user(partition)).unwrap().0 == 0) {
            assert!(started.elapsed() < LIMIT, "no log is trimmed");
            let end = br#"{"user_id":"the-end","type":"end","time":1}"#.to_vec();
            self.send_to("events", &[end]);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Ends the stream, and holds what comes out against `expected`: each window once, nothing missing.
    pub fn check(&self, expected: &Seen) {
        let end = br#"{"user_id":"the-end","type":"end","time":1900000000000}"#.to_vec();
        self.send_to("events", &[end.clone(), end.clone(), end]);
        let seen = read(self, expected);
        assert_eq!(seen.twice, [""; 0]);
        let missing = expected.records.iter().find(|(key, value)| seen.records.get(*key) != Some(value));
        assert_eq!(missing.map(|(key, value)| (key, value, seen.records.get(key))), None);
        assert_eq!(seen.records.len(), expected.records.len());
    }

    fn by_user(&self) -> String {
        format!("{}.by-user", self.app)
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.app)
    }
}

/// Keys of windows with their values, and the newest value of each user; a window that comes twice is an error.
#[derive(Default)]
pub struct Seen {
    records: BTreeMap<(String, String), Value>,
    twice: Vec<String>,
}

impl Seen {
    fn take(&mut self, view: &str, value: Value) {
        let of = |name: &str| value.get(name).map(Value::to_string).unwrap_or_default();
        let key = format!("{} {}", of("user_id"), of("window_start"));
        let is_window = value.get("window_start").is_some();
        let kept = value.as_object().unwrap().iter().filter(|(name, _)| *name != "source");
        let kept: serde_json::Map<_, _> = kept.map(|(name, value)| (name.clone(), rounded(value))).collect();
        let old = self.records.insert((view.into(), key.clone()), kept.into());
        if is_window && old.is_some() {
            self.twice.push(format!("{view} {key}"));
        }
    }
}

/// Floats to nine digits: additions may come in another order.
fn rounded(value: &Value) -> Value {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(float) => format!("{float:.8e}").into(),
        None => value.clone(),
    }
}

fn read(world: &World, expected: &Seen) -> Seen {
    let mut seen = Seen::default();
    let topics: Vec<String> = TOPICS.iter().map(|view| world.topic(&format!("features.{view}"))).collect();
    let mut reader: Box<dyn Reader> = world.cluster().reader(&topics).unwrap();
    let started = Instant::now();
    let prefix = world.topic("features.");
    while seen.records != expected.records && started.elapsed() < LIMIT {
        reader
            .poll(Duration::from_millis(200), &mut |record| {
                let view = record.topic.strip_prefix(prefix.as_str()).unwrap();
                let value: Value = serde_json::from_slice(record.value.unwrap()).unwrap();
                if value["user_id"] != "the-end" {
                    seen.take(view, value);
                }
            })
            .unwrap();
    }
    seen
}

/// Lines of events, and what a run over files makes of them.
pub fn lines_and_outcome(seed: u64, count: usize) -> (Vec<Vec<u8>>, Seen) {
    let (lines, _) = streams::events(seed, count, 50);
    let settings = [("events.out_of_orderness_ms", 100_000_000.into()), ("events.dedupe_ids", 10_000.into())];
    let mut expected = Seen::default();
    let (_, files) = outputs(&mut Lines { events: vec![lines.clone()], items: Vec::new() }, &settings, VIEWS);
    for view in TOPICS {
        files[&format!("features.{view}")].iter().for_each(|value| expected.take(view, value.clone()));
    }
    expected.twice.clear();
    (lines, expected)
}

/// What happens to one of two processes in the middle.
#[derive(PartialEq)]
enum Restart {
    None,
    Kill,
    Stop,
}

fn prove(how: Restart) {
    prove_with(how, &[]);
}

fn prove_with(how: Restart, settings: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("service"), VIEWS);
    world.settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    world.create_topics();

    let (lines, expected) = lines_and_outcome(21, 4000);

    let mut services = vec![world.serve("a"), world.serve("b")];
    let (first, second) = lines.split_at(2000);
    world.send_to("events", first);
    if how != Restart::None {
        world.wait_for_snapshots();
        let service = services.remove(0);
        match how {
            Restart::Kill => drop(service),
            _ => service.stop(),
        }
        world.send_to("events", second);
        services.push(world.serve("a"));
    } else {
        world.send_to("events", second);
    }
    world.check(&expected);
}

#[test]
fn what_comes_out_of_kafka_is_what_a_run_gives() {
    prove(Restart::None);
}

#[test]
fn a_killed_process_loses_nothing_and_repeats_nothing() {
    prove(Restart::Kill);
}

#[test]
fn a_process_that_is_stopped_ends_well_and_goes_on_from_its_snapshots() {
    prove(Restart::Stop);
}

#[test]
fn the_newer_group_protocol_loses_nothing_and_repeats_nothing() {
    prove_with(Restart::Kill, &[("kafka.properties.group.protocol", "consumer")]);
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&dir, unique("signal"), VIEWS);
    world.create_topics();
    let mut service = world.serve("a");
    service.wait_for("running");
    service.signal(libc::SIGTERM);
    service.wait_for("a second signal ends at once");
    service.signal(libc::SIGINT);
    assert_eq!(service.process.wait().unwrap().code(), Some(130));
}
