//! Where snapshots are written: on a thread of its own, or, where every step has to have its place, at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::SnapshotError;
use super::archive::{Archive, Snapshot};
use super::manifest::Part;

/// A snapshot to be written.
pub struct Job {
    /// What.
    pub snapshot: Snapshot,
    /// The parts of the state before it.
    pub parts: Vec<Part>,
    /// Set when the partition is another's.
    pub cancelled: Arc<AtomicBool>,
}

/// What became of a job: the parts of its snapshot, or the job again.
pub type Done = Result<(i32, i64, Vec<Part>), Box<(SnapshotError, Job)>>;

/// A desk holds one job at a time.
pub enum Desk {
    /// A thread.
    Thread {
        /// To it.
        jobs: Sender<Job>,
        /// From it.
        done: Receiver<Done>,
    },
    /// Whoever submits.
    Inline {
        /// Where.
        archive: Arc<Archive>,
        /// The last job's end, until it is taken.
        done: Option<Done>,
    },
}

impl Desk {
    /// A desk on a thread, which ends with the desk.
    pub fn thread(archive: Arc<Archive>) -> Self {
        let (jobs, to_do) = channel::<Job>();
        let (finished, done) = channel();
        let work = move || {
            for job in to_do {
                if finished.send(work(&archive, job)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("snapshots".into()).spawn(work).expect("the system gives a thread");
        Self::Thread { jobs, done }
    }

    /// Begins a job; the one before it must be done.
    pub fn submit(&mut self, job: Job) {
        match self {
            Self::Thread { jobs, .. } => jobs.send(job).expect("the thread lives as long as its desk"),
            Self::Inline { archive, done } => *done = Some(work(archive, job)),
        }
    }

    /// What became of the job, waiting up to `timeout` for its end.
    pub fn done(&mut self, timeout: Duration) -> Option<Done> {
        match self {
            Self::Thread { done, .. } => done.recv_timeout(timeout).ok(),
            Self::Inline { done, .. } => done.take(),
        }
    }
}

fn work(archive: &Archive, job: Job) -> Done {
    let (at, offset) = (&job.snapshot.at, job.snapshot.offset);
    let parts = match archive.write(&job.snapshot, &job.parts) {
        Ok(parts) => parts,
        Err(error) => return Err(Box::new((error, job))),
    };
    if !job.cancelled.load(Ordering::Relaxed)
        && let Err(error) = archive.clean(at, offset, &job.cancelled)
    {
        tracing::warn!(partition = at.partition, "old snapshots stay for now: {error}");
    }
    Ok((at.partition, offset, parts))
}
