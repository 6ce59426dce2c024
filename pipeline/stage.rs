//! A stage, and the loop that drives it: poll, fold, and one transaction a micro-batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schemas::output::Emit;

use crate::encode::EncodeError;
use crate::learn::LearnError;
use crate::log::backoff::Backoff;
use crate::log::staged::Staged;
use crate::log::transaction::{TaskOffset, Transactor};
use crate::log::{Change, Class, Incoming, Log, LogError, TopicPartition};
use crate::metrics::{Stage as Meter, Work, thread_cpu};
use crate::snapshot::SnapshotError;

/// Why a stage stops its worker.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An operator failed in a way that no record is to blame for.
    #[error("folding: {0}")]
    Fold(#[from] operators::FoldError),
    /// A snapshot cannot be read.
    #[error("restoring state: {0}")]
    Snapshot(#[from] SnapshotError),
    /// A room failed.
    #[error("encoding: {0}")]
    Encode(#[from] EncodeError),
    /// The learner failed.
    #[error("learning: {0}")]
    Learn(#[from] LearnError),
    /// The log and the state do not belong together.
    #[error("{0}")]
    Recovery(String),
}

impl StageError {
    /// Whether the same may succeed a little later.
    fn is_retriable(&self) -> bool {
        match self {
            Self::Log(error) => error.class == Class::Retriable,
            Self::Snapshot(error) => matches!(error, SnapshotError::Store(_)),
            _ => false,
        }
    }
}

/// One role's work between polls: a function from records to staged records, written against the log trait only.
pub trait Stage {
    /// What its time between polls is spent on.
    const WORK: Work;
    /// These partitions are this worker's now: finds where to read on, and resumes them.
    fn assign(&mut self, log: &mut dyn Log, partitions: &[TopicPartition]) -> Result<(), StageError>;
    /// These are no longer; returns whether all that is staged is void, else only what their tasks staged is.
    fn revoke(&mut self, log: &mut dyn Log, partitions: &[TopicPartition]) -> Result<bool, StageError>;
    /// Takes one record.
    fn record(&mut self, record: Incoming<'_>, staged: &mut dyn Emit) -> Result<(), StageError>;
    /// The reader stands at the end of a partition; `finished` where nothing will ever come.
    fn at_end(&mut self, at: &TopicPartition, finished: bool);
    /// Time passes (since the worker's start); returns whether there is something to say without any record.
    fn tick(&mut self, now: Duration) -> bool;
    /// Ends the micro-batch: stages what remains, and gives the offsets that it stands for.
    fn finish(&mut self, staged: &mut dyn Emit) -> Result<Vec<TaskOffset>, StageError>;
    /// Bytes that the end of the micro-batch will stage, about, beside what is staged already.
    fn bytes_to_come(&self) -> usize;
    /// The transaction is committed.
    fn committed(&mut self);
    /// No transaction is open: time for what has its place between two.
    fn settled(&mut self, _now: Duration) -> Result<(), StageError> {
        Ok(())
    }
    /// The worker ends, in bounded time: what is to be kept of its state is put away. Everything is committed.
    fn stop(&mut self) -> Result<(), StageError> {
        Ok(())
    }
    /// The next record to read in each partition.
    fn positions(&self) -> Vec<(TopicPartition, i64)>;
}

/// When a micro-batch ends.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// At the latest (`engine.commit_interval_ms`).
    pub commit_interval: Duration,
    /// When the input is drained, but not before this, nor so soon that commits take more than a fifth of the time: a
    /// trickle would else keep the brokers busy with transactions.
    pub drained_after: Duration,
    /// When this much is staged.
    pub bytes_max: usize,
    /// How many records a poll gives at most.
    pub poll_records_max: usize,
    /// How long a poll waits when nothing is open: how soon a stop or a tick is seen.
    pub idle_poll: Duration,
}

impl Pace {
    /// The pace of `engine.commit_interval_ms`; a poll gives at most `poll_records_max` records, few enough to look at the
    /// clock between polls.
    pub fn new(commit_interval: Duration, poll_records_max: usize, idle_poll: Duration) -> Self {
        Self { commit_interval, drained_after: commit_interval / 10, bytes_max: 32 << 20, poll_records_max, idle_poll }
    }
}

/// One worker: a stage, its log, and what is staged between commits.
pub struct Worker<S> {
    stage: S,
    log: Box<dyn Log>,
    staged: Staged,
    transactor: Transactor,
    /// Of beginning and ending partitions.
    backoff: Backoff,
    pace: Pace,
    meter: Meter,
    /// Since when records are taken that are not committed.
    open_since: Option<Duration>,
    taken: u64,
    /// How long commits take, a moving average.
    commit_took: Duration,
    /// The timestamp of the oldest record taken and not committed, in ms since 1970.
    oldest_ms: Option<i64>,
    lag_at: Duration,
}

/// How often the lag is looked at.
const LAG_INTERVAL: Duration = Duration::from_secs(1);
/// How long a partition may take to be begun, while the log asks to be called again: as long as a transaction is tried.
const ASSIGN_LIMIT: Duration = Duration::from_secs(300);

impl<S: Stage> Worker<S> {
    /// A worker of `stage` on `log`.
    pub fn new(stage: S, log: Box<dyn Log>, staged: Staged, transactor: Transactor, pace: Pace, meter: Meter) -> Self {
        Self {
            stage,
            log,
            staged,
            transactor,
            backoff: Backoff::new(ASSIGN_LIMIT, (pace.idle_poll, pace.idle_poll)),
            pace,
            meter,
            open_since: None,
            taken: 0,
            commit_took: Duration::ZERO,
            oldest_ms: None,
            lag_at: Duration::ZERO,
        }
    }

    /// Works until `stop` is set; then commits what is open, where the log takes it soon, and returns. The log is given back with the stage: dropping
    /// it leaves the group, which a worker that still runs must not see while the process ends.
    ///
    /// # Errors
    /// Where the log or the stage fails for good.
    pub fn run(mut self, stop: &Arc<AtomicBool>) -> Result<(S, Box<dyn Log>), StageError> {
        self.transactor.heed(stop);
        self.backoff.heed(stop);
        let start = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            self.step(start.elapsed(), &|| start.elapsed())?;
        }
        self.finish()
    }

    /// Commits what is open, and puts away what is to be kept.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub fn finish(mut self) -> Result<(S, Box<dyn Log>), StageError> {
        self.commit()?;
        self.stage.stop()?;
        Ok((self.stage, self.log))
    }

    /// One poll and, where it is time, one transaction. `now` is the worker's clock.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub fn step(&mut self, now: Duration, clock: &dyn Fn() -> Duration) -> Result<(), StageError> {
        let wait = match self.open_since {
            None => self.pace.idle_poll,
            Some(since) => {
                let drained = (since + self.drained_after()).saturating_sub(now);
                drained.min((since + self.pace.commit_interval).saturating_sub(now))
            }
        };
        let cpu = thread_cpu();
        let (stage, staged, mut failed, mut taken) = (&mut self.stage, &mut self.staged, None, 0);
        let oldest_ms = &mut self.oldest_ms;
        let changes = self.log.poll(wait, self.pace.poll_records_max, &mut |record| {
            taken += 1;
            *oldest_ms = [*oldest_ms, record.timestamp_ms].into_iter().flatten().min();
            if failed.is_none() {
                failed = stage.record(record, staged).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.meter.spend(S::WORK, cpu);
        self.meter.polled(taken);
        self.taken += taken;
        let now = clock();
        self.changed(&changes)?;
        self.watch_lag(now);
        let speaks = self.stage.tick(now);
        if self.open_since.is_none() && (taken > 0 || speaks) {
            self.open_since = Some(now);
        }
        let Some(since) = self.open_since else {
            return self.stage.settled(now);
        };
        let open = now.saturating_sub(since);
        let drained = taken == 0 && open >= self.drained_after();
        if drained
            || open >= self.pace.commit_interval
            || self.staged.bytes() + self.stage.bytes_to_come() >= self.pace.bytes_max
        {
            self.commit()?;
            let ended = clock();
            self.commit_took = (self.commit_took * 3 + ended.saturating_sub(now)) / 4;
            self.stage.settled(ended)?;
        }
        Ok(())
    }

    fn drained_after(&self) -> Duration {
        (self.commit_took * 4).clamp(self.pace.drained_after, self.pace.commit_interval)
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), StageError> {
        for change in changes {
            match change {
                Change::Assigned(partitions) => match self.again(|stage, log| stage.assign(log, partitions)) {
                    Err(error) if error.is_retriable() && self.backoff.is_stopping() => {
                        tracing::warn!("stopping: {} partitions are not begun any more: {error}", partitions.len());
                    }
                    assigned => assigned?,
                },
                Change::Revoked(partitions) => {
                    self.meter.forget_partitions(partitions);
                    if self.again(|stage, log| stage.revoke(log, partitions))? {
                        self.staged.clear();
                    } else {
                        partitions.iter().for_each(|at| self.staged.drop_task(at.partition));
                    }
                }
                Change::AtEnd(at) => self.stage.at_end(at, false),
                Change::Finished(at) => self.stage.at_end(at, true),
            }
        }
        Ok(())
    }

    /// Begins or ends partitions, again while the log asks for that.
    fn again<T>(
        &mut self,
        mut call: impl FnMut(&mut S, &mut dyn Log) -> Result<T, StageError>,
    ) -> Result<T, StageError> {
        let mut trying = self.backoff.begin();
        loop {
            match call(&mut self.stage, self.log.as_mut()) {
                Err(error) if error.is_retriable() && !trying.is_over() => {
                    self.meter.error(Class::Retriable);
                    tracing::warn!("following the group again: {error}");
                    trying.rest();
                }
                done => return done,
            }
        }
    }

    fn watch_lag(&mut self, now: Duration) {
        if now.saturating_sub(self.lag_at) < LAG_INTERVAL {
            return;
        }
        self.lag_at = now;
        for (at, next) in self.stage.positions() {
            if let Some((start, end)) = self.log.ends(&at) {
                self.meter.lag(&at, (end - next).max(0));
                self.meter.log_start(&at, start);
            }
        }
    }

    fn commit(&mut self) -> Result<(), StageError> {
        if self.open_since.take().is_none() {
            return Ok(());
        }
        let offsets = self.stage.finish(&mut self.staged)?;
        if offsets.is_empty() {
            self.staged.clear();
            return Ok(());
        }
        let (started, cpu) = (Instant::now(), thread_cpu());
        let outcome = self.transactor.commit(self.log.as_mut(), &self.staged, &offsets)?;
        self.meter.committed(std::mem::take(&mut self.taken), &self.staged, started.elapsed());
        outcome.errors.iter().for_each(|&class| self.meter.error(class));
        if let Some(oldest_ms) = self.oldest_ms.take() {
            self.meter.event_to_commit(oldest_ms);
        }
        self.meter.spend(Work::Sink, cpu);
        self.staged.clear();
        self.stage.committed();
        // What was lost on the way was not committed: nothing may go on from it, whatever the group tells later.
        if !outcome.lost.is_empty() {
            self.changed(&[Change::Revoked(outcome.lost)])?;
        }
        self.changed(&outcome.changes)
    }
}

#[cfg(test)]
#[path = "stage_tests.rs"]
mod tests;
