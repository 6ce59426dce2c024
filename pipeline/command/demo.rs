//! `demo`: synthetic users with known truth through the service, with the local page.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;

use schemas::event::ColumnType;

use super::replay::positive;
use super::{Failure, Settings};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::metrics::curve::TRUTH_COLUMN;
use crate::run::generated::Generated;
use crate::run::paced::Paced;
use crate::run::progress::Watched;
use crate::run::{self, RunError, Summary};
use crate::synthetic::regimes::Regimes;
use crate::{http, synthetic};

/// The views of the demo, where the settings name no file.
const VIEWS: &str = include_str!("../../features.sql");
/// Of each output so many records are shown.
const SHOWN_CHARS: usize = 160;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Events to run; their regime changes after one and two thirds of them
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    events: u64,
    /// Events per second; without it, as fast as they are taken
    #[arg(long, value_name = "N", value_parser = positive)]
    rate: Option<f64>,
    /// Keeps the page, and what is known of the users, after the last event, until a signal
    #[arg(long)]
    stay: bool,
    /// Synthetic users
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = users)]
    users: u32,
    /// Decides everything that is drawn
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// The folder that outputs are written to
    #[arg(long, value_name = "DIR", default_value = "wellspring-demo")]
    output: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

fn users(text: &str) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|number| (2..=1_000_000).contains(number));
    number.ok_or_else(|| "a number from 2 to 1000000 is wanted".into())
}

impl Demo {
    /// Runs to the end of `--events`, or until a signal; says where the outputs lie and shows a few.
    ///
    /// # Errors
    /// Where something is wrong with the settings, or fails.
    pub fn run(self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let mut config = self.settings.load()?;
        if config.views.file.is_none() {
            config.views.file = Some(write_views(&self.output)?);
        }
        let columns = &mut config.events.columns;
        if !columns.iter().any(|(name, _)| name == TRUTH_COLUMN) {
            columns.push((TRUTH_COLUMN.into(), ColumnType::Float64));
        }
        let metrics = Metrics::new();
        let page = http::start(&config, metrics.clone()).map_err(|error| tracing::warn!("no local page: {error}"));
        if let Ok(Some(page)) = &page {
            eprintln!("{} users; page on http://{}/", self.users, page.address);
        }
        let feed = self.feed(&config, &metrics);
        let mut feed = Paced::new(Watched::new(feed, Some(self.events)), self.rate, self.stay, stop);
        let summary = match run::run(config, &mut feed, &self.output, metrics, stop) {
            Err(RunError::Stopped) if self.stay => {
                eprintln!("stopped; what was done by then is in {}", self.output.display());
                return Ok(());
            }
            summary => summary?,
        };
        show(&summary, &self.output);
        println!("{}", serde_json::to_string(&summary).expect("a summary becomes JSON"));
        Ok(())
    }

    /// The synthetic users; the page is told when their regime changes.
    fn feed(&self, config: &Config, metrics: &Metrics) -> Generated<Regimes> {
        let world = synthetic::Settings { seed: self.seed, users: self.users as usize, ..Default::default() };
        let told = metrics.clone();
        let world = Regimes::new(world, self.events, Box::new(move |time, name| told.learning().mark(time, name)));
        Generated::new(world, self.events, config.sdim.enabled.then_some(config.sdim.dim))
    }
}

fn write_views(output: &Path) -> Result<PathBuf, Failure> {
    let path = output.join("features.sql");
    let written = fs::create_dir_all(output).and_then(|()| fs::write(&path, VIEWS));
    match written {
        Ok(()) => Ok(path),
        Err(error) => Err(Failure::failed(format!("{error}; {}; choose another --output", path.display()))),
    }
}

/// The last record of each output, shortened.
fn show(summary: &Summary, output: &Path) {
    eprintln!("{:.1} s for {} records; outputs in {}:", summary.seconds, summary.records_in, output.display());
    for (topic, records) in &summary.outputs {
        let path = output.join(format!("{topic}.jsonl"));
        let last = fs::read_to_string(&path).ok().and_then(|text| text.lines().last().map(str::to_string));
        let mut last = last.unwrap_or_default();
        if last.chars().count() > SHOWN_CHARS {
            last = last.chars().take(SHOWN_CHARS).collect::<String>() + "…";
        }
        eprintln!("  {topic}.jsonl, {records} records, the last:\n    {last}");
    }
}
