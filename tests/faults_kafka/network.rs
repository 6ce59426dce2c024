//! A process whose network stalls or is cut for longer than its session: others take over, and what it sends late is void.

use std::time::Duration;

use super::proxy::{Network, behind_a_proxy};
use crate::broker::unique;
use crate::path::VIEWS;
use crate::service_kafka::{World, lines_and_outcome};

/// Longer than the session (6 s), so that all partitions are another's by then.
const AWAY: Duration = Duration::from_secs(9);

#[test]
fn a_process_that_was_cut_off_writes_nothing_twice() {
    let (_node, near, proxy) = behind_a_proxy();
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("network"), VIEWS);
    world.brokers = near;
    world.create_topics();
    let (lines, expected) = lines_and_outcome(35, 6000);
    let far = format!("kafka.brokers=127.0.0.1:{}", proxy.port());
    let mut cut_off = world.serve_with("far", &["--set", &far]);
    cut_off.wait_for("partitions assigned");
    let mut other = world.serve("near");
    other.wait_for("state begins");
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| world.send_slowly("events", &lines, Duration::from_secs(28)));
        for network in [Network::Stalled, Network::Cut] {
            std::thread::sleep(Duration::from_secs(3));
            proxy.set(network);
            std::thread::sleep(AWAY);
            proxy.set(Network::Whole);
        }
        feeding.join().unwrap();
    });
    world.check(&expected);
    assert!(cut_off.is_running() && other.is_running());
}

#[test]
fn of_two_processes_of_one_name_one_ends_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&dir, unique("twins"), VIEWS);
    world.create_topics();
    let (lines, expected) = lines_and_outcome(36, 3000);
    let mut services = vec![world.serve("a"), world.serve("a")];
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| world.send_slowly("events", &lines, Duration::from_secs(10)));
        while services.iter_mut().all(|service| service.is_running()) {
            std::thread::sleep(Duration::from_millis(50));
        }
        feeding.join().unwrap();
    });
    let ended = services.iter_mut().position(|service| !service.is_running()).unwrap();
    let last = services.remove(ended).fails();
    assert!(last.contains("two processes run under one name") && last.contains("`instance`"), "{last}");
    // Whoever is left, or comes next, goes on: the other may have been fenced once too often as well.
    std::thread::sleep(Duration::from_secs(5));
    let _next = (!services[0].is_running()).then(|| world.serve("a"));
    world.check(&expected);
}
