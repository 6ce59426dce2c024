//! `bench answers`: candidates beside a real broker, from the request to the answer as a read-committed reader sees it, with
//! both models in force and a full history of every user.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Bench;
use super::child::{CATCH_UP_MAX, Child};
use super::latency::{self, Latency, Pace, Seen};
use crate::command::{Failure, broker, topics};
use crate::config::Config;
use crate::log::kafka::{KafkaBroker, KafkaFeed};
use crate::metrics::now_ms;
use crate::synthetic::{self, Synthetic, Zipf};

const PARTITIONS: u32 = 12;
/// Users with so many events each.
const USERS: usize = 300;
const EVENTS: usize = 1024;
/// Items, in so many categories, with vectors of this length.
const ITEMS: usize = 20_000;
const CATEGORIES: usize = 100;
const DIM: usize = 64;
/// Items of a request.
const CANDIDATES: usize = 500;
/// Labeled items that the models learn from before anything is measured.
const LESSONS: usize = 4000;
/// Requests that wait on the topic when it is measured how many are answered a second.
const BACKLOG: u64 = 2000;
const COMMIT_INTERVALS_MS: [u64; 2] = [100, 20];

/// What is measured at one commit interval.
#[derive(Debug, Serialize)]
struct Figures {
    commit_interval_ms: u64,
    candidates: usize,
    /// Requests at a steady pace.
    latency: Latency,
    /// Of the service's process while they come, ms of CPU each.
    cpu_ms_per_request: f64,
    /// Answers a second while a backlog is worked off, and ms of CPU each.
    answers_per_second: f64,
    backlog_cpu_ms_per_request: f64,
    peak_memory_mb: u64,
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// Where something fails.
    pub(super) fn answers(&self, config: &Config, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let mut world = World::new(config.clone())?;
        let pace = Pace { rate: self.requests, seconds: self.seconds };
        world.fill(stop)?;
        let mut all = Vec::new();
        for interval_ms in COMMIT_INTERVALS_MS {
            let figures = world.measure(interval_ms, pace, stop)?;
            if !self.json {
                print(&figures);
            }
            all.push(figures);
        }
        if self.json {
            println!("{}", json!({ "runs": all }));
        }
        Ok(())
    }
}

struct World {
    config: Config,
    broker: KafkaBroker,
    /// Holds the snapshots and the log of the service.
    folder: tempfile::TempDir,
    draw: Draw,
}

/// Draws users and items.
struct Draw {
    users: Zipf,
    items: Zipf,
    random: ChaCha8Rng,
    requests: u64,
}

/// Of an answer.
#[derive(Deserialize)]
struct Answer {
    model_versions: std::collections::BTreeMap<String, u64>,
}

impl World {
    fn new(mut config: Config) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("{error}; a folder for the service's files"));
        let folder = tempfile::tempdir().map_err(failed)?;
        config.app = format!("bench-{}-answers", std::process::id());
        config.topics.prefix = format!("{}.", config.app);
        config.topics.partitions = PARTITIONS;
        config.partitions = Some(PARTITIONS);
        config.state.snapshots = Some(format!("file://{}", folder.path().join("snapshots").display()));
        config.history.max_events = EVENTS;
        (config.sdim.enabled, config.sdim.dim, config.muse.enabled) = (true, DIM, true);
        let candidates = &mut config.candidates;
        candidates.enabled = true;
        (candidates.batch_samples, candidates.version_steps, candidates.version_interval_ms) = (256, 4, 0);
        let broker = broker(&config);
        topics::make(&config, &broker)?;
        let draw = Draw { users: Zipf::new(USERS), items: Zipf::new(ITEMS), random: latency::random(7), requests: 0 };
        Ok(Self { config, broker, folder, draw })
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.config.topics.prefix)
    }

    fn start(&self) -> Result<Child, Failure> {
        Child::start(&self.config, self.folder.path())
    }

    /// A catalogue, histories, and models that have learned something.
    fn fill(&mut self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let mut feed = KafkaFeed::open(&self.broker)?;
        let form = synthetic::Settings { items: ITEMS / CATEGORIES, categories: CATEGORIES, ..Default::default() };
        let (catalogue, mut line, topic) = (Synthetic::new(form), Vec::new(), self.topic("items"));
        for item in 0..ITEMS {
            line.clear();
            catalogue.item(item, DIM, &mut line);
            feed.send(&topic, None, Some(format!("i{item}").as_bytes()), Some(&line))?;
        }
        let (topic, begin_ms) = (self.topic("events"), now_ms() - EVENTS as i64 * 1000);
        for n in 0..USERS * EVENTS {
            let (user, item) = (format!("u{}", n % USERS), self.draw.item());
            let time = begin_ms + (n / USERS) as i64 * 1000;
            let line = json!({"user_id": user, "item_id": item, "type": "view", "time": time}).to_string();
            feed.send(&topic, None, Some(user.as_bytes()), Some(line.as_bytes()))?;
        }
        feed.flush()?;
        let mut child = self.start()?;
        child.wait_for_rows((USERS * EVENTS) as u64, stop)?;
        let topic = self.topic("feedback");
        for n in 0..LESSONS {
            let (user, item) = (self.draw.user(), self.draw.item());
            let line =
                json!({"user_id": user, "item_id": item, "label": u8::from(n % 3 == 0), "time": now_ms()}).to_string();
            feed.send(&topic, None, Some(user.as_bytes()), Some(line.as_bytes()))?;
        }
        feed.flush()?;
        self.wait_for_versions(stop)
    }

    /// Until both models have answered; a version is in force in all partitions at about the same time.
    fn wait_for_versions(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        let mut seen = Seen::open(&self.broker, &self.topic("scores"))?;
        let (mut feed, topic) = (KafkaFeed::open(&self.broker)?, self.topic("candidates"));
        let (until, mut by_both) = (Instant::now() + CATCH_UP_MAX, HashSet::new());
        while by_both.len() < PARTITIONS as usize {
            if Instant::now() > until || stop.load(Ordering::Relaxed) {
                return Err(Failure::failed(format!("both models answer in {} partitions only", by_both.len())));
            }
            for _ in 0..PARTITIONS {
                self.draw.ask(&mut feed, &topic)?;
            }
            feed.flush()?;
            let polled = Instant::now();
            while polled.elapsed() < Duration::from_secs(1) {
                seen.poll(&mut |record| {
                    let answer = record.value.and_then(|value| serde_json::from_slice::<Answer>(value).ok());
                    by_both.extend(answer.filter(|answer| answer.model_versions.len() == 2).map(|_| record.partition));
                })?;
            }
        }
        Ok(())
    }

    fn measure(&mut self, interval_ms: u64, pace: Pace, stop: &Arc<AtomicBool>) -> Result<Figures, Failure> {
        self.config.engine.commit_interval_ms = interval_ms;
        let mut child = self.start()?;
        self.wait_for_versions(stop)?;
        let (output, topic) = (self.topic("scores"), self.topic("candidates"));
        let before = child.usage()?;
        let Self { draw, broker, .. } = &mut *self;
        let latency = latency::measure(broker, &output, pace, |feed, _| draw.ask(feed, &topic), stop)?;
        let after = child.usage()?;
        let (answers_per_second, backlog_cpu_ms_per_request) = self.backlog(&mut child, stop)?;
        Ok(Figures {
            commit_interval_ms: interval_ms,
            candidates: CANDIDATES,
            cpu_ms_per_request: (after.cpu - before.cpu).as_secs_f64() * 1e3 / latency.seen as f64,
            latency,
            answers_per_second,
            backlog_cpu_ms_per_request,
            peak_memory_mb: child.usage()?.peak_bytes >> 20,
        })
    }

    /// Many requests at once: answers a second, and ms of CPU each.
    fn backlog(&mut self, child: &mut Child, stop: &AtomicBool) -> Result<(f64, f64), Failure> {
        let mut seen = Seen::open(&self.broker, &self.topic("scores"))?;
        let (mut feed, topic) = (KafkaFeed::open(&self.broker)?, self.topic("candidates"));
        let (before, begun, mut answers) = (child.usage()?, Instant::now(), 0);
        for _ in 0..BACKLOG {
            self.draw.ask(&mut feed, &topic)?;
        }
        feed.flush()?;
        while answers < BACKLOG {
            seen.poll(&mut |_| answers += 1)?;
            if begun.elapsed() > CATCH_UP_MAX || stop.load(Ordering::Relaxed) {
                return Err(Failure::failed(format!("stopped at {answers} of {BACKLOG} answers")));
            }
        }
        let (took, cpu) = (begun.elapsed().as_secs_f64(), child.usage()?.cpu - before.cpu);
        Ok((BACKLOG as f64 / took, cpu.as_secs_f64() * 1e3 / BACKLOG as f64))
    }
}

impl Draw {
    fn user(&mut self) -> String {
        format!("u{}", self.users.draw(&mut self.random))
    }

    fn item(&mut self) -> String {
        format!("i{}", self.items.draw(&mut self.random))
    }

    /// Sends a request.
    fn ask(&mut self, feed: &mut KafkaFeed, topic: &str) -> Result<(), Failure> {
        self.requests += 1;
        let (user, items) = (self.user(), (0..CANDIDATES).map(|_| self.item()).collect::<Vec<_>>());
        let request_id = format!("r{}", self.requests);
        let asked = json!({"request_id": request_id, "user_id": user, "time": now_ms(), "item_ids": items});
        Ok(feed.send(topic, None, Some(user.as_bytes()), Some(asked.to_string().as_bytes()))?)
    }
}

fn print(figures: &Figures) {
    let Figures { commit_interval_ms, candidates, latency, cpu_ms_per_request, answers_per_second, .. } = figures;
    println!(
        "commits every {commit_interval_ms} ms, {:.0} requests/s of {candidates} items: answers seen after {:.0} ms (p50), \
         {:.0} ms (p99), {cpu_ms_per_request:.2} ms of CPU each",
        latency.sent_per_second, latency.p50_ms, latency.p99_ms
    );
    println!(
        "  a backlog: {answers_per_second:.0} answers/s, {:.2} ms of CPU each; {} MB at most",
        figures.backlog_cpu_ms_per_request, figures.peak_memory_mb
    );
}
