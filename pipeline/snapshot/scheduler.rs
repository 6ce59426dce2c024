//! When a worker writes which task's snapshot: one at a time, each at most once an interval, never in the worker's way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::archive::{Archive, Snapshot};
use super::desk::{Desk, Job};
use super::manifest::Part;
use crate::metrics::Stage as Meter;

/// Pauses before a failed snapshot is written again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// The newest snapshot of a task.
struct Booked {
    offset: i64,
    parts: Vec<Part>,
    /// Not before this is the next one written.
    due: Duration,
    cancelled: Arc<AtomicBool>,
}

/// The snapshots of one worker's tasks.
pub struct Scheduler {
    archive: Arc<Archive>,
    interval: Duration,
    desk: Desk,
    tasks: BTreeMap<i32, Booked>,
    /// Whether the desk has a job.
    busy: bool,
    /// A job that failed, and when it is tried again.
    failed: Option<(Duration, Job)>,
    pause: Duration,
    meter: Meter,
}

impl Scheduler {
    /// A scheduler that writes each task's snapshot once in `interval`, at `desk`.
    pub fn new(archive: Arc<Archive>, interval: Duration, desk: Desk, meter: Meter) -> Self {
        let (tasks, failed) = (BTreeMap::new(), None);
        Self { archive, interval, desk, tasks, busy: false, failed, pause: PAUSES.0, meter }
    }

    /// Where the snapshots are.
    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// A task begins at `offset`, with the parts of the snapshot that it was restored from.
    pub fn begin(&mut self, partition: i32, offset: i64, parts: Vec<Part>, now: Duration) {
        // The golden ratio spreads the first ones over the interval.
        let phase = (f64::from(partition) * 0.618_033_988_749_895).fract();
        let due = now + self.interval.mul_f64(phase);
        self.tasks.insert(partition, Booked { offset, parts, due, cancelled: Arc::default() });
    }

    /// A task is another's.
    pub fn forget(&mut self, partition: i32) {
        if let Some(task) = self.tasks.remove(&partition) {
            task.cancelled.store(true, Ordering::Relaxed);
            self.meter.forget_snapshot(partition);
        }
    }

    /// Takes note of what became of the last job; `now` is the worker's clock.
    pub fn follow(&mut self, now: Duration) {
        self.follow_for(now, Duration::ZERO);
        if let Some((_, job)) = self.failed.take_if(|(at, _)| !self.busy && *at <= now) {
            self.submit_job(job);
        }
    }

    fn follow_for(&mut self, now: Duration, wait: Duration) {
        if !self.busy {
            return;
        }
        match self.desk.done(wait) {
            None => return,
            Some(Ok((partition, offset, parts))) => {
                self.pause = PAUSES.0;
                self.meter.snapshot(partition, offset, parts.iter().map(|part| part.bytes).sum());
                if let Some(task) = self.tasks.get_mut(&partition).filter(|task| task.offset <= offset) {
                    (task.offset, task.parts) = (offset, parts);
                }
            }
            Some(Err(failed)) => {
                let (error, job) = *failed;
                if !job.cancelled.load(Ordering::Relaxed) {
                    self.meter.snapshot_failed();
                    tracing::warn!(partition = job.snapshot.at.partition, "writing a snapshot again: {error}");
                    self.failed = Some((now + self.pause, job));
                    self.pause = (self.pause * 2).min(PAUSES.1);
                }
            }
        }
        self.busy = false;
    }

    /// The task whose snapshot is to be written now, of those that stand at these offsets; each has committed its own.
    pub fn next(&self, now: Duration, tasks: impl Iterator<Item = (i32, i64)>) -> Option<i32> {
        if self.busy || self.failed.is_some() {
            return None;
        }
        let due = tasks.filter_map(|(partition, offset)| {
            let task = self.tasks.get(&partition).filter(|task| task.offset < offset && task.due <= now)?;
            Some((task.due, partition))
        });
        due.min().map(|(_, partition)| partition)
    }

    /// Begins to write the snapshot of the task that [`Scheduler::next`] named.
    pub fn submit(&mut self, now: Duration, snapshot: Snapshot) {
        let task = self.tasks.get_mut(&snapshot.at.partition).expect("only a task of this worker is due");
        task.due = now + self.interval;
        let job = Job { parts: task.parts.clone(), cancelled: Arc::clone(&task.cancelled), snapshot };
        self.submit_job(job);
    }

    fn submit_job(&mut self, job: Job) {
        if !job.cancelled.load(Ordering::Relaxed) {
            self.desk.submit(job);
            self.busy = true;
        }
    }

    /// Waits until the desk is free, at most `limit`; returns whether it is.
    pub fn wait(&mut self, now: Duration, limit: Duration) -> bool {
        self.follow_for(now, limit);
        !self.busy && self.failed.is_none()
    }

    /// Has every task's snapshot due at once: the worker ends.
    pub fn hurry(&mut self) {
        self.tasks.values_mut().for_each(|task| task.due = Duration::ZERO);
    }
}
