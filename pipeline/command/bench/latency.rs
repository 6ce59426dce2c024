//! How long an event takes to be seen by a reader of what it changed, read-committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use serde_json::Value;

use super::kafka::Plan;
use crate::command::Failure;
use crate::log::kafka::{KafkaBroker, KafkaFeed};
use crate::log::{Broker, Reader};
use crate::metrics::now_ms;
use crate::synthetic::Zipf;

/// Times from an event's own time, which is when it was sent, to its sight.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// Events a second, as sent.
    pub events_per_second: f64,
    /// Values seen.
    pub seen: usize,
    /// Half are seen earlier.
    pub p50_ms: f64,
    /// One in a hundred is seen later.
    pub p99_ms: f64,
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

    /// Waits for a value of a user.
    ///
    /// # Errors
    /// Where none comes.
    pub fn wait_for(&mut self, user_id: &str, most: Duration) -> Result<(), Failure> {
        let (until, mut found) = (Instant::now() + most, false);
        while !found {
            self.0.poll(Duration::from_millis(10), &mut |record| found |= record.key == Some(user_id.as_bytes()))?;
            if Instant::now() > until {
                return Err(Failure::failed(format!("no value of user {user_id} was seen in {} s", most.as_secs())));
            }
        }
        Ok(())
    }

    /// Takes down how old values are when they are seen, until `end`.
    fn ages(&mut self, end: &AtomicBool) -> Result<Vec<f64>, Failure> {
        let mut ages = Vec::new();
        while !end.load(Ordering::Relaxed) {
            self.0.poll(Duration::from_millis(10), &mut |record| {
                let value = record.value.and_then(|value| serde_json::from_slice::<Value>(value).ok());
                let time = value.and_then(|value| value["time"].as_i64());
                ages.extend(time.map(|time| (now_ms() - time) as f64));
            })?;
        }
        Ok(ages)
    }
}

/// Sends events at a steady rate and watches for what they change.
///
/// # Errors
/// Where the log fails.
pub fn measure(
    broker: &KafkaBroker,
    events: &str,
    output: &str,
    plan: &Plan,
    users: usize,
    stop: &Arc<AtomicBool>,
) -> Result<Latency, Failure> {
    let (mut seen, end) = (Seen::open(broker, output)?, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| seen.ages(&end));
        let sent = send(broker, events, plan, users, stop);
        std::thread::sleep(Duration::from_secs(3));
        end.store(true, Ordering::Relaxed);
        let ages = watching.join().map_err(|_| Failure::failed("the reader panicked; see the lines above"))?;
        let (mut ages, events_per_second) = (ages?, sent?);
        ages.sort_by(f64::total_cmp);
        let at = |part: f64| ages.get(((ages.len() as f64 * part) as usize).min(ages.len().saturating_sub(1)));
        let (p50_ms, p99_ms) = (at(0.5).copied().unwrap_or(f64::NAN), at(0.99).copied().unwrap_or(f64::NAN));
        Ok(Latency { events_per_second, seen: ages.len(), p50_ms, p99_ms })
    })
}

fn send(broker: &KafkaBroker, events: &str, plan: &Plan, users: usize, stop: &AtomicBool) -> Result<f64, Failure> {
    let mut feed = KafkaFeed::open(broker)?;
    let (zipf, mut random, begun, mut sent) = (Zipf::new(users), random(11), Instant::now(), 0u64);
    let lasts = Duration::from_secs(plan.seconds);
    while begun.elapsed() < lasts && !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * plan.rate) as u64;
        while sent < due {
            let user = zipf.draw(&mut random).to_string();
            let line =
                format!(r#"{{"user_id":{user},"item_id":{},"type":{},"time":{}}}"#, sent % 997, sent % 4, now_ms());
            feed.send(events, None, Some(user.as_bytes()), Some(line.as_bytes()))?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed().as_secs_f64();
    feed.flush()?;
    Ok(sent as f64 / took)
}
