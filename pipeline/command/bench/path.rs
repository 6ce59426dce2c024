//! `bench path`: the path of an event from bytes to outputs, over the embedded log, all in this process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Bench;
use crate::command::{Failure, broker, topics};
use crate::config::{Config, Emit, ItemVectors};
use crate::decode::decode_event;
use crate::log::Broker;
use crate::log::kafka::KafkaFeed;
use crate::metrics::{Metrics, Work};
use crate::run::generated::Generated;
use crate::run::{self, Summary};
use crate::service;
use crate::synthetic::{self, Synthetic};

/// The figures of one run.
#[derive(Debug, Serialize)]
struct Figures {
    name: &'static str,
    events: u64,
    events_per_second: f64,
    /// CPU seconds (user and system, the whole process) per million events, which is µs per event.
    cpu_seconds_per_million: f64,
    /// The same by what was done, of the worker threads.
    by_work: Vec<(&'static str, f64)>,
    /// Records out; over Kafka they are not counted.
    outputs: Option<u64>,
}

impl Bench {
    /// Measures the path and prints.
    ///
    /// # Errors
    /// Where something is wrong with the settings, or fails.
    pub(super) fn path(&self, config: Config, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let dir = tempfile::tempdir().map_err(|error| Failure::failed(format!("{error}; a folder for outputs")))?;
        let mut base = config;
        base.partitions = base.partitions.or(Some(12));
        base.sdim.enabled = false;
        base.sdim.items = ItemVectors::Topic;
        let with = |change: &dyn Fn(&mut Config)| {
            let mut config = base.clone();
            change(&mut config);
            config
        };
        let runs = [
            ("embedded", with(&|_| {})),
            ("embedded_sdim", with(&|config| config.sdim.enabled = true)),
            ("embedded_emit_event", with(&|config| config.views.emit = Emit::Event)),
        ];
        let decode = decode_alone(self.events, &base);
        let mut all = Vec::new();
        for (name, config) in runs {
            let figures = self.embedded(name, config, dir.path(), stop)?;
            if !self.json {
                print(&figures);
            }
            all.push(figures);
        }
        if self.kafka {
            let figures = self.kafka("kafka", base, stop)?;
            if !self.json {
                print(&figures);
            }
            all.push(figures);
        }
        if self.json {
            let figures = serde_json::json!({ "decode_alone_cpu_seconds_per_million": decode, "runs": all });
            println!("{figures}");
        } else {
            println!("decode alone: {decode:.2} µs per event");
        }
        Ok(())
    }

    fn embedded(
        &self,
        name: &'static str,
        config: Config,
        dir: &Path,
        stop: &Arc<AtomicBool>,
    ) -> Result<Figures, Failure> {
        let dim = config.sdim.enabled.then_some(config.sdim.dim);
        let mut feed = Generated::new(Synthetic::new(world()), self.events, dim);
        let metrics = Metrics::new();
        let (before, started) = (process_cpu(), Instant::now());
        let summary: Summary = run::run(config, &mut feed, &dir.join(name), metrics.clone(), stop)?;
        let (cpu, wall) = (process_cpu() - before, started.elapsed());
        Ok(self.figures(name, cpu, wall, &metrics, Some(summary.outputs.values().sum())))
    }

    /// From the start of the service, the events waiting on their topic, until all their rows are committed.
    fn kafka(&self, name: &'static str, mut config: Config, stop: &Arc<AtomicBool>) -> Result<Figures, Failure> {
        config.app = format!("bench-{}", std::process::id());
        config.topics.prefix = format!("{}.", config.app);
        let broker = Arc::new(broker(&config));
        topics::make(&config, broker.as_ref())?;
        let mut feed = KafkaFeed::open(&broker)?;
        let broker: Arc<dyn Broker> = broker;
        let (mut world, mut line) = (Synthetic::new(world()), Vec::new());
        let events = format!("{}events", config.topics.prefix);
        for event in 0..self.events {
            line.clear();
            world.event(&mut line);
            feed.send(&events, Some((event % u64::from(config.topics.partitions)) as i32), None, Some(&line))?;
        }
        feed.flush()?;
        let (metrics, ending) = (Metrics::new(), Arc::new(AtomicBool::new(false)));
        let (before, started) = (process_cpu(), Instant::now());
        let (served, cpu, wall) = std::thread::scope(|scope| {
            let serving = scope.spawn(|| service::serve(config, &broker, metrics.clone(), &ending));
            while !serving.is_finished() && !stop.load(Ordering::Relaxed) && !self.is_over(&metrics) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let (cpu, wall) = (process_cpu() - before, started.elapsed());
            ending.store(true, Ordering::Relaxed);
            (serving.join(), cpu, wall)
        });
        served.map_err(|_| Failure::failed("the service panicked; see the lines above"))??;
        Ok(self.figures(name, cpu, wall, &metrics, None))
    }

    /// Whether every event was routed, and every row of it folded and committed.
    fn is_over(&self, metrics: &Metrics) -> bool {
        let (routed, folded) = metrics.rows();
        routed >= self.events && routed == folded
    }

    fn figures(
        &self,
        name: &'static str,
        cpu: Duration,
        wall: Duration,
        metrics: &Metrics,
        outputs: Option<u64>,
    ) -> Figures {
        let per_million = |time: Duration| time.as_secs_f64() * 1e6 / self.events as f64;
        Figures {
            name,
            events: self.events,
            events_per_second: self.events as f64 / wall.as_secs_f64(),
            cpu_seconds_per_million: per_million(cpu),
            by_work: Work::ALL.iter().map(|&work| (work.name(), per_million(metrics.spent(work)))).collect(),
            outputs,
        }
    }
}

fn world() -> synthetic::Settings {
    synthetic::Settings { users: 50_000, ..Default::default() }
}

/// CPU µs per event of decoding the same lines, and nothing else.
fn decode_alone(events: u64, config: &Config) -> f64 {
    let columns = config.event_columns();
    let mut world = Synthetic::new(world());
    let lines: Vec<Vec<u8>> = (0..events.min(100_000))
        .map(|_| {
            let mut line = Vec::new();
            world.event(&mut line);
            line
        })
        .collect();
    let before = process_cpu();
    let decoded = lines.iter().filter(|line| decode_event(line, &columns).is_ok()).count();
    assert_eq!(decoded, lines.len(), "synthetic events are no dead letters");
    (process_cpu() - before).as_secs_f64() * 1e6 / lines.len() as f64
}

fn process_cpu() -> Duration {
    crate::metrics::cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn print(figures: &Figures) {
    println!(
        "{}: {:.0} events/s, {:.2} µs of CPU per event",
        figures.name, figures.events_per_second, figures.cpu_seconds_per_million
    );
    if let Some(outputs) = figures.outputs {
        println!("  {outputs} records out");
    }
    for (work, time) in &figures.by_work {
        println!("  {work:8} {time:6.2} µs");
    }
}
