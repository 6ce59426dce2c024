//! Source partitions that fall silent, and what never should have been on a topic.

use std::time::Duration;

use pipeline::log::Broker;
use pipeline::log::embedded::EmbeddedSettings;

use crate::one::{One, log};

const VIEWS: &str = "CREATE VIEW minutes AS SELECT user_id, count(*) AS n FROM events
    GROUP BY user_id, tumble(INTERVAL '1 minute');";

fn event(user: &str, time: i64) -> String {
    format!(r#"{{"user_id":"{user}","type":"a","time":{time}}}"#)
}

fn settings() -> EmbeddedSettings {
    EmbeddedSettings { trims: false, ..EmbeddedSettings::default() }
}

fn windows(one: &mut One) -> Vec<(String, i64)> {
    let said = one.said().into_iter().filter(|(topic, _)| topic == "features.minutes");
    said.map(|(_, value)| (value["user_id"].as_str().unwrap().into(), value["window_start"].as_i64().unwrap()))
        .collect()
}

#[test]
fn a_partition_that_falls_silent_holds_windows_back_only_so_long() {
    let (broker, topics) = log(VIEWS, 2, settings());
    let mut one = One::start(&broker, &topics, VIEWS, None, |config| config.events.idle_timeout_ms = 60_000).unwrap();
    one.feed(0, &event("u", 1_000));
    one.feed(1, &event("v", 2_000));
    one.settle().unwrap();
    one.feed(0, &event("u", 200_000));
    one.settle().unwrap();
    assert_eq!(windows(&mut one), [], "the second partition stands at 2 s");
    one.step(Duration::from_secs(59)).unwrap();
    one.settle().unwrap();
    assert_eq!(windows(&mut one), []);
    // The first goes on; the second is idle from now on.
    one.feed(0, &event("u", 201_000));
    one.step(Duration::from_secs(2)).unwrap();
    one.settle().unwrap();
    let mut closed = windows(&mut one);
    closed.sort();
    assert_eq!(closed, [("u".into(), 0), ("v".into(), 0)]);
    // It comes back behind: late for a window that is closed, in time for one that is not.
    one.feed(1, &event("v", 3_000));
    one.feed(1, &event("w", 185_000));
    one.feed(0, &event("u", 300_000));
    one.feed(1, &event("v", 300_000));
    one.settle().unwrap();
    let said = one.said();
    let late: Vec<_> = said.iter().filter(|(topic, _)| topic == "late").map(|(_, value)| &value["offset"]).collect();
    assert_eq!(late, [1]);
    let mut closed: Vec<_> = said
        .iter()
        .filter(|(topic, _)| topic == "features.minutes")
        .map(|(_, value)| (value["user_id"].as_str().unwrap(), value["window_start"].as_i64().unwrap()))
        .collect();
    closed.sort();
    assert_eq!(closed, [("u", 180_000), ("w", 180_000)]);
}

#[test]
fn a_topic_that_never_said_anything_holds_back_until_it_is_idle() {
    let (broker, topics) = log(VIEWS, 3, settings());
    let mut one = One::start(&broker, &topics, VIEWS, None, |config| config.events.idle_timeout_ms = 1_000).unwrap();
    one.feed(0, &event("u", 1_000));
    one.feed(0, &event("u", 100_000));
    one.settle().unwrap();
    assert_eq!(windows(&mut one), [], "two partitions were never heard from");
    one.step(Duration::from_secs(2)).unwrap();
    one.feed(0, &event("u", 100_001));
    one.settle().unwrap();
    assert_eq!(windows(&mut one), [("u".into(), 0)]);
}

#[test]
fn foreign_bytes_on_the_internal_topic_are_kept_and_passed_over() {
    let (broker, topics) = log(VIEWS, 1, settings());
    let mut one = One::start(&broker, &topics, VIEWS, None, |_| {}).unwrap();
    one.feed(0, &event("u", 1_000));
    one.settle().unwrap();
    for bytes in [&b"hello"[..], b"", b"WS1e\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
        for partition in 0..2 {
            broker.append(&topics.by_user(), partition, None, None, Some(bytes)).unwrap();
        }
    }
    one.feed(0, &event("u", 100_000));
    one.settle().unwrap();
    let said = one.said();
    let of = |topic: &str| said.iter().filter(|(of, _)| of == topic).count();
    assert_eq!((of("dead-letters"), of("features.minutes")), (6, 1));
}

#[test]
fn a_record_that_is_too_long_is_a_dead_letter() {
    let (broker, topics) = log(VIEWS, 1, settings());
    let mut one = One::start(&broker, &topics, VIEWS, None, |config| config.events.max_bytes = 200).unwrap();
    let long = format!(r#"{{"user_id":"{}","type":"a","time":1}}"#, "u".repeat(200));
    one.feed(0, &long);
    one.feed(0, &event("u", 1_000));
    one.feed(0, &event("u", 100_000));
    one.settle().unwrap();
    let said = one.said();
    let dead: Vec<_> = said.iter().filter(|(topic, _)| topic == "dead-letters").collect();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].1["user_id"].as_str().unwrap().len(), 200, "the bytes are kept");
    assert!(said.iter().any(|(topic, _)| topic == "features.minutes"));
    assert_eq!(broker.partitions("events").unwrap(), Some(1));
}
