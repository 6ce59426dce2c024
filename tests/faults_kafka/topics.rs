//! Topics that are missing, deleted under the running service, too small, or grow. The brokers would make a topic for whoever
//! asks for it (Kafka's default).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pipeline::log::{Broker, TopicSpec};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use crate::broker::{Node, unique};
use crate::path::VIEWS;
use crate::service_kafka::{World, lines_and_outcome};

static NODE: LazyLock<Node> = LazyLock::new(|| Node::new("auto.create.topics.enable=true\nnum.partitions=1\n"));

fn world(dir: &tempfile::TempDir, name: &str) -> World {
    let mut world = World::new(dir, unique(name), VIEWS);
    world.brokers = NODE.address();
    world.create_topics();
    world
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", NODE.address()).create().unwrap()
}

fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}

fn delete(topic: &str) {
    wait(admin().delete_topics(&[topic], &AdminOptions::new())).unwrap().remove(0).unwrap();
}

/// Waits until nobody knows of the topic any more, then makes it.
fn make(world: &World, name: &str, partitions: i32) {
    let started = Instant::now();
    while world.cluster().partitions(name).unwrap().is_some() && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let spec = TopicSpec { name: name.into(), partitions, settings: Vec::new() };
    assert_eq!(world.cluster().create(&[spec]).unwrap(), [name]);
}

#[test]
fn a_topic_that_is_deleted_under_the_service_is_named_and_does_not_come_back() {
    for deleted in ["events", "features.ever", "by-user"] {
        let dir = tempfile::tempdir().unwrap();
        let world = world(&dir, "deleted");
        let (lines, _) = lines_and_outcome(38, 400);
        let mut service = world.serve("a");
        world.send_to("events", &lines[..200]);
        service.wait_for("state begins");
        let topic = world.topic(deleted);
        delete(&topic);
        let begun = Instant::now();
        if deleted != "events" {
            world.send_to("events", &lines[200..]);
        }
        let last = service.fails();
        println!("{deleted}: after {:?}: {last}", begun.elapsed());
        assert!(last.contains(&format!("topic {topic} does not exist")), "{last}");
        assert!(last.contains("wellspring topics create"), "{last}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        assert_eq!(world.cluster().partitions(&topic).unwrap(), None, "it came back by itself");
        let last = world.serve("a").fails();
        assert!(last.contains(&format!("topic {topic} does not exist")), "{last}");
    }
}

#[test]
fn a_log_that_is_made_anew_is_not_taken_for_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(&dir, "anew");
    let (lines, _) = lines_and_outcome(39, 400);
    let mut service = world.serve("a");
    world.send_to("events", &lines[..300]);
    service.wait_for("state begins");
    world.wait_for_snapshots();
    let by_user = world.topic("by-user");
    delete(&by_user);
    make(&world, &by_user, 4);
    world.send_to("events", &lines[300..]);
    let last = service.fails();
    println!("{last}");
    // On a slow machine it is looked at in between.
    let anew = last.contains("anew") && last.contains("another `app`");
    assert!(last.contains(&by_user) && (anew || last.contains("does not exist")), "{last}");
    // The snapshots are of the old one.
    let last = world.serve("a").fails();
    println!("{last}");
    assert!(last.contains(&by_user) && last.contains("another `app`"), "{last}");
}

#[test]
fn too_few_partitions_are_refused_and_added_ones_are_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = world(&dir, "partitions");
    for (name, partitions, needed) in [("features.ever", 2, "needed are 4"), ("by-user", 3, "the settings say 4")] {
        let topic = world.topic(name);
        delete(&topic);
        make(&world, &topic, partitions);
        let last = world.serve("a").fails();
        assert!(last.contains(&format!("topic {topic} has {partitions} partitions, {needed}")), "{last}");
        delete(&topic);
        make(&world, &topic, 4);
    }
    // Half of the events come to partitions that are added under the running service.
    world.properties.insert("topic.metadata.refresh.interval.ms".into(), "500".into());
    let (lines, expected) = lines_and_outcome(40, 1200);
    let (first, second) = lines.split_at(600);
    let mut service = world.serve("a");
    world.send_to("events", first);
    service.wait_for("state begins");
    let events = world.topic("events");
    let grown = NewPartitions::new(&events, 6);
    wait(admin().create_partitions(&[grown], &AdminOptions::new())).unwrap().remove(0).unwrap();
    let started = Instant::now();
    while world.cluster().partitions(&events).unwrap() != Some(6) {
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    world.send("events", second, 3..6, Duration::ZERO);
    world.check(&expected);
    assert!(service.is_running());
}
