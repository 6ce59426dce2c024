//! `bench`: measures the service on this machine.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};

use super::{Failure, Settings, link};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What is measured
    name: Name,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// The path of an event from bytes to outputs, over the embedded log
    Path,
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// Where something is wrong with the settings, or fails.
    pub fn run(self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let config = self.settings.load()?;
        match self.name {
            Name::Path => link::bench_path(config, self.json, stop),
        }
    }
}
