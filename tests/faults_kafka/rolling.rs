//! Three processes under load, restarted one after the other: nothing is lost or repeated, and how long each partition
//! stands still is measured.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::broker::unique;
use crate::path::VIEWS;
use crate::service_kafka::{World, lines_and_outcome};
use pipeline::log::Broker;

/// When outputs of each partition become visible, until told to stop.
fn arrivals(world: &World, stop: &AtomicBool) -> BTreeMap<i32, Vec<Instant>> {
    let mut reader = world.cluster().reader(&[world.topic("features.last_five")]).unwrap();
    let mut seen: BTreeMap<i32, Vec<Instant>> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let mut each = |partition| seen.entry(partition).or_default().push(Instant::now());
        reader.poll(Duration::from_millis(10), &mut |record| each(record.partition)).unwrap();
    }
    seen
}

/// The longest times without an output that begin between `from` and `to`, one a partition.
fn pauses(seen: &BTreeMap<i32, Vec<Instant>>, from: Instant, to: Instant) -> Vec<Duration> {
    let longest = |times: &Vec<Instant>| {
        let gaps = times.windows(2).filter(|gap| gap[1] >= from && gap[0] <= to).map(|gap| gap[1] - gap[0]);
        gaps.max().unwrap_or_default()
    };
    seen.values().map(longest).collect()
}

#[test]
fn a_rolling_restart_loses_nothing_and_no_partition_stands_still_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&dir, unique("rolling"), VIEWS);
    world.create_topics();
    let (lines, expected) = lines_and_outcome(32, 6000);
    let names = ["a", "b", "c"];
    let mut services: Vec<_> = names.iter().map(|name| Some(world.serve(name))).collect();
    services.iter_mut().flatten().for_each(|service| service.wait_for("running"));
    let stop = AtomicBool::new(false);
    let mut samples = Vec::new();
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| arrivals(&world, &stop));
        let feeding = scope.spawn(|| world.send_slowly("events", &lines, Duration::from_secs(22)));
        std::thread::sleep(Duration::from_secs(4));
        let mut windows = vec![(Instant::now() - Duration::from_secs(1), Instant::now())];
        for (service, name) in services.iter_mut().zip(names) {
            let begun = Instant::now();
            service.take().unwrap().stop();
            let stopped = begun.elapsed();
            let next = service.insert(world.serve(name));
            next.wait_for("running");
            println!("{name}: stopped in {stopped:?}, running again after {:?}", begun.elapsed());
            std::thread::sleep(Duration::from_secs(3));
            windows.push((begun, Instant::now()));
        }
        feeding.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        let seen = watching.join().unwrap();
        println!("without a restart: {:?}", pauses(&seen, windows[0].0, windows[0].1));
        samples.extend(windows[1..].iter().flat_map(|window| pauses(&seen, window.0, window.1)));
    });
    world.check(&expected);
    samples.sort();
    let p99 = samples[samples.len() * 99 / 100];
    println!("pause per partition and restart: {samples:?}; median {:?}, p99 {p99:?}", samples[samples.len() / 2]);
    assert!(samples.len() >= 12 && p99 < Duration::from_secs(10), "{samples:?}");
}
