//! A process of a world.

use std::sync::Arc;
use std::time::Duration;

use operators::FoldError;
use pipeline::engine::Engine;
use pipeline::learn::{self, Learner};
use pipeline::roles::Group;
use pipeline::route::Router;
use pipeline::snapshot::SnapshotError;
use pipeline::stage::{StageError, Worker};
use schemas::output::Room;

/// A process: a worker of each role.
pub struct Process {
    pub instance: &'static str,
    /// None where events come to the engine directly.
    pub router: Option<(String, Worker<Router>)>,
    pub engine: (String, Worker<Engine>),
    /// One of each room that learns.
    pub learners: Vec<(Room, Worker<Learner>)>,
    /// How far they have come.
    pub learned: Arc<learn::Learned>,
    /// Whether it never takes a step again: a worker has ended with an error.
    pub dead: bool,
}

impl Process {
    /// A worker takes a step, where there is one.
    pub fn step(&mut self, group: Group, now: Duration) -> Result<(), StageError> {
        match group {
            Group::Router => self.router.as_mut().map_or(Ok(()), |router| router.1.step(now, &|| now)),
            Group::Engine => self.engine.1.step(now, &|| now),
            Group::Learner(room) => {
                let learner = self.learners.iter_mut().find(|(of, _)| *of == room);
                learner.map_or(Ok(()), |(_, learner)| learner.step(now, &|| now))
            }
        }
    }
}

/// A process may end for what its log or its store says; anything else must not happen.
pub fn judge(error: StageError) -> Result<(), String> {
    match error {
        StageError::Log(_) | StageError::Snapshot(SnapshotError::Store(_)) => Ok(()),
        // A disk that is full.
        StageError::Fold(FoldError::Cold(_)) | StageError::Snapshot(SnapshotError::Fold(FoldError::Cold(_))) => Ok(()),
        other => Err(format!("a process ended: {other}")),
    }
}
