//! `demo`: synthetic users with known truth through the service, with the local page.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::{Failure, Settings};
use crate::metrics::Metrics;
use crate::run::generated::Generated;
use crate::run::progress::Watched;
use crate::run::{self, Summary};
use crate::{http, synthetic};

/// The views of the demo, where the settings name no file.
const VIEWS: &str = include_str!("../../features.sql");
/// Of each output so many records are shown.
const SHOWN_CHARS: usize = 160;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Events to run
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    events: u64,
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
        let metrics = Metrics::new();
        let page = http::start(&config, metrics.clone()).map_err(|error| tracing::warn!("no local page: {error}"));
        if let Ok(Some(page)) = &page {
            eprintln!("{} users; figures on http://{}/metrics", self.users, page.address);
        }
        let world = synthetic::Settings { seed: self.seed, users: self.users as usize, ..Default::default() };
        let dim = config.sdim.enabled.then_some(config.sdim.dim);
        let mut feed = Watched::new(Generated::new(world, self.events, dim), Some(self.events));
        let summary = run::run(config, &mut feed, &self.output, metrics, stop)?;
        show(&summary, &self.output);
        println!("{}", serde_json::to_string(&summary).expect("a summary becomes JSON"));
        Ok(())
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
