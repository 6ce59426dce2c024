//! `run`: files through the whole service in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::{Failure, Settings};
use crate::metrics::Metrics;
use crate::run::inputs::Inputs;
use crate::run::progress::Watched;
use crate::source::Input;
use crate::{http, run};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// A source partition of a topic: a file (.jsonl, .json, .csv, .parquet, plain, .gz or .zst) or a SELECT over files
    #[arg(long = "input", value_name = "TOPIC=SOURCE", required = true)]
    inputs: Vec<String>,
    /// The folder that <topic>.jsonl and models/ are written to
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

impl Run {
    /// Runs to the end of all inputs; prints the summary.
    ///
    /// # Errors
    /// Where something is wrong with the arguments, or fails.
    pub fn run(self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let inputs = Input::parse_all(&self.inputs)?;
        let config = self.settings.load()?;
        let metrics = Metrics::new();
        let _page = http::start(&config, metrics.clone()).map_err(|error| tracing::warn!("no local page: {error}"));
        let mut feed = Watched::new(Inputs::open(inputs)?, None);
        let summary = run::run(config, &mut feed, &self.output, metrics, stop)?;
        println!("{}", serde_json::to_string(&summary).expect("a summary becomes JSON"));
        Ok(())
    }
}
