//! librdkafka properties that would break exactly-once, refused with a reason.

use std::collections::BTreeMap;
use std::time::Duration;

/// The service's own: another value loses or repeats records, or splits users from their partition.
const OWN: &[(&str, &str)] = &[
    ("acks", "a transaction is durable only when all in-sync replicas have it"),
    ("allow.auto.create.topics", "a topic made by accident has the wrong partitions"),
    ("auto.commit.enable", "offsets are committed with the outputs"),
    ("auto.commit.interval.ms", "offsets are committed with the outputs"),
    ("auto.offset.reset", "a lost offset must stop the service, not skip or repeat records"),
    ("delivery.report.only.error", "every delivery is counted before a commit"),
    ("enable.auto.commit", "offsets are committed with the outputs"),
    ("enable.auto.offset.store", "offsets are committed with the outputs"),
    ("enable.gapless.guarantee", "order and completeness come from transactions"),
    ("enable.idempotence", "transactions need an idempotent producer"),
    ("enable.partition.eof", "the watermark needs to know when a partition is at its end"),
    ("group.id", "groups are named after the app and the role"),
    ("group.instance.id", "static membership comes from `instance`"),
    ("isolation.level", "records of aborted transactions must not be read"),
    ("max.in.flight", "order and completeness come from transactions"),
    ("max.in.flight.requests.per.connection", "order and completeness come from transactions"),
    ("message.send.max.retries", "a record that is not retried is lost"),
    ("offset.store.method", "offsets are committed with the outputs"),
    ("partition.assignment.strategy", "all members of a group must assign alike"),
    ("partitioner", "a user's partition is murmur2 of his key"),
    ("request.required.acks", "a transaction is durable only when all in-sync replicas have it"),
    ("retries", "a record that is not retried is lost"),
    ("transactional.id", "transactional ids come from `app`, the role and `instance`"),
];

/// Properties that have a setting of their own.
const ELSEWHERE: &[(&str, &str)] =
    &[("bootstrap.servers", "kafka.brokers"), ("client.id", "instance"), ("metadata.broker.list", "kafka.brokers")];

/// What the service sets where `transaction.timeout.ms` is not given.
const TRANSACTION_TIMEOUT_MS: u64 = 30_000;
/// Names of the time in which a record must be delivered.
const DELIVERY: [&str; 2] = ["message.timeout.ms", "delivery.timeout.ms"];

fn ms(properties: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    properties.get(name).and_then(|text| text.trim().parse().ok())
}

/// How long a transaction may last.
pub fn transaction_timeout(properties: &BTreeMap<String, String>) -> Duration {
    Duration::from_millis(ms(properties, "transaction.timeout.ms").unwrap_or(TRANSACTION_TIMEOUT_MS))
}

/// Why one of `properties` is refused: its name, the reason, and what to do.
pub fn refuse(properties: &BTreeMap<String, String>) -> Option<(String, String, String)> {
    for name in properties.keys() {
        if let Some((_, reason)) = OWN.iter().find(|(own, _)| own == name) {
            return Some((name.clone(), format!("{reason}, so the service sets it itself"), "leave it out".into()));
        }
        if let Some((_, setting)) = ELSEWHERE.iter().find(|(other, _)| other == name) {
            return Some((name.clone(), "it has a setting of its own".into(), format!("set `{setting}` instead")));
        }
    }
    if let Some(protocol) = properties.get("group.protocol").filter(|p| !matches!(p.as_str(), "classic" | "consumer")) {
        let reason = format!("there is no group protocol `{protocol}`");
        return Some(("group.protocol".into(), reason, "set `classic`, or `consumer` (KIP-848)".into()));
    }
    let limit = transaction_timeout(properties).as_millis() as u64;
    let name = DELIVERY.into_iter().find(|name| ms(properties, name).is_some_and(|ms| ms == 0 || ms > limit))?;
    let reason = format!("a record may not wait longer than its transaction (transaction.timeout.ms={limit})");
    Some((name.into(), reason, format!("set 1 to {limit}")))
}
