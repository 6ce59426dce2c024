//! Why no broker answers: a wrong password and a broker that is down look the same to a call that waits for an answer.
//! librdkafka tells the difference in events, which only a client that is polled hears of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::context::QuietContext;
use super::{errors, settings};
use crate::log::LogError;

/// How long a connection is tried to find out.
const LOOK_MAX: Duration = Duration::from_secs(4);

/// Whether an error says no more than that nobody answered.
pub(super) fn is_mute(code: Code) -> bool {
    matches!(code, Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut)
}

/// What a connection that is listened to says, or else `error`, which was mute.
pub(super) fn explained(error: LogError, brokers: &str, properties: &BTreeMap<String, String>) -> LogError {
    let made = settings::reader(brokers, properties).create_with_context(QuietContext::default());
    let Ok::<BaseConsumer<QuietContext>, _>(consumer) = made else { return error };
    let until = Instant::now() + LOOK_MAX;
    while Instant::now() < until {
        // Only who asks for something is connected; the answer does not matter.
        let _ = consumer.fetch_metadata(None, Duration::from_millis(300));
        let _ = consumer.poll(Duration::from_millis(100));
        if let Some((code, reason)) = consumer.context().told() {
            return errors::of_reason(error.class, error.context, code, reason);
        }
    }
    error
}
