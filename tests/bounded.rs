//! Memory does not grow with the number of transactions.

use std::process::Command;
use std::time::Duration;

use pipeline::log::embedded::EmbeddedSettings;

use crate::one::{One, log};

const TRANSACTIONS: i64 = 100_000;
const USERS: i64 = 50;
/// What an allocator may keep back for itself.
const GROWTH_MAX: u64 = 8 << 20;

const VIEWS: &str = "
    CREATE VIEW per_minute AS SELECT user_id, count(*) AS n, sum(value) AS spend, count(DISTINCT item_id) AS items
    FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW newest AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(16);";

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Run by the test below in a process of its own: other tests need memory too.
#[test]
#[ignore = "the other test of this file runs it"]
fn alone() {
    let (broker, topics) = log(VIEWS, 1, EmbeddedSettings::default());
    let mut one = One::start(&broker, &topics, VIEWS, None, |config| config.history.max_events = 32).unwrap();
    let mut settled = 0;
    for n in 0..TRANSACTIONS {
        let time = 1_700_000_000_000 + n * 100;
        let (user, item) = (n % USERS, n % 999);
        one.feed(
            0,
            &format!(r#"{{"user_id":"user {user}","type":"a","time":{time},"item_id":"item {item}","value":1.5}}"#),
        );
        // Longer than a commit interval, so that every record has a transaction of its own.
        one.step(Duration::from_millis(5)).unwrap();
        one.step(Duration::from_millis(5)).unwrap();
        one.said();
        if n == TRANSACTIONS / 5 {
            settled = resident_bytes();
        }
    }
    let (_, folded) = one.shared.metrics.rows();
    assert!(folded >= TRANSACTIONS as u64 - 10, "{folded} rows folded");
    let text = one.shared.metrics.text();
    let commits = text.lines().find_map(|line| line.strip_prefix(r#"wellspring_commit_seconds_count{role="engine"} "#));
    assert!(commits.unwrap().parse::<i64>().unwrap() >= TRANSACTIONS - 10, "{commits:?} transactions");
    let end = resident_bytes();
    println!("{settled} bytes after {}, {end} after {TRANSACTIONS} transactions", TRANSACTIONS / 5);
    assert!(end <= settled + GROWTH_MAX, "{settled} bytes grew to {end}");
}

#[test]
fn a_hundred_thousand_transactions_leave_nothing_behind() {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--ignored", "--exact", "bounded::alone", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
