//! `demo`: synthetic users with known truth through the service, with the local page.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::{Failure, Settings, link};
use crate::http;
use crate::metrics::Metrics;
use crate::synthetic;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Events to run; without it, on and on until a signal
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Synthetic users
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = users)]
    users: u32,
    /// Decides everything that is drawn
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    settings: Settings,
}

fn users(text: &str) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|number| (2..=1_000_000).contains(number));
    number.ok_or_else(|| "a number from 2 to 1000000 is wanted".into())
}

impl Demo {
    /// Runs until a signal, or to the end of `--events`.
    ///
    /// # Errors
    /// Where something is wrong with the settings, or fails.
    pub fn run(self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let config = self.settings.load()?;
        let metrics = Metrics::new();
        let _page = http::start(&config, metrics.clone())?;
        let world = synthetic::Settings { seed: self.seed, users: self.users as usize, ..Default::default() };
        link::demo(config, world, self.events, metrics, stop)
    }
}
