//! `route = "direct"`: the same outputs, one hop less, and what it asks of the topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::config::{Config, Route};
use pipeline::ground::Ground;
use pipeline::log::embedded::EmbeddedSettings;
use pipeline::log::{Broker, TopicPartition};
use pipeline::snapshot::bucket::Bucket;
use schemas::partition::partition_of;
use serde_json::{Value, json};

use crate::one::{One, log};

const VIEWS: &str = "
    CREATE VIEW minutes AS SELECT user_id, count(*) AS n, sum(value) AS v FROM events
        GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW visits AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, session(INTERVAL '20 seconds');
    CREATE VIEW newest AS SELECT user_id, type, count(*) AS n FROM events GROUP BY user_id, type, latest(5);";

fn settings() -> EmbeddedSettings {
    EmbeddedSettings { trims: false, ..EmbeddedSettings::default() }
}

fn direct(config: &mut Config) {
    config.route = Route::Direct;
    config.topics.partitions = 2;
}

fn home(user: &str) -> i32 {
    partition_of(user.as_bytes(), 2)
}

fn event(user: &str, kind: &str, time: i64) -> String {
    json!({"user_id": user, "type": kind, "time": time, "value": time % 7}).to_string()
}

/// Windows as they are, of latest values the last, without where they came from.
fn outcome(said: Vec<(String, Value)>) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut windows, mut newest) = (Vec::new(), BTreeMap::new());
    for (topic, value) in said {
        if topic == "features.newest" {
            newest.insert(format!("{} {}", value["user_id"], value["type"]), value["n"].to_string());
        } else {
            let shown =
                if topic == "late" { json!([value["user_id"], value["views"], value["record"]]) } else { value };
            windows.push(format!("{topic} {shown}"));
        }
    }
    windows.sort();
    (windows, newest)
}

#[test]
fn it_says_what_the_long_way_says() {
    let said = [false, true].map(|is_direct| {
        let folder = tempfile::tempdir().unwrap();
        let (broker, topics) = log(VIEWS, 2, settings());
        let start = || {
            let objects = Arc::new(Bucket::open(&format!("file://{}", folder.path().display())).unwrap());
            One::start(&broker, &topics, VIEWS, Some(objects), |config| {
                config.events.out_of_orderness_ms = 3_000;
                if is_direct {
                    direct(config);
                }
            })
            .unwrap()
        };
        let (mut one, mut said) = (start(), Vec::new());
        for n in 0..400i64 {
            let user = format!("u{}", n * n % 17);
            // Some are late, and now and then everybody pauses.
            let time = n * 1500 + n / 50 * 40_000 - if n % 11 == 0 { 70_000 } else { 0 };
            one.feed(home(&user), &event(&user, if n % 3 == 0 { "buy" } else { "click" }, time.max(0)));
            if n % 7 == 0 {
                one.settle().unwrap();
            }
            if n % 100 == 99 {
                one.settle().unwrap();
                said.extend(one.said());
                one.stop().unwrap();
                one = start();
                one.said();
            }
        }
        for user in (0..17).map(|n| format!("u{n}")) {
            one.feed(home(&user), &event(&user, "click", 5_000_000));
        }
        one.settle().unwrap();
        said.extend(one.said());
        outcome(said)
    });
    let [(by_user, by_user_newest), (direct, direct_newest)] = said;
    assert!(by_user.len() > 300 && by_user.iter().any(|line| line.starts_with("late")), "{}", by_user.len());
    assert_eq!(by_user, direct);
    assert_eq!(by_user_newest, direct_newest);
}

#[test]
fn what_is_not_its_partitions_is_a_dead_letter_and_no_value_forgets() {
    let (broker, topics) = log(VIEWS, 2, settings());
    let mut one = One::start(&broker, &topics, VIEWS, None, direct).unwrap();
    let mut reader = broker.records(&[topics.name(schemas::output::Output::DeadLetter)]).unwrap();
    one.feed(home("u"), &event("u", "a", 1_000));
    one.feed(1 - home("u"), &event("u", "a", 2_000));
    one.feed(home("u"), r#"{"user_id":"u","other_id":"v","type":"a","time":3000}"#);
    one.feed(home("u"), r#"{"user_id":"u","other_id":"u","type":"a","time":4000}"#);
    one.feed(home("u"), "{");
    one.settle().unwrap();
    let mut errors = Vec::new();
    let mut take = |_: pipeline::log::Incoming<'_>, headers: pipeline::log::embedded::Headers<'_>| {
        let mut headers = headers;
        let error = headers.find(|(name, _)| *name == "wellspring.error").unwrap();
        errors.push(String::from_utf8(error.1.to_vec()).unwrap());
    };
    while !reader.poll_headers(std::time::Duration::ZERO, &mut take).unwrap() {}
    errors.sort();
    assert_eq!(errors.len(), 3, "{errors:?}");
    for word in ["EOF", "`other_id`", "murmur2_random"] {
        assert!(errors.iter().any(|error| error.contains(word)), "{errors:?}");
    }
    assert_eq!(outcome(one.said().into_iter().filter(|(topic, _)| topic == "features.newest").collect()).1.len(), 1);
    // Kafka's word for "gone": a key without a value.
    broker.append("events", home("u"), None, Some(b"u"), None).unwrap();
    broker.append("events", 1 - home("u"), None, Some(b"u"), None).unwrap();
    one.feed(home("u"), &event("u", "a", 5_000));
    one.settle().unwrap();
    let said: Vec<_> = one.said().into_iter().filter(|(topic, _)| topic == "features.newest").collect();
    assert_eq!(said.first().unwrap().1, Value::Null);
    assert_eq!(said.last().unwrap().1["n"], 1);
}

#[test]
fn an_app_begins_where_the_events_do() {
    let (broker, topics) = log(VIEWS, 2, settings());
    for time in 0..5 {
        // The log is trimmed by whole chunks: each record fills one.
        let line = json!({"user_id": "u", "type": "a", "time": time, "category": "x".repeat(300_000)}).to_string();
        broker.append("events", home("u"), None, None, Some(line.as_bytes())).unwrap();
    }
    broker.trim(&TopicPartition { topic: "events".into(), partition: home("u") }, 3).unwrap();
    let mut one = One::start(&broker, &topics, VIEWS, None, direct).unwrap();
    one.settle().unwrap();
    assert_eq!(one.said().last().unwrap().1["n"], 2);
    // What it has folded it has to be able to fold again.
    broker.trim(&TopicPartition { topic: "events".into(), partition: home("u") }, 4).unwrap();
    let error = One::start(&broker, &topics, VIEWS, None, direct).unwrap().settle().unwrap_err().to_string();
    assert!(error.contains("the log begins at 4") && error.contains("events"), "{error}");
}

#[test]
fn partitions_that_differ_are_found_at_the_start() {
    let (broker, topics) = log(VIEWS, 3, settings());
    let mut config = Config::default();
    direct(&mut config);
    let error = Ground::check(&config, &topics, &broker).err().unwrap().to_string();
    assert!(error.contains("events has 3 partitions") && error.contains("2"), "{error}");
}
