//! librdkafka's properties: those that hold exactly-once together, those that make it quick, and the user's own.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use std::collections::BTreeMap;

/// Properties that a user may not set: exactly-once, or the service's own names, hang on them.
pub const REFUSED: &[&str] = &[
    "acks",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "metadata.broker.list",
    "partitioner",
    "request.required.acks",
    "transactional.id",
];

/// Milliseconds that a transaction may stay open before the broker aborts it.
const TRANSACTION_TIMEOUT_MS: &str = "30000";

/// Why a user may not set these properties, if he may not.
pub fn check(properties: &BTreeMap<String, String>) -> Result<(), String> {
    if let Some(name) = properties.keys().find(|name| REFUSED.contains(&name.as_str())) {
        let hint = match name.as_str() {
            "bootstrap.servers" | "metadata.broker.list" => "; set `kafka.brokers`",
            "group.id" | "transactional.id" | "group.instance.id" => "; it comes from `app` and `instance`",
            "partitioner" => "; a user's partition is murmur2 of his id in every topic",
            _ => "; exactly-once hangs on it",
        };
        return Err(format!("kafka.properties.{name} cannot be set{hint}; remove it"));
    }
    match properties.get("partition.assignment.strategy").map(String::as_str) {
        None | Some("cooperative-sticky") => {}
        Some(other) => {
            return Err(format!(
                "kafka.properties.partition.assignment.strategy = \"{other}\": only cooperative-sticky keeps the state of \
                 partitions that stay; remove it"
            ));
        }
    }
    let number = |name: &str, default: &str| -> Result<u64, String> {
        let value = properties.get(name).map_or(default, String::as_str);
        value.parse().map_err(|_| format!("kafka.properties.{name} = \"{value}\" is not a number of milliseconds"))
    };
    let transaction = number("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)?;
    for name in ["message.timeout.ms", "delivery.timeout.ms"] {
        if number(name, "0")? > transaction {
            return Err(format!(
                "kafka.properties.{name} is above transaction.timeout.ms ({transaction}): a record would outlive its \
                 transaction; lower it"
            ));
        }
    }
    Ok(())
}

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
    let user = properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in both.into_iter().chain(ours.iter().copied()).chain(user).chain(fixed.iter().copied()) {
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
const READ: [(&str, &str); 7] = [
    ("fetch.wait.max.ms", "10"),
    // The default of a second stalls a partition whenever the queue is full.
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "65536"),
    ("check.crcs", "false"),
    ("allow.auto.create.topics", "false"),
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

/// A member of a group.
pub(super) fn member(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    group: &str,
    instance: &str,
) -> ClientConfig {
    let mut ours = READ.to_vec();
    // The newer protocol has these on the broker, and refuses them here.
    if properties.get("group.protocol").is_none_or(|protocol| protocol != "consumer") {
        ours.extend([
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "1000"),
        ]);
    }
    let mut fixed = READ_FIXED.to_vec();
    fixed.extend([("group.id", group), ("group.instance.id", instance)]);
    config(brokers, properties, &ours, &fixed)
}

/// A reader without a group (librdkafka wants a name for one, and never uses it).
pub(super) fn reader(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut fixed = READ_FIXED.to_vec();
    fixed.push(("group.id", "wellspring.reader"));
    config(brokers, properties, &READ, &fixed)
}

const WRITE: [(&str, &str); 4] = [
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
    fn what_would_break_exactly_once_is_refused_by_name() {
        for name in REFUSED {
            let refused = check(&properties(&[(name, "1")])).unwrap_err();
            assert!(refused.contains(&format!("kafka.properties.{name}")), "{refused}");
        }
        assert!(check(&properties(&[("partition.assignment.strategy", "range")])).is_err());
        assert!(check(&properties(&[("message.timeout.ms", "30001")])).is_err());
        assert!(check(&properties(&[("message.timeout.ms", "soon")])).is_err());
        let fine =
            [("session.timeout.ms", "6000"), ("message.timeout.ms", "9000"), ("transaction.timeout.ms", "10000")];
        assert_eq!(check(&properties(&fine)), Ok(()));
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
        let made = member("b:1", &properties(&[("group.protocol", "consumer")]), "g", "i");
        for key in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
            assert_eq!(made.get(key), None);
        }
        assert_eq!(member("b:1", &properties(&[]), "g", "i").get("heartbeat.interval.ms"), Some("1000"));
    }
}
