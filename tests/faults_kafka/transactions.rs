//! A transaction that lasts longer than it may (`transaction.timeout.ms`), but not longer than the session: the client gives
//! it up, or the broker aborts it and fences whoever had it open, as if another one of its name had come.

use std::time::Duration;

use super::proxy::{Network, behind_a_proxy};
use crate::broker::unique;
use crate::path::VIEWS;
use crate::service_kafka::{World, lines_and_outcome};

/// Longer than the transaction may last (2.5 s) and the broker takes to look (1 s), shorter than the session (6 s).
const STILL: Duration = Duration::from_millis(4800);

#[test]
fn a_transaction_that_runs_out_of_time_is_done_again_by_itself() {
    let (_node, near, proxy) = behind_a_proxy();
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("timeout"), VIEWS);
    world.brokers = near;
    world.create_topics();
    let (lines, expected) = lines_and_outcome(37, 4000);
    let far = format!("kafka.brokers=127.0.0.1:{}", proxy.port());
    let short = ["--set", "kafka.properties.transaction.timeout.ms=2500"];
    let mut service = world.serve_with("a", &[&["--set", &far][..], &short].concat());
    service.wait_for("state begins");
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| world.send_slowly("events", &lines, Duration::from_secs(16)));
        std::thread::sleep(Duration::from_secs(2));
        for stopped in [false, true] {
            // The broker opens the transaction and hears no more of it: the answer does not arrive, so nothing follows.
            proxy.set(Network::DeafInTransaction);
            proxy.wait_for(Network::Deaf);
            if stopped {
                service.signal(libc::SIGSTOP);
                proxy.set(Network::Whole);
            }
            std::thread::sleep(STILL);
            if stopped {
                service.signal(libc::SIGCONT);
            }
            proxy.set(Network::Whole);
            std::thread::sleep(Duration::from_secs(1));
        }
        feeding.join().unwrap();
    });
    world.check(&expected);
    let said = service.said();
    let again: Vec<&str> = said.lines().filter(|line| line.contains("transaction sent again")).collect();
    // Whoever notices first: the client, whose records are overdue, or the broker, which fences him.
    assert!(again.iter().any(|line| line.contains("timed out") || line.contains("fenced=true")), "{again:#?}");
    assert!(service.is_running());
    service.stop();
}
