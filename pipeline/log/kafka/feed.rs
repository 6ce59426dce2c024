//! Sends records outside of transactions, as any producer of events would.

use super::context::SendContext;
use super::producer::{Inner, send};
use super::{KafkaBroker, errors, settings};
use crate::log::{Class, LogError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long [`KafkaFeed::flush`] waits for the last records.
const FLUSH_MAX: Duration = Duration::from_secs(60);
const SERVE_EVERY: u32 = 512;

/// An idempotent producer; without a given partition the key decides (murmur2), and without a key chance.
pub struct KafkaFeed {
    inner: Inner,
    sent: u32,
}

impl KafkaFeed {
    /// A producer for this cluster.
    pub fn open(broker: &KafkaBroker) -> Result<Self, LogError> {
        let config = settings::feed(&broker.brokers, &broker.properties);
        let inner = config.create_with_context(SendContext::default());
        Ok(Self { inner: inner.map_err(|error| errors::fatal("producer".into(), &error))?, sent: 0 })
    }

    /// Sends a record; waits while the send buffer is full. A record that was sent before and refused is told here or by
    /// [`KafkaFeed::flush`].
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), LogError> {
        self.sent = self.sent.wrapping_add(1);
        if self.sent.is_multiple_of(SERVE_EVERY) {
            self.inner.poll(Duration::ZERO);
            self.check()?;
        }
        let sent = send(&self.inner, topic, partition, key, value, &[]);
        sent.map_err(|error| errors::fatal(format!("record for topic \"{topic}\""), &error))
    }

    /// Waits until all records have been acknowledged.
    pub fn flush(&mut self) -> Result<(), LogError> {
        let deadline = Instant::now() + FLUSH_MAX;
        while self.inner.in_flight_count() > 0 {
            for _ in 0..16 {
                self.inner.poll(Duration::ZERO);
            }
            self.check()?;
            if Instant::now() >= deadline {
                let error = KafkaError::Flush(Code::OperationTimedOut);
                return Err(errors::fatal(format!("{} records", self.inner.in_flight_count()), &error));
            }
            sleep(Duration::from_micros(300));
        }
        self.check()
    }

    fn check(&self) -> Result<(), LogError> {
        let Some((code, at)) = self.inner.context().take_failed() else { return Ok(()) };
        let context = format!("record for partition {} of topic \"{}\"", at.partition, at.topic);
        Err(errors::of_code(Class::Fatal, context, code))
    }
}
