//! `bench`: measures the service on this machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Failure, Settings};
use crate::config::{Config, Emit, ItemVectors};
use crate::decode::decode_event;
use crate::metrics::{Metrics, Work};
use crate::run::generated::Generated;
use crate::run::{self, Summary};
use crate::synthetic::{self, Synthetic};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What is measured
    name: Name,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// Events of each run
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    events: u64,
    #[command(flatten)]
    settings: Settings,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// The path of an event from bytes to outputs, over the embedded log
    Path,
}

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
    outputs: u64,
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// Where something is wrong with the settings, or fails.
    pub fn run(self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let config = self.settings.load()?;
        match self.name {
            Name::Path => self.path(config, stop),
        }
    }

    fn path(&self, config: Config, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
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
        let mut feed = Generated::new(world(), self.events, dim);
        let metrics = Metrics::new();
        let (before, started) = (process_cpu(), Instant::now());
        let summary: Summary = run::run(config, &mut feed, &dir.join(name), metrics.clone(), stop)?;
        let (cpu, wall) = (process_cpu() - before, started.elapsed());
        let per_million = |time: Duration| time.as_secs_f64() * 1e6 / self.events as f64;
        Ok(Figures {
            name,
            events: self.events,
            events_per_second: self.events as f64 / wall.as_secs_f64(),
            cpu_seconds_per_million: per_million(cpu),
            by_work: Work::ALL.iter().map(|&work| (work.name(), per_million(metrics.spent(work)))).collect(),
            outputs: summary.outputs.values().sum(),
        })
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
        "{}: {:.0} events/s, {:.2} µs of CPU per event, {} records out",
        figures.name, figures.events_per_second, figures.cpu_seconds_per_million, figures.outputs
    );
    for (work, time) in &figures.by_work {
        println!("  {work:8} {time:6.2} µs");
    }
}
