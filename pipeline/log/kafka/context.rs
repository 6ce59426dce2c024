//! What librdkafka tells from inside its calls: log lines, rebalances, records that were not delivered.

use crate::log::TopicPartition;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where brokers go away, every connection of every client breaks, again and again: so often it is told.
const BROKEN_INTERVAL: Duration = Duration::from_secs(5);
static BROKEN: Mutex<Option<Instant>> = Mutex::new(None);

fn is_due() -> bool {
    let mut told = lock(&BROKEN);
    let is_due = told.is_none_or(|told| told.elapsed() >= BROKEN_INTERVAL);
    if is_due {
        *told = Some(Instant::now());
    }
    is_due
}

fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        _ if facility == "FAIL" && !is_due() => tracing::debug!(target: "librdkafka", facility, "{line}"),
        // One property map serves consumers and producers; librdkafka remarks on what is not for the one at hand.
        _ if line.contains("will be ignored by this") => tracing::debug!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// The calls that suffer fail on their own, and librdkafka's log tells the reason.
fn error_line(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", "{error}: {reason}");
}

/// What a rebalance did, in the order of its callbacks.
pub(super) enum Moved {
    /// Assigned, and paused already.
    Here(Vec<(String, i32)>),
    Away(Vec<(String, i32)>),
}

fn partitions(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

/// For a member of a group: notes what moves, to be told by `poll`.
#[derive(Default)]
pub(super) struct MemberContext {
    moved: Mutex<Vec<Moved>>,
}

impl MemberContext {
    pub(super) fn take_moved(&self) -> Vec<Moved> {
        std::mem::take(&mut *lock(&self.moved))
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        error_line(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            if list.count() == 0 {
                return;
            }
            tracing::info!(partitions = ?partitions(list), lost = consumer.assignment_lost(), "partitions revoked");
            lock(&self.moved).push(Moved::Away(partitions(list)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) if list.count() == 0 => {}
            Rebalance::Assign(list) => {
                // Their tasks are to be made first, and know better where to begin.
                if let Err(error) = consumer.pause(list) {
                    tracing::warn!("new partitions not paused: {error}");
                }
                tracing::info!(partitions = ?partitions(list), "partitions assigned");
                lock(&self.moved).push(Moved::Here(partitions(list)));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!("rebalance failed: {error}"),
        }
    }
}

/// For clients without a group: keeps the first error that tells why no broker lets it in.
#[derive(Default)]
pub(super) struct QuietContext {
    told: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl QuietContext {
    pub(super) fn told(&self) -> Option<(RDKafkaErrorCode, String)> {
        lock(&self.told).clone()
    }
}

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{Authentication, Resolve, SSL, SaslAuthenticationFailed, UnsupportedSASLMechanism};
        // Two ends that do not agree on TLS are, to librdkafka, a connection like any other that broke.
        let disagree = reason.contains("SSL handshake failed") || reason.contains("security.protocol");
        let code = if disagree { Some(SSL) } else { error.rdkafka_error_code() };
        let telling = [Authentication, SaslAuthenticationFailed, UnsupportedSASLMechanism, SSL, Resolve];
        if let Some(code) = code.filter(|code| telling.contains(code)) {
            lock(&self.told).get_or_insert((code, reason.to_owned()));
        }
        error_line(&error, reason);
    }
}

impl ConsumerContext for QuietContext {}

/// For a producer: keeps the first record that was not delivered.
#[derive(Default)]
pub(super) struct SendContext {
    failed: Mutex<Option<(RDKafkaErrorCode, TopicPartition)>>,
}

impl SendContext {
    pub(super) fn take_failed(&self) -> Option<(RDKafkaErrorCode, TopicPartition)> {
        lock(&self.failed).take()
    }
}

impl ClientContext for SendContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        error_line(&error, reason);
    }
}

impl ProducerContext for SendContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, message)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            let at = TopicPartition { topic: message.topic().into(), partition: message.partition() };
            // What follows the first is mostly purged because of it.
            lock(&self.failed).get_or_insert((code, at));
        }
    }
}
