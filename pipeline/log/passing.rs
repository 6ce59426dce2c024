//! What is not as it should be, but will be: told, and not again and again.

use std::time::{Duration, Instant};

use super::LogError;

const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Remembers when it was told.
#[derive(Debug, Default)]
pub(super) struct Passing {
    told: Option<Instant>,
}

impl Passing {
    /// Tells of an error after which the same is done again.
    pub(super) fn tell(&mut self, error: &LogError) {
        if self.told.is_some_and(|told| told.elapsed() < TELL_INTERVAL) {
            return tracing::debug!("waiting for the brokers: {error}");
        }
        self.told = Some(Instant::now());
        tracing::warn!("waiting for the brokers: {error}");
    }
}
