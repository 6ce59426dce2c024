//! The log's promises, kept by a real broker.

use crate::broker::{brokers, kafka, topic, unique};
use pipeline::log::kafka::{KafkaBroker, KafkaFeed};
use pipeline::log::staged::Staged;
use pipeline::log::transaction::{TaskOffset, Transactor};
use pipeline::log::{Broker, Change, Class, Log, LogError, Offset, Outgoing, Reader, TopicPartition, TopicSpec};
use pipeline::roles::Patience;
use schemas::output::{Emit, Output, Record};
use schemas::partition::partition_of;
use schemas::topics::Topics;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends `count` numbers, keyed by themselves.
fn feed(topic: &str, count: usize) {
    let mut feed = KafkaFeed::open(&kafka(&[])).unwrap();
    for number in 0..count {
        let text = number.to_string();
        feed.send(topic, None, Some(text.as_bytes()), Some(text.as_bytes())).unwrap();
    }
    feed.flush().unwrap();
}

/// All that is committed in a topic now, as (partition, key, value).
fn visible(topic: &str) -> Vec<(i32, String, String)> {
    let mut reader = kafka(&[]).reader(&[topic.into()]).unwrap();
    let mut seen = Vec::new();
    read_on(&mut *reader, &mut seen);
    seen
}

fn read_on(reader: &mut dyn Reader, seen: &mut Vec<(i32, String, String)>) {
    let deadline = Instant::now() + PATIENCE;
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or(b"-").to_vec()).unwrap();
    let mut reached = false;
    while !reached {
        assert!(Instant::now() < deadline, "the end is not reached");
        let polled = reader.poll(Duration::from_millis(100), &mut |record| {
            seen.push((record.partition, text(record.key), text(record.value)));
        });
        reached = polled.unwrap();
    }
}

/// Polls until the member owns something, and takes that up where it was committed.
fn join(log: &mut dyn Log) -> Vec<TopicPartition> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "nothing was assigned");
        for change in log.poll(Duration::from_millis(100), 1, &mut |_| panic!("nothing was resumed")).unwrap() {
            if let Change::Assigned(partitions) = change {
                take_up(log, &partitions);
                return partitions;
            }
        }
    }
}

fn take_up(log: &mut dyn Log, partitions: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
    let committed = log.committed(partitions).unwrap();
    let next = committed.into_iter().map(|offset| offset.map_or(0, |offset| offset.next));
    let positions: Vec<_> = partitions.iter().cloned().zip(next).collect();
    log.seek(&positions).unwrap();
    log.resume(partitions).unwrap();
    positions
}

fn send(log: &mut dyn Log, topic: &str, value: &str) -> Result<(), LogError> {
    log.send(Outgoing { topic, partition: 0, key: Some(b"k"), value: Some(value.as_bytes()), headers: &[] })
}

#[test]
fn records_offsets_and_metadata_go_round_in_one_transaction() {
    let (input, output) = (topic("in", 3, &[]), topic("out", 3, &[]));
    feed(&input, 200);
    let (group, member) = (unique("group"), unique("member"));
    let mut log = kafka(&[]).open(&group, &member, std::slice::from_ref(&input)).unwrap();
    let assigned = join(&mut *log);
    assert_eq!((assigned.len(), log.assignment().unwrap().len()), (3, 3));
    let (mut seen, mut next, mut ends) = (Vec::new(), BTreeMap::new(), 0);
    while seen.len() < 200 || ends < 3 {
        let changes = log.poll(Duration::from_secs(5), 50, &mut |record| {
            assert!(record.timestamp_ms.is_some());
            assert_eq!(record.partition, partition_of(record.key.unwrap(), 3), "as Java's producers place it");
            next.insert(record.partition, record.offset + 1);
            seen.push((record.partition, record.value.unwrap().to_vec()));
        });
        ends += changes.unwrap().iter().filter(|change| matches!(change, Change::AtEnd(_))).count();
    }
    let offset = |partition: i32| {
        let at = TopicPartition { topic: input.as_str().into(), partition };
        Offset { at, next: next[&partition], metadata: format!("max={partition}") }
    };
    log.begin().unwrap();
    for (partition, value) in &seen {
        let headers: [(&str, &[u8]); 1] = [("wellspring.error", b"none")];
        let record =
            Outgoing { topic: &output, partition: *partition, key: None, value: Some(value), headers: &headers };
        log.send(record).unwrap();
    }
    log.send_offsets(&[offset(0), offset(2)]).unwrap();
    log.commit().unwrap();
    let partitions: Vec<TopicPartition> = (0..3).map(|partition| offset(partition).at).collect();
    assert_eq!(log.committed(&partitions).unwrap(), [Some(offset(0)), None, Some(offset(2))]);
    let count = |partition: i32| seen.iter().filter(|(of, _)| *of == partition).count() as i64;
    let at = TopicPartition { topic: output.as_str().into(), partition: 1 };
    assert_eq!(log.watermarks(&at).unwrap(), (0, count(1) + 1), "the records, and the transaction's marker");
    let mut sent: Vec<_> =
        visible(&output).into_iter().map(|(partition, _, value)| (partition, value.into_bytes())).collect();
    sent.sort();
    seen.sort();
    assert_eq!(sent, seen);
}

#[test]
fn readers_see_neither_open_nor_aborted_transactions() {
    let output = topic("out", 1, &[]);
    let mut log = kafka(&[]).open(&unique("group"), &unique("member"), std::slice::from_ref(&output)).unwrap();
    let mut reader = kafka(&[]).reader(std::slice::from_ref(&output)).unwrap();
    let values = |seen: &[(i32, String, String)]| seen.iter().map(|(_, _, value)| value.clone()).collect::<Vec<_>>();
    let mut seen = Vec::new();
    for (value, commit) in [("aborted", false), ("committed", true)] {
        log.begin().unwrap();
        send(&mut *log, &output, value).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        reader.catch_up().unwrap();
        read_on(&mut *reader, &mut seen);
        assert_eq!(values(&seen), [""; 0], "{value} is not decided yet");
        if commit {
            log.commit().unwrap()
        } else {
            log.abort().unwrap()
        }
        reader.catch_up().unwrap();
        read_on(&mut *reader, &mut seen);
    }
    assert_eq!(values(&seen), ["committed"]);
}

#[test]
fn a_zombie_is_fenced_and_may_reopen() {
    let output = topic("out", 1, &[]);
    let member = unique("member");
    let mut zombie = kafka(&[]).open(&unique("group"), &member, std::slice::from_ref(&output)).unwrap();
    zombie.begin().unwrap();
    send(&mut *zombie, &output, "zombie").unwrap();
    let mut heir = kafka(&[]).open(&unique("group"), &member, std::slice::from_ref(&output)).unwrap();
    let error = zombie.commit().unwrap_err();
    assert_eq!((error.class, error.fenced), (Class::Reopen, true), "{error}");
    heir.begin().unwrap();
    send(&mut *heir, &output, "heir").unwrap();
    heir.commit().unwrap();
    zombie.reopen().unwrap();
    zombie.begin().unwrap();
    send(&mut *zombie, &output, "again").unwrap();
    zombie.commit().unwrap();
    assert_eq!(visible(&output).into_iter().map(|(_, _, value)| value).collect::<Vec<_>>(), ["heir", "again"]);
}

#[test]
fn committed_offsets_wait_for_the_transaction_that_is_to_change_them() {
    let input = topic("in", 1, &[]);
    let group = unique("group");
    let member = || kafka(&[]).open(&group, &unique("member"), std::slice::from_ref(&input)).unwrap();
    let mut owner = member();
    let at = join(&mut *owner).remove(0);
    owner.begin().unwrap();
    owner.send_offsets(&[Offset { at: at.clone(), next: 7, metadata: "seven".into() }]).unwrap();
    let mut other = member();
    let begun = Instant::now();
    let waiting = std::thread::spawn(move || (other.committed(&[at]).unwrap(), begun.elapsed()));
    std::thread::sleep(Duration::from_millis(700));
    owner.commit().unwrap();
    let (committed, waited) = waiting.join().unwrap();
    assert_eq!(committed[0].as_ref().map(|offset| (offset.next, offset.metadata.as_str())), Some((7, "seven")));
    assert!(waited >= Duration::from_millis(700), "{waited:?}");
}

/// A worker that copies its input through staged transactions, until it is told to stop.
fn copy(cluster: &KafkaBroker, group: &str, [input, prefix]: [&str; 2], stop: &AtomicBool) {
    let topics = Topics::new("app", prefix, vec!["v".into()]);
    let (mut staged, mut transactor) =
        (Staged::new(&topics, &[], 12), Transactor::new(PATIENCE, Patience::default().pauses));
    let mut log = cluster.open(group, &unique("member"), &[input.into()]).unwrap();
    let mut positions: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut changes = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for change in std::mem::take(&mut changes) {
            match change {
                Change::Assigned(partitions) => positions.extend(take_up(&mut *log, &partitions)),
                Change::Revoked(partitions) => positions.retain(|at, _| !partitions.contains(at)),
                Change::AtEnd(_) | Change::Finished(_) => {}
            }
        }
        staged.clear();
        let before = positions.clone();
        let polled = log.poll(Duration::from_millis(20), 100, &mut |record| {
            let (output, partition) = (Output::View(0), record.partition);
            staged.emit(partition, Record { output, partition, key: record.key, value: record.value, headers: &[] });
            let at = TopicPartition { topic: record.topic.clone(), partition };
            *positions.get_mut(&at).expect("a record of a partition that is ours") = record.offset + 1;
        });
        let told = polled.unwrap();
        // What is told now happened before these records, so none of them is of a partition that was revoked.
        let moved = positions.iter().filter(|(at, next)| before[at] < **next).map(|(at, next)| TaskOffset {
            task: at.partition,
            before: before[at],
            offset: Offset { at: at.clone(), next: *next, metadata: String::new() },
        });
        let moved: Vec<TaskOffset> = moved.collect();
        changes = told;
        changes.extend(transactor.commit(&mut *log, &staged, &moved).unwrap().changes);
    }
}

/// Ends the workers however the test ends.
struct StopAll<'a>(&'a [AtomicBool]);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
    }
}

fn two_members_share(properties: &[(&str, &str)]) {
    const COUNT: usize = 4000;
    let (input, prefix) = (topic("in", 6, &[]), unique("p"));
    let output = format!("{prefix}features.v");
    let spec = TopicSpec { name: output.clone(), partitions: 6, settings: Vec::new() };
    kafka(&[]).create(&[spec]).unwrap();
    let (group, stops) = (unique("group"), [AtomicBool::new(false), AtomicBool::new(false)]);
    let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    std::thread::scope(|scope| {
        let _stop_all = StopAll(&stops);
        let worker = |stop| {
            let (group, input, prefix) = (&group, &input, &prefix);
            move || copy(&kafka(properties), group, [input, prefix], stop)
        };
        scope.spawn(worker(&stops[0]));
        feed(&input, COUNT / 4);
        scope.spawn(worker(&stops[1]));
        let mut reader = kafka(&[]).reader(std::slice::from_ref(&output)).unwrap();
        for part in 1..4 {
            feed(&input, COUNT / 4);
            // The second has joined in the meantime; the first leaves before the last part.
            while seen.len() < COUNT / 4 * part && Instant::now() < deadline {
                reader.catch_up().unwrap();
                read_on(&mut *reader, &mut seen);
            }
            stops[0].store(part >= 2, Ordering::Relaxed);
        }
        while seen.len() < COUNT && Instant::now() < deadline {
            reader.catch_up().unwrap();
            read_on(&mut *reader, &mut seen);
        }
    });
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for (_, _, value) in seen {
        *copies.entry(value).or_default() += 1;
    }
    let wrong: Vec<_> = copies.iter().filter(|(_, count)| **count != 4).collect();
    assert!(copies.len() == COUNT / 4 && wrong.is_empty(), "{} values, not four times: {wrong:?}", copies.len());
}

#[test]
fn two_members_share_and_nothing_is_lost_or_repeated() {
    two_members_share(&[("session.timeout.ms", "3000")]);
}

#[test]
fn the_newer_group_protocol_serves_as_well() {
    two_members_share(&[("group.protocol", "consumer")]);
}

#[test]
fn a_worker_that_ends_leaves_no_transaction_open() {
    let output = topic("out", 1, &[]);
    let open = || kafka(&[]).open(&unique("group"), &unique("member"), std::slice::from_ref(&output)).unwrap();
    let (mut ends, mut other) = (open(), open());
    ends.begin().unwrap();
    send(&mut *ends, &output, "undecided").unwrap();
    ends.send_offsets(&[]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    other.begin().unwrap();
    send(&mut *other, &output, "committed").unwrap();
    other.commit().unwrap();
    assert_eq!(visible(&output).len(), 0, "it stands behind the undecided one");
    drop(ends);
    assert_eq!(visible(&output).len(), 1);
}

/// librdkafka's own flush would make each commit wait for at least 100 ms.
#[test]
fn a_commit_takes_less_than_a_tenth_of_a_second() {
    let output = topic("out", 3, &[]);
    let mut log = kafka(&[]).open(&unique("group"), &unique("member"), std::slice::from_ref(&output)).unwrap();
    let mut took = Vec::new();
    for _ in 0..40 {
        log.begin().unwrap();
        for number in 0..100 {
            let record = Outgoing { topic: &output, partition: number % 3, key: None, value: Some(b"v"), headers: &[] };
            log.send(record).unwrap();
        }
        let begun = Instant::now();
        log.commit().unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    println!("commit: median {:?}, slowest {:?}", took[20], took[39]);
    assert!(took[20] < Duration::from_millis(100), "{took:?}");
}

#[test]
fn topics_are_made_once_and_described() {
    let cluster = kafka(&[]);
    let name = unique("made");
    let settings = vec![("cleanup.policy".into(), "compact".into())];
    let spec = TopicSpec { name: name.clone(), partitions: 5, settings: settings.clone() };
    assert_eq!(cluster.partitions(&name).unwrap(), None);
    assert_eq!(cluster.describe(&name, &[]).unwrap(), None);
    assert_eq!(cluster.create(std::slice::from_ref(&spec)).unwrap(), std::slice::from_ref(&name));
    assert_eq!(cluster.create(&[spec]).unwrap(), [""; 0]);
    let state = cluster.describe(&name, &["cleanup.policy".into()]).unwrap().unwrap();
    assert_eq!((state.partitions, state.settings), (5, settings));
}

#[test]
fn an_unknown_topic_and_an_unreachable_broker_are_told() {
    let told =
        |opened: Result<Box<dyn Log>, LogError>| opened.err().map(|error| (error.class, error.to_string())).unwrap();
    let (class, text) = told(kafka(&[]).open("g", "m", &["nowhere".into()]));
    assert_eq!(class, Class::Fatal);
    assert!(text.contains("\"nowhere\"") && text.contains("wellspring topics create"), "{text}");
    let (class, text) = told(KafkaBroker::new("127.0.0.1:1", &BTreeMap::new()).open("g", "m", &["t".into()]));
    assert_eq!(class, Class::Fatal);
    assert!(text.contains("`kafka.brokers`"), "{text}");
}

/// `auto.offset.reset` would go on at the log's beginning without a word.
#[test]
fn records_that_retention_took_before_they_were_read_are_missed() {
    use rdkafka::admin::{AdminClient, AdminOptions};
    use rdkafka::client::DefaultClientContext;
    use rdkafka::{ClientConfig, Offset as At, TopicPartitionList};
    let input = topic("in", 1, &[]);
    feed(&input, 100);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&input, 0, At::Offset(50)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(admin.delete_records(&before, &AdminOptions::new())).unwrap();
    let mut log = kafka(&[]).open(&unique("group"), &unique("member"), std::slice::from_ref(&input)).unwrap();
    let at = join(&mut *log).remove(0);
    assert_eq!(log.watermarks(&at).unwrap(), (50, 100));
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline);
        if let Err(error) =
            log.poll(Duration::from_millis(100), 10, &mut |record| panic!("{} was given", record.offset))
        {
            break error;
        }
    };
    assert_eq!(error.class, Class::Fatal);
    assert!(error.to_string().contains("retention"), "{error}");
}
