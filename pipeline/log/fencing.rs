//! Being fenced once may be a broker's doing, and is, where the transaction had lasted longer than it may: on a slow network that
//! may go on for a while. Being fenced again and again without that means that two processes share one name.

use super::{Class, LogError};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MAX: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// Remembers when somebody was fenced.
#[derive(Debug)]
pub(super) struct Fencings {
    /// How long a transaction may last.
    pub limit: Duration,
    seen: VecDeque<Instant>,
}

impl Default for Fencings {
    fn default() -> Self {
        Self { limit: Duration::MAX, seen: VecDeque::new() }
    }
}

impl Fencings {
    /// Counts an error that is a fencing, unless the transaction had `lasted` longer than it may; the third within a minute is
    /// fatal.
    pub(super) fn count(&mut self, error: &LogError, lasted: Duration) -> Result<(), LogError> {
        if !error.fenced || lasted >= self.limit {
            return Ok(());
        }
        let now = Instant::now();
        self.seen.retain(|then| now - *then < WITHIN);
        self.seen.push_back(now);
        if self.seen.len() < MAX {
            return Ok(());
        }
        let message = format!(
            "fenced {MAX} times within {} s ({}): two processes run under one name; give each its own `instance`",
            WITHIN.as_secs(),
            error.message
        );
        Err(LogError { class: Class::Fatal, fenced: true, context: error.context.clone(), message })
    }
}
