//! Each meaning of the log by itself.

use super::*;
use crate::log::{Change, Incoming, Offset, Outgoing, TopicPartition};

fn spec(name: &str, partitions: i32, settings: &[(&str, &str)]) -> TopicSpec {
    let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    TopicSpec { name: name.into(), partitions, settings }
}

/// A cluster with `in` (four partitions), `out` (one), and `kept` (one, compacted).
fn cluster(settings: EmbeddedSettings) -> Embedded {
    let log = Embedded::new(settings);
    let topics = [spec("in", 4, &[]), spec("out", 1, &[]), spec("kept", 1, &[("cleanup.policy", "compact")])];
    assert_eq!(log.create(&topics).unwrap(), ["in", "out", "kept"]);
    log
}

/// Waits for nobody, and keeps what was read, so that it can be read again.
fn quick() -> EmbeddedSettings {
    EmbeddedSettings { wait_max: Duration::ZERO, trims: false, ..EmbeddedSettings::default() }
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn offset(partition: i32, next: i64, metadata: &str) -> Offset {
    Offset { at: at("in", partition), next, metadata: metadata.into() }
}

fn member(log: &Embedded, name: &str) -> Box<dyn Log> {
    log.open("g", name, &["in".into()]).unwrap()
}

fn send(log: &mut dyn Log, topic: &str, key: &str, value: Option<&str>) {
    let value = value.map(str::as_bytes);
    log.send(Outgoing { topic, partition: 0, key: Some(key.as_bytes()), value, headers: &[] }).unwrap();
}

/// All that a new reader of `topic` sees, as `key=value`.
fn visible(log: &Embedded, topic: &str) -> Vec<String> {
    let mut reader = log.records(&[topic.into()]).unwrap();
    let mut seen = Vec::new();
    while !reader.poll(Duration::ZERO, &mut |record| seen.push(text(&record))).unwrap() {}
    seen
}

fn text(record: &Incoming<'_>) -> String {
    let part = |bytes: Option<&[u8]>| bytes.map_or("-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{}={}", part(record.key), part(record.value))
}

/// Polls once; seeks what is assigned to its committed offset, or the beginning, and resumes it.
fn step(log: &mut dyn Log, max: usize, seen: &mut Vec<(i32, i64)>) -> Vec<Change> {
    let changes = log.poll(Duration::ZERO, max, &mut |record| seen.push((record.partition, record.offset))).unwrap();
    for change in &changes {
        if let Change::Assigned(partitions) = change {
            let committed = log.committed(partitions).unwrap();
            let next = |offset: Option<Offset>| offset.map_or(0, |offset| offset.next);
            let positions: Vec<_> = partitions.iter().cloned().zip(committed.into_iter().map(next)).collect();
            log.seek(&positions).unwrap();
            log.resume(partitions).unwrap();
        }
    }
    changes
}

fn numbers(log: &mut dyn Log) -> Vec<i32> {
    log.assignment().unwrap().into_iter().map(|at| at.partition).collect()
}

#[test]
fn a_reopened_id_fences_the_older_and_settles_its_transaction() {
    let log = cluster(quick());
    let mut zombie = log.open("g", "w", &["in".into()]).unwrap();
    zombie.begin().unwrap();
    send(&mut *zombie, "out", "a", Some("zombie"));
    zombie.send_offsets(&[]).unwrap();
    let mut heir = log.open("h", "w", &["in".into()]).unwrap();
    let error = zombie.commit().unwrap_err();
    assert_eq!((error.class, error.fenced), (Class::Reopen, true));
    assert!(zombie.begin().unwrap_err().fenced && zombie.abort().unwrap_err().fenced);
    heir.begin().unwrap();
    send(&mut *heir, "out", "a", Some("heir"));
    heir.commit().unwrap();
    assert_eq!(visible(&log, "out"), ["a=heir"]);
    zombie.reopen().unwrap();
    assert!(heir.begin().unwrap_err().fenced);
}

#[test]
fn an_undecided_transaction_hides_all_behind_it_and_an_aborted_one_only_itself() {
    let log = cluster(quick());
    let (mut first, mut second) = (member(&log, "a"), member(&log, "b"));
    first.begin().unwrap();
    second.begin().unwrap();
    send(&mut *first, "out", "a", Some("1"));
    first.send_offsets(&[]).unwrap();
    send(&mut *second, "out", "b", Some("2"));
    second.commit().unwrap();
    assert_eq!(visible(&log, "out"), [""; 0], "b is behind the undecided a");
    let mut watch = member(&log, "c");
    assert_eq!(watch.watermarks(&at("out", 0)).unwrap(), (0, 0));
    first.abort().unwrap();
    assert_eq!(visible(&log, "out"), ["b=2"]);
    // One record each, and the two markers.
    assert_eq!(watch.watermarks(&at("out", 0)).unwrap(), (0, 4));
}

#[test]
fn offsets_and_their_metadata_are_committed_with_the_transaction_only() {
    let log = cluster(quick());
    let mut member = member(&log, "a");
    let everywhere: Vec<_> = (0..2).map(|partition| at("in", partition)).collect();
    step(&mut *member, 1, &mut Vec::new());
    member.begin().unwrap();
    member.send_offsets(&[offset(1, 7, "seven")]).unwrap();
    assert_eq!(member.committed(&everywhere).unwrap_err().class, Class::Retriable, "it is being decided");
    member.commit().unwrap();
    assert_eq!(member.committed(&everywhere).unwrap(), [None, Some(offset(1, 7, "seven"))]);
    member.begin().unwrap();
    member.send_offsets(&[offset(1, 9, "nine")]).unwrap();
    member.abort().unwrap();
    assert_eq!(member.committed(&everywhere).unwrap(), [None, Some(offset(1, 7, "seven"))]);
}

#[test]
fn two_members_share_evenly_and_a_partition_moves_only_when_its_owner_knows() {
    let log = cluster(quick());
    let mut first = member(&log, "a");
    step(&mut *first, 1, &mut Vec::new());
    assert_eq!(numbers(&mut *first), [0, 1, 2, 3]);
    let mut second = member(&log, "b");
    assert_eq!(step(&mut *second, 1, &mut Vec::new()), [], "the first has not let go yet");
    let lost = step(&mut *first, 1, &mut Vec::new());
    assert_eq!(lost[0], Change::Revoked(vec![at("in", 2), at("in", 3)]));
    assert_eq!(step(&mut *second, 1, &mut Vec::new())[0], Change::Assigned(vec![at("in", 2), at("in", 3)]));
    drop(first);
    step(&mut *second, 1, &mut Vec::new());
    assert_eq!(numbers(&mut *second), [0, 1, 2, 3]);
}

#[test]
fn a_stale_members_offsets_are_refused() {
    let log = cluster(quick());
    let mut member = member(&log, "a");
    step(&mut *member, 1, &mut Vec::new());
    member.begin().unwrap();
    send(&mut *member, "out", "a", Some("stale"));
    log.expire("g", "a");
    assert_eq!(member.send_offsets(&[offset(0, 1, "")]).unwrap_err().class, Class::Abortable);
    member.abort().unwrap();
    let changes = step(&mut *member, 1, &mut Vec::new());
    let all: Vec<_> = (0..4).map(|partition| at("in", partition)).collect();
    assert_eq!(changes[..2], [Change::Revoked(all.clone()), Change::Assigned(all)]);
    assert_eq!(visible(&log, "out"), [""; 0]);
}

#[test]
fn a_member_of_the_same_name_takes_the_place_of_the_older() {
    let log = cluster(quick());
    let mut older = member(&log, "a");
    step(&mut *older, 1, &mut Vec::new());
    let mut younger = member(&log, "a");
    step(&mut *younger, 1, &mut Vec::new());
    assert_eq!(numbers(&mut *younger), [0, 1, 2, 3]);
    let error = older.poll(Duration::ZERO, 1, &mut |_| {}).unwrap_err();
    assert_eq!((error.class, error.fenced), (Class::Fatal, true));
}

#[test]
fn a_sealed_partition_is_finished_when_read_to_its_end() {
    let log = cluster(quick());
    let mut member = member(&log, "a");
    let mut seen = Vec::new();
    step(&mut *member, 10, &mut seen);
    let mut ends = step(&mut *member, 10, &mut seen);
    ends.sort_by_key(|change| format!("{change:?}"));
    assert_eq!(ends, (0..4).map(|partition| Change::AtEnd(at("in", partition))).collect::<Vec<_>>());
    assert_eq!(step(&mut *member, 10, &mut seen), [], "an end is told once");
    for value in ["1", "2"] {
        log.append("in", 3, Some(5), None, Some(value.as_bytes())).unwrap();
    }
    log.seal("in", 3).unwrap();
    assert!(log.append("in", 3, None, None, None).is_err());
    assert_eq!(step(&mut *member, 1, &mut seen), []);
    assert_eq!(step(&mut *member, 10, &mut seen), []);
    assert_eq!(seen, [(3, 0), (3, 1)]);
    assert_eq!(step(&mut *member, 10, &mut seen), [Change::AtEnd(at("in", 3)), Change::Finished(at("in", 3))]);
    assert!(!log.drained("g", "in").unwrap());
    member.begin().unwrap();
    member.send_offsets(&[offset(3, 2, "")]).unwrap();
    assert!(!log.drained("g", "in").unwrap());
    member.commit().unwrap();
    assert!(log.drained("g", "in").unwrap());
}

#[test]
fn a_feed_that_runs_ahead_waits_for_the_group_and_what_was_read_is_dropped() {
    let log = cluster(EmbeddedSettings { topic_bytes_max: 64 << 10, ..Default::default() });
    let mut member = member(&log, "a");
    step(&mut *member, 10, &mut Vec::new());
    let feed = log.clone();
    let (count, value) = (5000_i64, [7_u8; 1000]);
    let feeder = std::thread::spawn(move || {
        (0..count).try_for_each(|_| feed.append("in", 0, None, None, Some(&value)).map(drop))
    });
    let (mut seen, mut most) = (Vec::new(), 0);
    while (seen.len() as i64) < count {
        let partition = member.poll(Duration::from_millis(100), 100, &mut |record| seen.push(record.offset)).map(drop);
        partition.unwrap();
        most = most.max(log.shared.lock().topics[0].bytes());
        member.begin().unwrap();
        member.send_offsets(&[offset(0, seen.last().map_or(0, |last| last + 1), "")]).unwrap();
        member.commit().unwrap();
    }
    feeder.join().unwrap().unwrap();
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
    assert!(most <= (64 << 10) + 2000, "{most}");
    assert_eq!(log.shared.lock().topics[0].bytes(), 0);
    assert_eq!(member.watermarks(&at("in", 0)).unwrap(), (count, count));
    member.seek(&[(at("in", 0), 0)]).unwrap();
    assert_eq!(member.poll(Duration::ZERO, 1, &mut |_| {}).unwrap_err().class, Class::Fatal, "it was trimmed");
}

#[test]
fn a_member_whose_output_is_not_read_gets_no_more_input() {
    let log = cluster(EmbeddedSettings { topic_bytes_max: 1000, ..Default::default() });
    let mut member = member(&log, "a");
    let mut reader = log.records(&["out".into()]).unwrap();
    step(&mut *member, 1, &mut Vec::new());
    member.begin().unwrap();
    send(&mut *member, "out", "a", Some(&"x".repeat(2000)));
    member.commit().unwrap();
    log.append("in", 0, None, None, Some(b"1")).unwrap();
    let mut seen = Vec::new();
    step(&mut *member, 1, &mut seen);
    assert_eq!(seen, []);
    reader.poll(Duration::ZERO, &mut |_| {}).unwrap();
    step(&mut *member, 1, &mut seen);
    assert_eq!(seen, [(0, 0)]);
}

#[test]
fn compaction_keeps_the_newest_of_each_key_at_its_offset() {
    let log = cluster(quick());
    let mut member = member(&log, "a");
    let long = "x".repeat(1000);
    for round in 0..2000 {
        member.begin().unwrap();
        let value = format!("{round}{long}");
        send(&mut *member, "kept", ["a", "b", "c"][round % 3], (round != 1).then_some(&value));
        member.commit().unwrap();
    }
    member.begin().unwrap();
    send(&mut *member, "kept", "b", None);
    send(&mut *member, "kept", "c", Some("end"));
    member.commit().unwrap();
    let seen = visible(&log, "kept");
    assert!(seen.len() < 1100, "{} records are left", seen.len());
    let newest: BTreeMap<&str, &str> = seen.iter().filter_map(|record| record.split_once('=')).collect();
    assert_eq!(newest["c"], "end");
    assert!(newest["a"].starts_with("1998x"));
    assert_eq!(newest["b"], "-");
    let error = member.send(Outgoing { topic: "kept", partition: 0, key: None, value: None, headers: &[] });
    assert_eq!(error.unwrap_err().class, Class::Fatal);
}

#[test]
fn headers_travel_with_the_record() {
    let log = cluster(quick());
    let mut member = member(&log, "a");
    member.begin().unwrap();
    let headers: [(&str, &[u8]); 2] = [("wellspring.error", b"not JSON"), ("empty", b"")];
    member.send(Outgoing { topic: "out", partition: 0, key: None, value: Some(b"{"), headers: &headers }).unwrap();
    member.commit().unwrap();
    let mut seen = Vec::new();
    log.records(&["out".into()])
        .unwrap()
        .poll_headers(Duration::ZERO, &mut |record, headers| {
            assert_eq!((record.key, record.value), (None, Some(&b"{"[..])));
            seen.extend(headers.map(|(name, value)| (name.to_owned(), value.to_vec())));
        })
        .unwrap();
    assert_eq!(seen, headers.map(|(name, value)| (name.to_owned(), value.to_vec())));
}

#[test]
fn stop_ends_all_waiting() {
    let log = cluster(EmbeddedSettings { topic_bytes_max: 10, ..quick() });
    log.append("in", 0, None, None, Some(&[0; 100])).unwrap();
    let feed = log.clone();
    let waiting = std::thread::spawn(move || feed.append("in", 0, None, None, None));
    let mut member = log.open("other", "a", &["out".into()]).unwrap();
    member.poll(Duration::ZERO, 1, &mut |_| {}).unwrap();
    let polling = std::thread::spawn(move || member.poll(Duration::from_secs(60), 1, &mut |_| {}));
    std::thread::sleep(Duration::from_millis(20));
    log.stop();
    assert!(waiting.join().unwrap().is_err());
    assert_eq!(polling.join().unwrap().unwrap(), []);
}

#[test]
fn an_unknown_topic_is_named() {
    let log = cluster(quick());
    let Err(error) = log.open("g", "a", &["nowhere".into()]) else { panic!("it opened") };
    assert_eq!(error.to_string(), "topic \"nowhere\": does not exist: create it first (`wellspring topics create`)");
}

/// Run with `--nocapture` to see the cost of one record through append and poll, and through a transaction.
#[test]
fn records_are_cheap() {
    let log = cluster(EmbeddedSettings::default());
    let mut member = member(&log, "a");
    step(&mut *member, 1, &mut Vec::new());
    let (count, value) = (400_000_usize, [1_u8; 200]);
    let begun = Instant::now();
    let (mut sum, mut seen) = (0, 0);
    for batch in 0..count / 8192 {
        for index in 0..8192 {
            log.append("in", 0, None, Some(&(index as u64).to_le_bytes()), Some(&value)).unwrap();
        }
        member
            .poll(Duration::ZERO, 8192, &mut |record| {
                (sum, seen) = (sum + record.value.map_or(0, <[u8]>::len), seen + 1)
            })
            .unwrap();
        assert_eq!(seen, (batch + 1) * 8192);
        member.begin().unwrap();
        member.send_offsets(&[offset(0, seen as i64, "")]).unwrap();
        member.commit().unwrap();
    }
    let appended = begun.elapsed();
    let mut reader = log.records(&["out".into()]).unwrap();
    let begun = Instant::now();
    for _ in 0..count / 8192 {
        member.begin().unwrap();
        for index in 0..8192 {
            let key = (index as u64).to_le_bytes();
            let record = Outgoing { topic: "out", partition: 0, key: Some(&key), value: Some(&value), headers: &[] };
            member.send(record).unwrap();
        }
        member.commit().unwrap();
        while !{
            reader.catch_up().unwrap();
            reader.poll(Duration::ZERO, &mut |record| sum += record.value.map_or(0, <[u8]>::len)).unwrap()
        } {}
    }
    let sent = begun.elapsed();
    assert_eq!(sum, 2 * (count / 8192 * 8192) * value.len());
    let each = |time: Duration| time.as_nanos() as usize / count;
    println!("ns a record: append and poll {}, send and read {}", each(appended), each(sent));
    assert!(each(appended) < 2000 && each(sent) < 2000, "{appended:?} {sent:?}: something grows with the log");
}
