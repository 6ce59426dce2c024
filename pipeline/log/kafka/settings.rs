//! librdkafka's properties: those that hold exactly-once together, those that make it quick, and the user's own.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use std::collections::BTreeMap;

/// Milliseconds that a transaction may stay open before the broker aborts it.
const TRANSACTION_TIMEOUT_MS: &str = "30000";

/// `ours` may be overridden by the user, `fixed` (checked by [`check`]) may not.
fn config(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    ours: &[(&str, &str)],
    fixed: &[(&str, &str)],
) -> ClientConfig {
    let mut config = ClientConfig::new();
    // An outage must not grow into a longer one by waiting for the next attempt.
    let both = [
        ("client.id", "wellspring"),
        ("retry.backoff.ms", "10"),
        ("reconnect.backoff.ms", "50"),
        ("reconnect.backoff.max.ms", "500"),
        ("bootstrap.servers", brokers),
    ];
    // A topic that was deleted must not come back empty because somebody asks for it: the default for producers.
    let fixed = fixed.iter().copied().chain([("allow.auto.create.topics", "false")]);
    let user = properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in both.into_iter().chain(ours.iter().copied()).chain(user).chain(fixed) {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// For metadata and topics.
pub(super) fn admin(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    config(brokers, properties, &[], &[])
}

/// What consumers have in common.
const READ: [(&str, &str); 6] = [
    ("fetch.wait.max.ms", "10"),
    // The default of a second stalls a partition whenever the queue is full.
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "16384"),
    ("check.crcs", "false"),
    ("max.poll.interval.ms", "120000"),
];
const READ_FIXED: [(&str, &str); 5] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Also makes the offsets of undecided transactions wait (RequireStable).
    ("isolation.level", "read_committed"),
    // Positions are always given; a reset in flight is found out by the reader, see `member`.
    ("auto.offset.reset", "earliest"),
    ("enable.partition.eof", "true"),
];

/// The newer group protocol has these on the broker, and refuses them here.
const CLASSIC: [(&str, &str); 3] = [
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "1000"),
];

/// A member of a group.
pub(super) fn member(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    group: &str,
    instance: &str,
) -> ClientConfig {
    let mut fixed = READ_FIXED.to_vec();
    fixed.extend([("group.id", group), ("group.instance.id", instance)]);
    if properties.get("group.protocol").is_some_and(|protocol| protocol == "consumer") {
        let mut allowed = properties.clone();
        allowed.retain(|key, _| CLASSIC.iter().all(|(classic, _)| key != classic));
        return config(brokers, &allowed, &READ, &fixed);
    }
    config(brokers, properties, &[&READ[..], &CLASSIC[..]].concat(), &fixed)
}

/// A reader without a group (librdkafka wants a name for one, and never uses it).
pub(super) fn reader(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut fixed = READ_FIXED.to_vec();
    fixed.push(("group.id", "wellspring.reader"));
    let mut allowed = properties.clone();
    allowed.retain(|key, _| key != "group.protocol" && CLASSIC.iter().all(|(classic, _)| key != classic));
    config(brokers, &allowed, &READ, &fixed)
}

const WRITE: [(&str, &str); 5] = [
    // The broker decides, by topic.
    ("message.max.bytes", "1000000000"),
    ("linger.ms", "2"),
    ("batch.size", "1000000"),
    ("queue.buffering.max.messages", "500000"),
    ("queue.buffering.max.kbytes", "262144"),
];
const WRITE_FIXED: [(&str, &str); 3] =
    [("acks", "all"), ("enable.idempotence", "true"), ("partitioner", "murmur2_random")];

/// A producer with transactions.
pub(super) fn transactional(brokers: &str, properties: &BTreeMap<String, String>, id: &str) -> ClientConfig {
    let mut ours = WRITE.to_vec();
    ours.push(("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS));
    let mut fixed = WRITE_FIXED.to_vec();
    fixed.push(("transactional.id", id));
    config(brokers, properties, &ours, &fixed)
}

/// A producer without transactions.
pub(super) fn feed(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    config(brokers, properties, &WRITE, &WRITE_FIXED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_users_word_stands_except_where_exactly_once_hangs_on_it() {
        let user =
            properties(&[("session.timeout.ms", "6000"), ("linger.ms", "9"), ("isolation.level", "read_uncommitted")]);
        let made = member("b:1", &user, "g", "i");
        assert_eq!(made.get("session.timeout.ms"), Some("6000"));
        assert_eq!(made.get("isolation.level"), Some("read_committed"));
        assert_eq!(transactional("b:1", &user, "t").get("linger.ms"), Some("9"));
    }

    #[test]
    fn the_newer_group_protocol_gets_none_of_the_keys_it_refuses() {
        let made =
            member("b:1", &properties(&[("group.protocol", "consumer"), ("session.timeout.ms", "6000")]), "g", "i");
        for key in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
            assert_eq!(made.get(key), None);
        }
        assert_eq!(member("b:1", &properties(&[]), "g", "i").get("heartbeat.interval.ms"), Some("1000"));
        let lone = reader("b:1", &properties(&[("group.protocol", "consumer"), ("session.timeout.ms", "6000")]));
        assert_eq!((lone.get("group.protocol"), lone.get("session.timeout.ms")), (None, None));
    }
}
