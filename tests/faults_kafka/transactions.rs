//! A process that stands still for longer than its transaction may last, but not for longer than its session.

use std::time::Duration;

use crate::broker::unique;
use crate::path::VIEWS;
use crate::service_kafka::{World, lines_and_outcome};

#[test]
fn a_transaction_that_runs_out_of_time_is_done_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("timeout"), VIEWS);
    world.properties.insert("transaction.timeout.ms".into(), "1000".into());
    // Most of the time a transaction is open.
    world.settings.push(("engine.commit_interval_ms".into(), "1000".into()));
    world.create_topics();
    let (lines, expected) = lines_and_outcome(37, 4000);
    let mut service = world.serve("a");
    service.wait_for("state begins");
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| world.send_slowly("events", &lines, Duration::from_secs(12)));
        for _ in 0..2 {
            std::thread::sleep(Duration::from_secs(2));
            service.signal(libc::SIGSTOP);
            std::thread::sleep(Duration::from_millis(3500));
            service.signal(libc::SIGCONT);
        }
        feeding.join().unwrap();
    });
    world.check(&expected);
    println!("{} transactions sent again", service.said().matches("transaction sent again").count());
    assert!(service.is_running());
    service.stop();
}
