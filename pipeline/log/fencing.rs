//! Being fenced once may be a broker's doing; being fenced again and again means that two processes share one name,
//! or that every transaction runs out of time, which looks the same.

use super::{Class, LogError};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MAX: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// Remembers when somebody was fenced.
#[derive(Debug, Default)]
pub(super) struct Fencings {
    seen: VecDeque<Instant>,
}

impl Fencings {
    /// Counts an error that is a fencing; the third within a minute is fatal.
    pub(super) fn count(&mut self, error: &LogError) -> Result<(), LogError> {
        if !error.fenced {
            return Ok(());
        }
        let now = Instant::now();
        self.seen.retain(|then| now - *then < WITHIN);
        self.seen.push_back(now);
        if self.seen.len() < MAX {
            return Ok(());
        }
        let message = format!(
            "fenced {MAX} times within {} s ({}): two processes run under one name (give each its own `instance`), or \
             transactions outlast `kafka.properties.transaction.timeout.ms` (raise it)",
            WITHIN.as_secs(),
            error.message
        );
        Err(LogError { class: Class::Fatal, fenced: true, context: error.context.clone(), message })
    }
}
