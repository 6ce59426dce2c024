//! `serve`: the service on Kafka.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::{Failure, Settings, broker};
use crate::log::Broker;
use crate::metrics::Metrics;
use crate::{http, service};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    /// Serves until a signal.
    ///
    /// # Errors
    /// Where something is wrong with the settings, or fails.
    pub fn run(self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let config = self.settings.load()?;
        let metrics = Metrics::new();
        let _page = http::start(&config, metrics.clone())?;
        let broker: Arc<dyn Broker> = Arc::new(broker(&config));
        Ok(service::serve(config, &broker, metrics, stop)?)
    }
}
