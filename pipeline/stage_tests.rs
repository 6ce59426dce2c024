//! A worker that is asked to stop ends soon, whatever the log answers.

use super::*;
use crate::log::embedded::{Call, Embedded, EmbeddedSettings, Fault, Faults};
use crate::log::{Broker, TopicSpec};
use crate::metrics::Metrics;
use schemas::topics::Topics;

/// A log that tells nobody what is committed.
struct Silent;

impl Faults for Silent {
    fn at(&self, call: Call, _: &str) -> Option<Fault> {
        let error = || LogError::new(Class::Retriable, "group g".into(), "the coordinator is away".into());
        (call == Call::Committed).then(|| Fault::Before(error()))
    }
}

/// Begins its partitions where they are committed, and notes that its end came.
#[derive(Default)]
struct Reads {
    tries: Arc<std::sync::atomic::AtomicUsize>,
    stopped: bool,
}

impl Stage for Reads {
    const WORK: Work = Work::Fold;

    fn assign(&mut self, log: &mut dyn Log, partitions: &[TopicPartition]) -> Result<(), StageError> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        log.committed(partitions)?;
        Ok(log.resume(partitions)?)
    }

    fn revoke(&mut self, _: &mut dyn Log, _: &[TopicPartition]) -> Result<bool, StageError> {
        Ok(false)
    }

    fn record(&mut self, _: Incoming<'_>, _: &mut dyn Emit) -> Result<(), StageError> {
        panic!("no partition was begun");
    }

    fn at_end(&mut self, _: &TopicPartition, _: bool) {}

    fn tick(&mut self, _: Duration) -> bool {
        false
    }

    fn finish(&mut self, _: &mut dyn Emit) -> Result<Vec<TaskOffset>, StageError> {
        Ok(Vec::new())
    }

    fn bytes_to_come(&self) -> usize {
        0
    }

    fn committed(&mut self) {}

    fn stop(&mut self) -> Result<(), StageError> {
        self.stopped = true;
        Ok(())
    }

    fn positions(&self) -> Vec<(TopicPartition, i64)> {
        Vec::new()
    }
}

#[test]
fn a_worker_that_cannot_begin_its_partitions_stops_well_when_asked() {
    let log = Embedded::with_faults(EmbeddedSettings { trims: false, ..Default::default() }, Arc::new(Silent));
    log.create(&[TopicSpec { name: "in".into(), partitions: 1, settings: Vec::new() }]).unwrap();
    log.append("in", 0, None, None, Some(b"x")).unwrap();
    let stage = Reads::default();
    let (tries, stop) = (Arc::clone(&stage.tries), Arc::new(AtomicBool::new(false)));
    let staged = Staged::new(&Topics::new("app", "", Vec::new()), &[], 1);
    let transactor = Transactor::new(ASSIGN_LIMIT, (Duration::ZERO, Duration::ZERO));
    let pace = Pace::new(Duration::from_millis(10), 10, Duration::from_millis(1));
    let member = log.open("g", "w", &["in".into()]).unwrap();
    let worker = Worker::new(stage, member, staged, transactor, pace, Metrics::new().stage("engine"));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| worker.run(&stop));
        while tries.load(Ordering::Relaxed) < 3 {
            assert!(!running.is_finished(), "it tries on");
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        let (stage, _) = running.join().unwrap().unwrap();
        assert!(stage.stopped, "what is to be kept was put away");
    });
}
