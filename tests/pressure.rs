//! Poison and pressure: records, users and times out of all proportion. Nothing stops the service, nothing is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pipeline::log::embedded::EmbeddedSettings;
use pipeline::log::kafka::KafkaFeed;
use pipeline::log::{Broker, TopicSpec};
use serde_json::{Value, json};

use crate::broker::unique;
use crate::one::{One, log};
use crate::service_kafka::World;

const VIEWS: &str = "
    CREATE VIEW kinds AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();
    CREATE VIEW newest AS SELECT user_id, count(DISTINCT type) AS kinds FROM events GROUP BY user_id, latest(64);
    CREATE VIEW minutes AS SELECT user_id, type, count(*) AS n FROM events GROUP BY user_id, type, tumble(INTERVAL '1 minute');";

fn settings() -> EmbeddedSettings {
    EmbeddedSettings { trims: false, ..EmbeddedSettings::default() }
}

fn event(user: &str, kind: &str, time: i64) -> String {
    json!({"user_id": user, "type": kind, "time": time}).to_string()
}

#[test]
fn events_of_1971_and_2199_are_events() {
    let (broker, topics) = log(VIEWS, 1, settings());
    let mut one = One::start(&broker, &topics, VIEWS, None, |_| {}).unwrap();
    let (old, new) = (31_536_000_000, 7_258_118_399_999i64);
    one.feed(0, &event("u", "a", 0));
    one.feed(0, &event("u", "a", old));
    one.feed(0, &event("u", "a", new));
    for outside in [-1, new + 1, i64::MAX] {
        one.feed(0, &event("u", "a", outside));
    }
    // Nothing is in time any more, but the service goes on.
    one.feed(0, &event("u", "a", old + 1));
    one.settle().unwrap();
    let said = one.said();
    let of =
        |topic: &str| said.iter().filter(|(of, _)| of == topic).map(|(_, value)| value.clone()).collect::<Vec<_>>();
    let starts: Vec<i64> = of("features.minutes").iter().map(|value| value["window_start"].as_i64().unwrap()).collect();
    assert_eq!(starts, [0, old]);
    assert_eq!((of("late").len(), of("dead-letters").len()), (1, 3));
    assert_eq!(of("features.kinds").last().unwrap()["n"], 4);
}

#[test]
fn a_million_types_and_a_user_with_half_of_all_events() {
    const EVENTS: i64 = 1_000_000;
    let (broker, topics) = log(VIEWS, 1, EmbeddedSettings::default());
    let mut one = One::start(&broker, &topics, VIEWS, None, |config| config.history.max_events = 64).unwrap();
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    let mut windows = 0;
    for n in 0..EVENTS {
        let user = if n % 2 == 0 { "hot".to_owned() } else { format!("u{}", n % 1000) };
        one.feed(0, &event(&user, &format!("a type that nobody else has, number {n}"), 1_700_000_000_000 + n));
        if n % 20_000 == 19_999 {
            one.settle().unwrap();
            for (topic, value) in one.said() {
                windows += i64::from(topic == "features.minutes");
                if topic == "features.kinds" {
                    last.insert(value["user_id"].as_str().unwrap().into(), value);
                }
            }
        }
    }
    one.settle().unwrap();
    assert_eq!(last["hot"]["n"], EVENTS / 2);
    assert_eq!(last["u1"]["n"], EVENTS / 1000);
    let open = EVENTS % 60_000 + 60_000;
    assert!(windows >= EVENTS - open, "{windows} windows of a type each");
}

#[test]
fn what_no_topic_takes_does_not_stop_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let views =
        "CREATE VIEW all_of_it AS SELECT user_id, count(*) AS n, array_agg(category ORDER BY time) AS categories
        FROM events GROUP BY user_id, latest(100);";
    let world = World::new(&dir, unique("pressure"), views);
    // Whoever makes events may write longer records than the service takes.
    let wide = TopicSpec {
        name: world.topic("events"),
        partitions: 3,
        settings: vec![("max.message.bytes".into(), "12000000".into())],
    };
    world.cluster().create(&[wide]).unwrap();
    world.create_topics();
    let long =
        |user: &str, bytes: usize| json!({"user_id": user, "type": "a", "time": 1, "category": "x".repeat(bytes)});
    let mut lines: Vec<Vec<u8>> = Vec::new();
    lines.push(vec![b'{'; 10_000_000]);
    lines.push(long("too long", 10_000_000).to_string().into_bytes());
    // Each is fine by itself; together they are more than an output takes.
    lines.extend((0..3).map(|_| long("wide", 900_000).to_string().into_bytes()));
    lines.push(json!({"user_id": "u".repeat(900_000), "type": "a", "time": 1}).to_string().into_bytes());
    lines.push(format!("{}{}", "[".repeat(900_000), "]".repeat(900_000)).into_bytes());
    let mut feed = KafkaFeed::open(&world.cluster()).unwrap();
    for line in &lines {
        feed.send(&world.topic("events"), Some(0), None, Some(line)).unwrap();
    }
    feed.flush().unwrap();
    let service = world.serve("a");
    world.send_to("events", &[event("last", "a", 1).into_bytes()]);
    let mut reader = world.cluster().reader(&[world.topic("dead-letters"), world.topic("features.all_of_it")]).unwrap();
    let (mut dead, mut alive, started) = (Vec::<Vec<u8>>::new(), false, Instant::now());
    let begins = |value: &[u8], user: &str| value.starts_with(format!("{{\"user_id\":\"{user}").as_bytes());
    let is_all = |dead: &[Vec<u8>]| {
        let kept = [&lines[0], &lines[1], &lines[6]].iter().all(|line| dead.contains(line));
        kept && ["wide", "uuu"].iter().all(|user| dead.iter().any(|value| begins(value, user)))
    };
    while !(alive && is_all(&dead)) {
        let seen: Vec<_> = dead.iter().map(|value| (value.len(), String::from_utf8_lossy(&value[..20]))).collect();
        assert!(started.elapsed() < Duration::from_secs(60), "an event after all that is seen: {alive}; {seen:?}");
        let mut take = |record: pipeline::log::Incoming<'_>| {
            if record.topic.ends_with("dead-letters") {
                dead.push(record.value.unwrap().to_vec());
            } else {
                alive |= record.key == Some(b"last");
            }
        };
        reader.poll(Duration::from_millis(100), &mut take).unwrap();
    }
    service.stop();
}
