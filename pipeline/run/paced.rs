//! A feed at a pace: so many events a second, and no end before somebody says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Append, Feed, RunError};

/// The longest sleep: how soon a stop is seen.
const NAP: Duration = Duration::from_millis(50);

/// A feed that is watched by people, not by a script.
pub struct Paced<F> {
    feed: F,
    rate: Option<f64>,
    stays: bool,
    stop: Arc<AtomicBool>,
}

impl<F: Feed> Paced<F> {
    /// `feed` with at most `rate` events a second; one that `stays` does not end before `stop` is set, so that what is
    /// known of the users can be looked at.
    pub fn new(feed: F, rate: Option<f64>, stays: bool, stop: &Arc<AtomicBool>) -> Self {
        Self { feed, rate, stays, stop: Arc::clone(stop) }
    }
}

impl<F: Feed> Feed for Paced<F> {
    fn partitions(&self, topic: &str) -> i32 {
        self.feed.partitions(topic)
    }

    fn feed(&mut self, append: &mut Append<'_>) -> Result<(), RunError> {
        let (mut started, mut events) = (None, 0_u64);
        let (rate, stop) = (self.rate, &self.stop);
        self.feed.feed(&mut |topic, partition, value| {
            if let Some(rate) = rate.filter(|_| topic == "events") {
                let due = *started.get_or_insert_with(Instant::now) + Duration::from_secs_f64(events as f64 / rate);
                events += 1;
                while !stop.load(Ordering::Relaxed) {
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    std::thread::sleep(left.min(NAP));
                }
            }
            append(topic, partition, value)
        })?;
        if !self.stays {
            return Ok(());
        }
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(NAP);
        }
        Err(RunError::Stopped)
    }
}
