//! Trying again what the log refuses for now: with which pauses, and until when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Once the process is to stop, nothing is tried for longer: whoever asked for that waits for its end.
const STOPPING: Duration = Duration::from_secs(2);

/// How something is tried again.
#[derive(Clone, Debug)]
pub struct Backoff {
    /// All tries together.
    most: Duration,
    /// The shortest and the longest pause.
    pauses: (Duration, Duration),
    stop: Arc<AtomicBool>,
}

/// Something that is being tried.
#[derive(Debug)]
pub struct Trying<'a> {
    backoff: &'a Backoff,
    deadline: Instant,
    pause: Duration,
    is_stopping: bool,
}

impl Backoff {
    /// Gives up after `most`; pauses from the first of `pauses`, longer each time, to the second.
    pub fn new(most: Duration, pauses: (Duration, Duration)) -> Self {
        Self { most, pauses, stop: Arc::default() }
    }

    /// Gives up soon where `stop` is set.
    pub fn heed(&mut self, stop: &Arc<AtomicBool>) {
        self.stop = Arc::clone(stop);
    }

    /// Whether the process is to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Time runs from here.
    pub fn begin(&self) -> Trying<'_> {
        Trying { backoff: self, deadline: Instant::now() + self.most, pause: self.pauses.0, is_stopping: false }
    }
}

impl Trying<'_> {
    /// Whether there is no time for another try.
    pub fn is_over(&mut self) -> bool {
        if !self.is_stopping && self.backoff.is_stopping() {
            self.is_stopping = true;
            self.deadline = self.deadline.min(Instant::now() + STOPPING);
        }
        Instant::now() >= self.deadline
    }

    /// Whether the end came early because the process is to stop.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Pauses, longer each time.
    pub fn rest(&mut self) {
        sleep(self.pause);
        self.pause = (self.pause * 2).min(self.backoff.pauses.1);
    }
}
