//! Why no broker answers: a wrong password and a broker that is down look the same to a call that waits for an answer.
//! librdkafka tells the difference in events, which only a client that is polled hears of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::context::QuietContext;
use super::{errors, settings};
use crate::log::LogError;

/// How long a connection is tried to find out.
const LOOK_MAX: Duration = Duration::from_secs(4);

/// `error`, or, where it says no more than that nobody answered, what a connection that is listened to says.
pub(super) fn explained(error: LogError, brokers: &str, properties: &BTreeMap<String, String>) -> LogError {
    if !error.message.contains("no broker answered in time") {
        return error;
    }
    let made = settings::reader(brokers, properties).create_with_context(QuietContext::default());
    let Ok::<BaseConsumer<QuietContext>, _>(consumer) = made else { return error };
    let until = Instant::now() + LOOK_MAX;
    while Instant::now() < until {
        // Only who asks for something is connected; the answer does not matter.
        let _ = consumer.fetch_metadata(None, Duration::from_millis(300));
        let _ = consumer.poll(Duration::from_millis(100));
        if let Some((code, reason)) = consumer.context().told() {
            let told = errors::of_code(error.class, error.context, code);
            let global = KafkaError::Global(code);
            return LogError {
                message: format!("{} ({reason})", told.message.replace(&format!(" ({global})"), "")),
                ..told
            };
        }
    }
    error
}
