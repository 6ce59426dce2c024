//! How long a record takes to be seen by a reader of what it changed, read-committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::command::Failure;
use crate::log::kafka::{KafkaBroker, KafkaFeed};
use crate::log::{Broker, Incoming, Reader};
use crate::metrics::now_ms;

/// Times from a record's own time, which is when it was sent, to the sight of what it changed.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// Records a second, as sent.
    pub sent_per_second: f64,
    /// Values seen.
    pub seen: usize,
    /// Half are seen earlier.
    pub p50_ms: f64,
    /// One in a hundred is seen later.
    pub p99_ms: f64,
}

/// Records a second, and for how many seconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Records a second.
    pub rate: f64,
    /// For how long.
    pub seconds: u64,
}

/// The generator of a seed.
pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A reader of a topic's values from now on.
pub struct Seen(Box<dyn Reader>);

impl Seen {
    /// Reads the topic to its present end.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn open(broker: &KafkaBroker, topic: &str) -> Result<Self, Failure> {
        let mut reader = broker.reader(&[topic.to_owned()])?;
        reader.catch_up()?;
        while !reader.poll(Duration::from_millis(100), &mut |_| {})? {}
        Ok(Self(reader))
    }

    /// Gives what has come to `each`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn poll(&mut self, each: &mut dyn FnMut(Incoming<'_>)) -> Result<(), Failure> {
        self.0.poll(Duration::from_millis(10), each)?;
        Ok(())
    }

    /// Waits for a value with a key.
    ///
    /// # Errors
    /// Where none comes.
    pub fn wait_for(&mut self, key: &str, most: Duration) -> Result<(), Failure> {
        let (until, mut found) = (Instant::now() + most, false);
        while !found {
            self.poll(&mut |record| found |= record.key == Some(key.as_bytes()))?;
            if Instant::now() > until {
                return Err(Failure::failed(format!("no value of {key} was seen in {} s", most.as_secs())));
            }
        }
        Ok(())
    }

    /// Takes down how old values are when they are seen, until `end`.
    fn ages(&mut self, end: &AtomicBool) -> Result<Vec<f64>, Failure> {
        let mut ages = Vec::new();
        while !end.load(Ordering::Relaxed) {
            self.poll(&mut |record| {
                let value = record.value.and_then(|value| serde_json::from_slice::<Timed>(value).ok());
                ages.extend(value.map(|value| (now_ms() - value.time) as f64));
            })?;
        }
        Ok(ages)
    }
}

/// Of a value, its time.
#[derive(Deserialize)]
struct Timed {
    time: i64,
}

/// Sends records at a steady pace, each as `send` does, and watches for what they change on `output`.
///
/// # Errors
/// Where the log fails.
pub fn measure(
    broker: &KafkaBroker,
    output: &str,
    pace: Pace,
    send: impl FnMut(&mut KafkaFeed, u64) -> Result<(), Failure>,
    stop: &Arc<AtomicBool>,
) -> Result<Latency, Failure> {
    let (mut seen, end) = (Seen::open(broker, output)?, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| seen.ages(&end));
        let sent = send_all(broker, pace, send, stop);
        std::thread::sleep(Duration::from_secs(3));
        end.store(true, Ordering::Relaxed);
        let ages = watching.join().map_err(|_| Failure::failed("the reader panicked; see the lines above"))?;
        let (mut ages, sent_per_second) = (ages?, sent?);
        ages.sort_by(f64::total_cmp);
        let at = |part: f64| ages.get(((ages.len() as f64 * part) as usize).min(ages.len().saturating_sub(1)));
        let (p50_ms, p99_ms) = (at(0.5).copied().unwrap_or(f64::NAN), at(0.99).copied().unwrap_or(f64::NAN));
        Ok(Latency { sent_per_second, seen: ages.len(), p50_ms, p99_ms })
    })
}

/// Gives how many were sent a second.
fn send_all(
    broker: &KafkaBroker,
    pace: Pace,
    mut send: impl FnMut(&mut KafkaFeed, u64) -> Result<(), Failure>,
    stop: &AtomicBool,
) -> Result<f64, Failure> {
    let (mut feed, begun, mut sent) = (KafkaFeed::open(broker)?, Instant::now(), 0u64);
    let lasts = Duration::from_secs(pace.seconds);
    while begun.elapsed() < lasts && !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * pace.rate) as u64;
        while sent < due {
            send(&mut feed, sent)?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed().as_secs_f64();
    feed.flush()?;
    Ok(sent as f64 / took)
}
