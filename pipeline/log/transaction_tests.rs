//! Whatever call fails, however it fails: nothing is lost, and nothing is there twice.

use super::*;
use crate::log::embedded::{Call, Embedded, EmbeddedSettings, Fault, Faults};
use crate::log::{Broker, TopicSpec};
use schemas::output::{Emit, Output, Record};
use schemas::topics::Topics;
use std::sync::{Arc, Mutex};

const PARTITIONS: i32 = 2;
const RECORDS: usize = 60;
const BATCH: usize = 7;

/// Fails calls by a rule that sees how often each was made.
type Rule = Box<dyn FnMut(Call) -> Option<Fault> + Send>;
struct Script(Mutex<Rule>);

impl Faults for Script {
    fn at(&self, call: Call, member: &str) -> Option<Fault> {
        if member == "w" { self.0.lock().unwrap()(call) } else { None }
    }
}

fn error(class: Class, fenced: bool) -> LogError {
    LogError { fenced, ..LogError::new(class, "script".into(), format!("{class:?}")) }
}

fn world(rule: Rule) -> Embedded {
    let settings = EmbeddedSettings { trims: false, wait_max: Duration::ZERO, ..Default::default() };
    let log = Embedded::with_faults(settings, Arc::new(Script(Mutex::new(rule))));
    let spec = |name: &str| TopicSpec { name: name.into(), partitions: PARTITIONS, settings: Vec::new() };
    log.create(&[spec("in"), spec("features.v")]).unwrap();
    for number in 0..RECORDS {
        let value = number.to_string();
        log.append("in", number as i32 % PARTITIONS, None, None, Some(value.as_bytes())).unwrap();
    }
    log
}

/// A worker that copies its input; it takes up its partitions at their committed offsets.
struct Worker {
    log: Box<dyn Log>,
    staged: Staged,
    transactor: Transactor,
    positions: Vec<(TopicPartition, i64)>,
}

impl Worker {
    fn new(broker: &Embedded) -> Self {
        let topics = Topics::new("app", "", vec!["v".into()]);
        Self {
            log: broker.open("g", "w", &["in".into()]).unwrap(),
            staged: Staged::new(&topics, &[], 12),
            transactor: Transactor::new(Duration::from_secs(20), (Duration::ZERO, Duration::ZERO)),
            positions: Vec::new(),
        }
    }

    fn handle(&mut self, changes: Vec<Change>) -> Result<(), LogError> {
        for change in changes {
            match change {
                Change::Assigned(partitions) => {
                    let committed = self.log.committed(&partitions)?;
                    let next = committed.into_iter().map(|offset| offset.map_or(0, |offset| offset.next));
                    let positions: Vec<_> = partitions.iter().cloned().zip(next).collect();
                    self.log.seek(&positions)?;
                    self.log.resume(&partitions)?;
                    self.positions.extend(positions);
                }
                Change::Revoked(partitions) => self.positions.retain(|(at, _)| !partitions.contains(at)),
                Change::AtEnd(_) | Change::Finished(_) => {}
            }
        }
        Ok(())
    }

    /// Reads a batch and stages its copy.
    fn read(&mut self) -> Result<Vec<TaskOffset>, LogError> {
        self.staged.clear();
        let (staged, positions) = (&mut self.staged, &mut self.positions);
        let before = positions.clone();
        let changes = self.log.poll(Duration::ZERO, BATCH, &mut |record| {
            let (output, partition) = (Output::View(0), record.partition);
            staged.emit(partition, Record { output, partition, key: None, value: record.value, headers: &[] });
            let place = positions.iter_mut().find(|(at, _)| at.partition == partition).unwrap();
            assert_eq!(place.1, record.offset, "the input comes in order, without gap or repetition");
            place.1 += 1;
        })?;
        self.handle(changes)?;
        let moved = self.positions.iter().filter_map(|(at, next)| {
            let before = before.iter().find(|(before, _)| before == at)?.1;
            let offset = Offset { at: at.clone(), next: *next, metadata: String::new() };
            (before < *next).then_some(TaskOffset { task: at.partition, before, offset })
        });
        Ok(moved.collect())
    }

    fn step(&mut self) -> Result<bool, LogError> {
        let offsets = self.read()?;
        let outcome = self.transactor.commit(&mut *self.log, &self.staged, &offsets)?;
        self.handle(outcome.changes)?;
        Ok(!offsets.is_empty())
    }
}

/// Copies everything, starting anew after whatever a worker could not survive; returns how often that was.
fn copy_all(broker: &Embedded) -> usize {
    let mut deaths = 0;
    loop {
        let mut worker = Worker::new(broker);
        let died = loop {
            match worker.step() {
                Ok(_) if broker.drained("g", "in").unwrap() => return deaths,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        deaths += usize::from(died);
        assert!(deaths < 100, "it never gets through");
    }
}

fn copied(broker: &Embedded) -> Vec<Vec<usize>> {
    let mut reader = broker.records(&["features.v".into()]).unwrap();
    let mut seen = vec![Vec::new(); PARTITIONS as usize];
    let mut keep = |record: crate::log::Incoming<'_>| {
        seen[record.partition as usize].push(std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap());
    };
    while !reader.poll_headers(Duration::ZERO, &mut |record, _| keep(record)).unwrap() {}
    seen
}

fn all_once() -> Vec<Vec<usize>> {
    (0..PARTITIONS as usize)
        .map(|at| (0..RECORDS).filter(|number| number % PARTITIONS as usize == at).collect())
        .collect()
}

/// How a call may truly fail. A lost answer is only ever said to be of unknown outcome, or to be asked again where asking
/// again does no harm.
fn faults_of(call: Call) -> Vec<fn(LogError) -> Fault> {
    match call {
        Call::Poll | Call::Seek => vec![Fault::Before],
        _ => vec![Fault::Before, Fault::After],
    }
}

fn may(call: Call, class: Class, lost_answer: bool) -> bool {
    let repeatable = matches!(call, Call::SendOffsets | Call::Committed | Call::Watermarks | Call::Reopen);
    match class {
        Class::Retriable => !lost_answer || repeatable,
        Class::Abortable => !lost_answer && matches!(call, Call::Send | Call::SendOffsets | Call::Commit),
        Class::Reopen | Class::Fatal => true,
    }
}

const CALLS: [Call; 9] = [
    Call::Poll,
    Call::Seek,
    Call::Committed,
    Call::Begin,
    Call::Send,
    Call::SendOffsets,
    Call::Commit,
    Call::Abort,
    Call::Reopen,
];

#[test]
fn one_failure_of_any_call_loses_nothing_and_repeats_nothing() {
    for call in CALLS {
        for class in [Class::Retriable, Class::Abortable, Class::Reopen, Class::Fatal] {
            for (lost_answer, fault) in faults_of(call).into_iter().enumerate().map(|(at, fault)| (at == 1, fault)) {
                if !may(call, class, lost_answer) {
                    continue;
                }
                for nth in 0..4 {
                    let mut count = 0;
                    let mut commits = 0;
                    let broker = world(Box::new(move |made| {
                        // Aborts and reopenings are made only where something else failed before.
                        commits += usize::from(made == Call::Commit);
                        if commits == 2 && made == Call::Commit && matches!(call, Call::Abort | Call::Reopen) {
                            let class = if call == Call::Abort { Class::Abortable } else { Class::Reopen };
                            commits += 1;
                            return Some(Fault::Before(error(class, false)));
                        }
                        count += usize::from(made == call);
                        (made == call && count == nth + 1).then(|| fault(error(class, false)))
                    }));
                    copy_all(&broker);
                    assert_eq!(copied(&broker), all_once(), "{call:?} {class:?} lost answer {lost_answer} {nth}");
                }
            }
        }
    }
}

#[test]
fn a_thousand_storms_lose_nothing_and_repeat_nothing() {
    for seed in 0..1000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) % below
        };
        let broker = world(Box::new(move |call| {
            if random(8) != 0 {
                return None;
            }
            let class = [Class::Retriable, Class::Abortable, Class::Reopen, Class::Fatal][random(40) as usize * 4 / 41];
            let faults = faults_of(call);
            let lost_answer = random(faults.len() as u64) == 1;
            let fault = faults[usize::from(lost_answer)];
            may(call, class, lost_answer).then(|| fault(error(class, false)))
        }));
        copy_all(&broker);
        assert_eq!(copied(&broker), all_once(), "seed {seed}");
    }
}

#[test]
fn three_fencings_end_the_worker_with_a_word_about_its_name() {
    let broker = world(Box::new(|call| (call == Call::Commit).then(|| Fault::Before(error(Class::Reopen, true)))));
    let mut worker = Worker::new(&broker);
    let failed = loop {
        match worker.step() {
            Ok(_) => {}
            Err(failed) => break failed,
        }
    };
    assert_eq!((failed.class, failed.fenced), (Class::Fatal, true));
    assert!(failed.message.contains("`instance`"), "{failed}");
    assert_eq!(copied(&broker), vec![Vec::<usize>::new(); 2]);
}

#[test]
fn fencings_of_transactions_that_outlasted_their_time_are_no_word_about_a_name() {
    let mut times = 0;
    let broker = world(Box::new(move |call| {
        let fences = call == Call::Commit && times < 7;
        times += u32::from(fences);
        fences.then(|| Fault::Before(error(Class::Reopen, true)))
    }));
    let mut worker = Worker::new(&broker);
    worker.transactor =
        Transactor::new(Duration::from_secs(20), (Duration::ZERO, Duration::ZERO)).lasting(Duration::ZERO);
    while !broker.drained("g", "in").unwrap() {
        worker.step().unwrap();
    }
    assert_eq!(copied(&broker), all_once());
}

#[test]
fn what_is_lost_in_between_is_left_to_the_next_owner() {
    let expired = Arc::new(Mutex::new(None::<Embedded>));
    let broker = world(Box::new({
        let expired = Arc::clone(&expired);
        move |call| {
            if let (Call::Begin, Some(broker)) = (call, expired.lock().unwrap().take()) {
                broker.expire("g", "w");
            }
            None
        }
    }));
    let mut worker = Worker::new(&broker);
    assert!(!worker.step().unwrap());
    let offsets = worker.read().unwrap();
    *expired.lock().unwrap() = Some(broker.clone());
    let outcome = worker.transactor.commit(&mut *worker.log, &worker.staged, &offsets).unwrap();
    assert!(!offsets.is_empty());
    assert_eq!(outcome.lost, offsets.iter().map(|task| task.offset.at.clone()).collect::<Vec<_>>());
    assert_eq!(outcome.attempts, 1);
    assert!(matches!(outcome.changes[..], [Change::Revoked(_), Change::Assigned(_)]));
    assert_eq!(copied(&broker), vec![Vec::<usize>::new(); 2]);
    worker.handle(outcome.changes).unwrap();
    while !broker.drained("g", "in").unwrap() {
        worker.step().unwrap();
    }
    assert_eq!(copied(&broker), all_once());
}

#[test]
fn records_without_an_offset_are_refused() {
    let broker = world(Box::new(|_| None));
    let mut worker = Worker::new(&broker);
    worker.step().unwrap();
    worker.read().unwrap();
    let refused = worker.transactor.commit(&mut *worker.log, &worker.staged, &[]).unwrap_err();
    assert_eq!(refused.class, Class::Fatal);
}

#[test]
fn who_is_to_stop_does_not_wait_for_a_log_that_is_away() {
    let broker = world(Box::new(|call| (call == Call::Commit).then(|| Fault::Before(error(Class::Retriable, false)))));
    let mut worker = Worker::new(&broker);
    worker.transactor =
        Transactor::new(Duration::from_secs(3600), (Duration::from_millis(1), Duration::from_millis(5)));
    let stop = Arc::new(AtomicBool::new(false));
    worker.transactor.heed(&stop);
    worker.step().unwrap();
    let offsets = worker.read().unwrap();
    assert!(!offsets.is_empty());
    let failed = std::thread::scope(|scope| {
        let commit = scope.spawn(|| worker.transactor.commit(&mut *worker.log, &worker.staged, &offsets));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!commit.is_finished(), "it is tried for an hour");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        commit.join().unwrap().unwrap_err()
    });
    assert_eq!(failed.class, Class::Fatal);
    assert!(failed.message.contains("asked to stop"), "{failed}");
    drop(worker);
    let healthy = broker.open("g", "another", &["in".into()]);
    assert!(healthy.is_ok());
    assert_eq!(copied(&broker), vec![Vec::<usize>::new(); 2], "nothing was committed");
}
