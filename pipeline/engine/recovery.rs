//! Where a task begins: at its newest snapshot, or at the log's beginning, never from nothing by itself; and the snapshots
//! that it leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::output::Room;

use super::{Engine, Task};
use crate::log::TopicPartition;
use crate::snapshot::archive::Snapshot;
use crate::snapshot::restore::Restored;
use crate::stage::StageError;

/// How long the last snapshots of a worker that ends may take.
const STOP_MAX: Duration = Duration::from_secs(3);

impl Engine {
    /// Brings a task to the newest snapshot, or to the log's beginning.
    pub(super) fn begin(
        &mut self,
        at: &TopicPartition,
        committed: Option<i64>,
        low: i64,
        high: i64,
    ) -> Result<Task, StageError> {
        let partition = at.partition;
        self.fold.revoke(partition)?;
        let archive = self.snapshots.as_ref().map(|snapshots| Arc::clone(snapshots.archive()));
        check(at, committed, high)?;
        let restored = match (&archive, committed) {
            (Some(archive), Some(committed)) => archive.restore(&mut self.fold, partition, low, committed)?,
            (Some(archive), None) => archive
                .offsets(partition)?
                .first()
                .map_or(Ok(None), |offset| Err(unknown(at, &format!("there is a snapshot up to offset {offset}"))))?,
            (None, _) => None,
        };
        let is_restored = restored.is_some();
        let Restored { offset: next, minimum, models, parts, tally } =
            restored.unwrap_or(Restored { offset: low, ..Restored::default() });
        match committed {
            _ if is_restored || low == 0 => {}
            Some(committed) => return Err(unreachable(at, committed, low)),
            // Events are not the service's own: what they held before it came is nothing to it.
            None if self.direct.is_some() => {}
            None => return Err(unknown(at, &format!("the log begins at {low}"))),
        }
        self.fold.assign(partition);
        let items = models.get(Room::Items.name()).copied().unwrap_or(0);
        self.encoders.begin(&self.fold, partition, items)?;
        if let Some(rank) = &mut self.encoders.rank {
            let begun = rank.begin(partition, tally.as_deref());
            begun.map_err(|error| StageError::Recovery(format!("partition {partition}: {error}")))?;
        }
        self.encoders.restored(&self.fold, partition, minimum.in_force());
        for (model, version) in models.iter().filter(|(model, _)| *model != Room::Items.name()) {
            self.adopt(partition, model, *version)?;
        }
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.begin(partition, if is_restored { next } else { 0 }, parts, self.now);
        }
        let committed = committed.unwrap_or(next);
        let muted = committed > next;
        self.fold.set_muted(partition, muted);
        tracing::info!(partition, offset = next, committed, snapshot = is_restored, "state begins");
        Ok(Task { at: at.clone(), next, committed, muted, minimum, ended: false })
    }

    /// Begins the snapshot that is due, where nothing is open; returns whether there was one.
    pub(super) fn snapshot(&mut self) -> Result<bool, StageError> {
        let Some(snapshots) = &mut self.snapshots else { return Ok(false) };
        snapshots.follow(self.now);
        // A task that replays has not come to what is committed yet.
        let ready = self.tasks.iter().filter(|(_, task)| task.next == task.committed);
        let tasks = ready.map(|(partition, task)| (*partition, task.next));
        let Some(partition) = snapshots.next(self.now, tasks) else { return Ok(false) };
        let task = &self.tasks[&partition];
        let export = self.fold.export(partition)?;
        let snapshot = Snapshot {
            at: task.at.clone(),
            offset: task.next,
            minimum: task.minimum.clone(),
            views: self.fold.view_identities(),
            models: self.encoders.versions(partition),
            forgets: export.forgets,
            batches: export.batches,
            tally: self.encoders.rank.as_ref().and_then(|rank| rank.export(partition)),
        };
        snapshots.submit(self.now, snapshot);
        Ok(true)
    }

    /// Writes the last snapshots, as far as time allows.
    pub(super) fn put_away(&mut self) -> Result<(), StageError> {
        let until = Instant::now() + STOP_MAX;
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.hurry();
        }
        loop {
            let begun = self.snapshot()?;
            let Some(snapshots) = &mut self.snapshots else { return Ok(()) };
            let left = until.saturating_duration_since(Instant::now());
            if !snapshots.wait(self.now, left) || !begun {
                return Ok(());
            }
        }
    }
}

/// A committed offset has to lie in the log.
fn check(at: &TopicPartition, committed: Option<i64>, high: i64) -> Result<(), StageError> {
    let TopicPartition { topic, partition } = at;
    match committed {
        Some(next) if next > high => Err(StageError::Recovery(format!(
            "{topic} [{partition}]: the group has committed offset {next}, but the log ends at {high}; it was made anew \
             or lost records: restore the topic, or start over under another `app`"
        ))),
        _ => Ok(()),
    }
}

fn unknown(at: &TopicPartition, found: &str) -> StageError {
    let TopicPartition { topic, partition } = at;
    StageError::Recovery(format!(
        "{topic} [{partition}]: the group has committed no offset, but {found}, so there was one: set the group's offset \
         to what was last committed (kafka-consumer-groups.sh --reset-offsets), or start over under another `app`"
    ))
}

fn unreachable(at: &TopicPartition, committed: i64, low: i64) -> StageError {
    let TopicPartition { topic, partition } = at;
    StageError::Recovery(format!(
        "{topic} [{partition}]: the state up to offset {committed} is to be rebuilt, but the log begins at {low}, and no \
         snapshot from there on can be read in `state.snapshots`: restore that folder, or start over under another `app` \
         (without snapshots the topic must keep everything: retention.ms=-1)"
    ))
}
