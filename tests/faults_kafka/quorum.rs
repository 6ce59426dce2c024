//! With each record on three brokers and two needed (`min.insync.replicas=2`), one may go; with two gone the service waits.

use std::time::{Duration, Instant};

use crate::broker::cluster::Cluster;
use crate::broker::unique;
use crate::path::VIEWS;
use crate::service_kafka::{Service, World, lines_and_outcome};

/// Long enough that others lead what the dead one led.
const GONE: Duration = Duration::from_secs(4);

#[test]
fn one_of_three_brokers_may_go_and_with_two_gone_the_service_waits() {
    let mut cluster = Cluster::new();
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("quorum"), VIEWS);
    world.brokers = cluster.address();
    world.create_topics();
    let (lines, expected) = lines_and_outcome(34, 6000);
    let mut services = [world.serve("a"), world.serve("b")];
    services.iter_mut().for_each(|service| service.wait_for("running"));
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| world.send_slowly("events", &lines[..4000], Duration::from_secs(22)));
        // Each of them once, so that whoever led a partition, a group or a transactional id is among them.
        for place in 0..3 {
            std::thread::sleep(Duration::from_secs(1));
            cluster.kill(&[place]);
            std::thread::sleep(GONE);
            cluster.start_again(&[place]);
        }
        feeding.join().unwrap();
        let feeding = scope.spawn(|| world.send_slowly("events", &lines[4000..], Duration::from_secs(6)));
        std::thread::sleep(Duration::from_secs(1));
        let before: Vec<usize> = services.iter().map(|service| service.said().len()).collect();
        cluster.kill(&[0, 1]);
        let killed = Instant::now();
        std::thread::sleep(Duration::from_secs(8));
        // What was said of the brokers before is not said again at once.
        let waits =
            |(service, before): (&Service, &usize)| service.said()[*before..].contains("waiting for the brokers");
        while !services.iter().zip(&before).all(waits) && killed.elapsed() < Duration::from_secs(25) {
            std::thread::sleep(Duration::from_millis(200));
        }
        for (service, before) in services.iter_mut().zip(before) {
            assert!(service.is_running());
            let said = service.said();
            let lines = said[before..].lines().count();
            println!("{lines} log lines in {:?} without brokers", killed.elapsed());
            assert!(said[before..].contains("waiting for the brokers"), "it does not say what it waits for");
            assert!((lines as f64) < 12.5 * killed.elapsed().as_secs_f64(), "{lines} lines in {:?}", killed.elapsed());
        }
        cluster.start_again(&[0, 1]);
        feeding.join().unwrap();
    });
    world.check(&expected);
    assert!(services.iter_mut().all(|service| service.is_running()));
}
