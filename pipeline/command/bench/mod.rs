//! `bench`: measures the service on this machine.
//!
//! # Layout
//! - [`path`]: stage by stage, in this process.
//! - [`scores`]: what candidates cost, part by part.
//! - [`kafka`]: as users run it, a process of its own ([`child`]) beside a real broker; [`latency`]: what they wait for;
//!   [`answers`]: the same of candidates.

mod answers;
mod child;
mod kafka;
mod latency;
mod path;
mod scores;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};

use super::{Failure, Settings};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What is measured
    name: Name,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// path: measures over the Kafka of kafka.brokers too, exactly once, on topics of its own
    #[arg(long)]
    kafka: bool,
    /// Events of each run
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    events: u64,
    /// kafka: events a second whose way is timed
    #[arg(long, value_name = "N", default_value_t = 10_000.0)]
    rate: f64,
    /// answers: requests a second whose way is timed
    #[arg(long, value_name = "N", default_value_t = 200.0)]
    requests: f64,
    /// kafka, answers: for how long
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    seconds: u64,
    /// kafka: users in state when the process is killed and has to come back; 0: it is not killed
    #[arg(long, value_name = "N", default_value_t = 0)]
    recovery_users: u64,
    #[command(flatten)]
    settings: Settings,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// The path of an event from bytes to outputs, over the embedded log
    Path,
    /// A training step and a forecast of 256 users with 64 events each
    #[value(name = "prompt_tpp")]
    PromptTpp,
    /// Scoring 1,000 candidates of one user, part by part, on one thread
    Scores,
    /// The service beside the broker of kafka.brokers: throughput, cost, memory, latency, recovery
    Kafka,
    /// Candidates beside the broker of kafka.brokers: from requests of 500 items to their answers, what they cost
    Answers,
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
            Name::PromptTpp => self.prompt_tpp(&config),
            Name::Scores => self.scores(),
            Name::Kafka => self.service(&config, stop),
            Name::Answers => self.answers(&config, stop),
        }
    }

    fn prompt_tpp(&self, config: &crate::config::Config) -> Result<(), Failure> {
        let device = crate::service::device(config).map_err(Failure::failed)?;
        let timings = shaders::prompt_tpp::bench::bench(&device, 256, 64, 7).map_err(Failure::failed)?;
        let least = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
        let (step_ms, forecast_ms) = (least(&timings.step_ms), least(&timings.forecast_ms));
        if self.json {
            let device = device.name();
            println!("{}", serde_json::json!({ "device": device, "step_ms": step_ms, "forecast_ms": forecast_ms }));
        } else {
            println!("training step {step_ms:.1} ms, forecast {forecast_ms:.1} ms, of 256 users with 64 events each");
        }
        Ok(())
    }

    fn service(&self, config: &crate::config::Config, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let Self { events, rate, seconds, recovery_users, .. } = *self;
        let plan = kafka::Plan { events, pace: latency::Pace { rate, seconds }, recovery_users };
        let mut all = Vec::new();
        for way in kafka::WAYS {
            let figures = kafka::measure(config, way, &plan, stop)?;
            if !self.json {
                kafka::print(&figures);
            }
            all.push(figures);
        }
        if self.json {
            println!("{}", serde_json::json!({ "runs": all }));
        }
        Ok(())
    }
}
