//! `bench kafka`: the service as its users run it, a process of its own beside a real broker: what an event costs, how long
//! it takes to be seen, how long a killed process takes to come back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::child::{CATCH_UP_MAX, Child};
use super::latency::{self, Latency, Pace};
use crate::command::{Failure, broker, topics};
use crate::config::{Config, Emit, Route};
use crate::log::kafka::{KafkaBroker, KafkaFeed};
use crate::metrics::now_ms;
use crate::synthetic::Zipf;

/// Users of the stream, drawn by Zipf.
const USERS: usize = 45_396;
/// Partitions of every topic.
const PARTITIONS: u32 = 12;
/// Items and types of the stream.
const ITEMS: usize = 10_000;
const TYPES: usize = 4;
/// Steady state begins when a tenth is done: the costs before are those of starting.
const WARM: u64 = 10;
const VIEW: &str = "CREATE VIEW bench AS SELECT user_id, count(*) AS n, \
    count(*) FILTER (WHERE type = '0') AS t0, count(*) FILTER (WHERE type = '1') AS t1, \
    count(*) FILTER (WHERE type = '2') AS t2, count(*) FILTER (WHERE type = '3') AS t3, \
    sum(exp(-age_ms / 6e5)) AS decayed, count(DISTINCT item_id) AS items FROM events GROUP BY user_id, latest(64);";

/// What is measured of one way to run it.
#[derive(Debug, Serialize)]
pub struct Figures {
    name: String,
    events: u64,
    events_per_second: f64,
    /// Of the service's process, µs of CPU per event in steady state.
    cpu_us_per_event: f64,
    peak_memory_mb: u64,
    latency: Latency,
    /// From the start of a process, after a kill with all users in state, to the first new event seen.
    recovery_s: Option<f64>,
}

/// A way to run it: how events come, and how often values go.
pub type Way = (Route, Emit);

/// All ways.
pub const WAYS: [Way; 4] = [
    (Route::ByUser, Emit::Event),
    (Route::ByUser, Emit::Batch),
    (Route::Direct, Emit::Event),
    (Route::Direct, Emit::Batch),
];

/// Measures one way.
///
/// # Errors
/// Where something fails.
pub fn measure(config: &Config, way: Way, plan: &Plan, stop: &Arc<AtomicBool>) -> Result<Figures, Failure> {
    let mut config = config.clone();
    (config.route, config.views.emit) = way;
    Bench::new(config)?.run(plan, stop)
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Events that wait on the topic.
    pub events: u64,
    /// Of the events whose way is timed.
    pub pace: Pace,
    /// Users in state when the process is killed; 0: it is not.
    pub recovery_users: u64,
}

struct Bench {
    config: Config,
    broker: KafkaBroker,
    /// Holds the view, the snapshots and the log of the service.
    folder: tempfile::TempDir,
    events: String,
}

impl Bench {
    fn new(mut config: Config) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("{error}; a folder for the service's files"));
        let folder = tempfile::tempdir().map_err(failed)?;
        let view = folder.path().join("view.sql");
        std::fs::write(&view, VIEW).map_err(failed)?;
        let way = format!("{}-{}", name(config.route), name(config.views.emit));
        config.app = format!("bench-{}-{way}", std::process::id());
        config.topics.prefix = format!("{}.", config.app);
        config.topics.partitions = PARTITIONS;
        config.partitions = Some(PARTITIONS);
        config.views.file = Some(view);
        config.sdim.enabled = false;
        // What the view needs.
        config.history.max_events = 64;
        config.state.snapshots = Some(format!("file://{}", folder.path().join("snapshots").display()));
        config.state.snapshot_interval_ms = 5_000;
        let broker = broker(&config);
        topics::make(&config, &broker)?;
        let events = format!("{}events", config.topics.prefix);
        Ok(Self { config, broker, folder, events })
    }

    fn run(self, plan: &Plan, stop: &Arc<AtomicBool>) -> Result<Figures, Failure> {
        self.fill(plan.events)?;
        let mut child = self.start()?;
        let begun = Instant::now();
        let warm = child.wait_for_rows(plan.events / WARM, stop)?;
        let warm_at = begun.elapsed();
        let done = child.wait_for_rows(plan.events, stop)?;
        let steady = (plan.events - warm.folded.min(plan.events)) as f64;
        let took = (begun.elapsed() - warm_at).as_secs_f64();
        let latency = self.latency(plan.pace, stop)?;
        let mut figures = Figures {
            name: format!("{} {}", name(self.config.route), name(self.config.views.emit)),
            events: plan.events,
            events_per_second: steady / took,
            cpu_us_per_event: (done.cpu - warm.cpu).as_secs_f64() * 1e6 / steady,
            peak_memory_mb: child.usage()?.peak_bytes >> 20,
            latency,
            recovery_s: None,
        };
        if plan.recovery_users > 0 {
            figures.recovery_s = Some(self.recovery(child, plan, stop)?.as_secs_f64());
        }
        Ok(figures)
    }

    fn latency(&self, pace: Pace, stop: &Arc<AtomicBool>) -> Result<Latency, Failure> {
        let (zipf, mut random) = (Zipf::new(USERS), latency::random(11));
        let send = |feed: &mut KafkaFeed, n: u64| {
            let user = zipf.draw(&mut random).to_string();
            let line = format!(r#"{{"user_id":{user},"item_id":{},"type":{},"time":{}}}"#, n % 997, n % 4, now_ms());
            Ok(feed.send(&self.events, None, Some(user.as_bytes()), Some(line.as_bytes()))?)
        };
        latency::measure(&self.broker, &self.output(), pace, send, stop)
    }

    fn output(&self) -> String {
        format!("{}features.bench", self.config.topics.prefix)
    }

    fn start(&self) -> Result<Child, Failure> {
        Child::start(&self.config, self.folder.path())
    }

    /// Puts events of Zipf users on the topic, keyed by user.
    fn fill(&self, events: u64) -> Result<(), Failure> {
        let (users, items) = (Zipf::new(USERS), Zipf::new(ITEMS));
        let mut random = latency::random(7);
        let mut feed = KafkaFeed::open(&self.broker)?;
        let start_ms = now_ms() - events as i64 * 20;
        for n in 0..events {
            let (user, item) = (users.draw(&mut random), items.draw(&mut random));
            let time = start_ms + n as i64 * 20;
            let kind = n as usize * 7919 % TYPES;
            let line = format!(r#"{{"user_id":{user},"item_id":{item},"type":{kind},"time":{time}}}"#);
            feed.send(&self.events, None, Some(user.to_string().as_bytes()), Some(line.as_bytes()))?;
        }
        Ok(feed.flush()?)
    }

    /// One event of each of many more users; when they are in snapshots the process is killed, and another started.
    fn recovery(&self, mut child: Child, plan: &Plan, stop: &Arc<AtomicBool>) -> Result<Duration, Failure> {
        let before = child.usage()?.folded;
        let mut feed = KafkaFeed::open(&self.broker)?;
        for user in 0..plan.recovery_users {
            let user = format!("r{user}");
            let line = format!(r#"{{"user_id":"{user}","type":0,"time":{}}}"#, now_ms());
            feed.send(&self.events, None, Some(user.as_bytes()), Some(line.as_bytes()))?;
        }
        feed.flush()?;
        child.wait_for_rows(before + plan.recovery_users, stop)?;
        let snapshots = child.snapshots()?;
        while child.snapshots()? < snapshots + 2 * u64::from(PARTITIONS) {
            std::thread::sleep(Duration::from_millis(100));
        }
        child.kill();
        let mut seen = latency::Seen::open(&self.broker, &self.output())?;
        let line = format!(r#"{{"user_id":"r0","type":1,"time":{}}}"#, now_ms());
        feed.send(&self.events, None, Some(b"r0"), Some(line.as_bytes()))?;
        feed.flush()?;
        let begun = Instant::now();
        let _child = self.start()?;
        seen.wait_for("r0", CATCH_UP_MAX)?;
        Ok(begun.elapsed())
    }
}

fn name(setting: impl Serialize) -> String {
    serde_json::to_value(setting).ok().and_then(|value| value.as_str().map(String::from)).unwrap_or_default()
}

/// Shows the figures to people.
pub fn print(figures: &Figures) {
    let Figures { name, events_per_second, cpu_us_per_event, peak_memory_mb, latency, recovery_s, .. } = figures;
    println!(
        "{name}: {events_per_second:.0} events/s, {cpu_us_per_event:.1} µs of CPU per event, {peak_memory_mb} MB at most, \
         seen after {:.0} ms (p50), {:.0} ms (p99) at {:.0} events/s",
        latency.p50_ms, latency.p99_ms, latency.sent_per_second
    );
    if let Some(seconds) = recovery_s {
        println!("  back {seconds:.1} s after a kill");
    }
}
