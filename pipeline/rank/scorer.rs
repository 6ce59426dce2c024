//! A worker's model that scores candidates, and its versions in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::output::Room;
use shaders::ranking::{Long, Scorer as Network};

use super::RankError;
use super::record::Opinion;
use super::sight::Sight;
use super::version::Version;
use super::versions::Versions;

/// A model that may have versions.
pub struct Scorer {
    versions: Arc<Versions>,
    network: Network,
    /// Versions in force, by task.
    in_force: BTreeMap<i32, u64>,
    /// Those that were asked, by the number in force.
    asked: BTreeMap<u64, Arc<Version>>,
}

impl Scorer {
    /// Nothing is in force yet.
    pub fn new(device: &shaders::Device, versions: Arc<Versions>) -> Self {
        Self { versions, network: Network::new(device), in_force: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// Its room.
    pub fn room(&self) -> Room {
        self.versions.room()
    }

    /// The form of its long interest.
    pub fn long(&self) -> Long {
        self.versions.long()
    }

    /// The version in force for a task.
    pub fn version(&self, task: i32) -> Option<u64> {
        self.in_force.get(&task).copied()
    }

    /// A version is in force for a task from here on.
    pub fn adopt(&mut self, task: i32, version: u64) {
        self.in_force.insert(task, version);
        if let Some(made) = self.versions.made(version) {
            self.asked.insert(version, made);
        }
        self.drop_unneeded();
    }

    /// The task is another worker's.
    pub fn forget(&mut self, task: i32) {
        self.in_force.remove(&task);
        self.drop_unneeded();
    }

    fn drop_unneeded(&mut self) {
        let needed: Vec<u64> = self.in_force.values().copied().collect();
        self.asked.retain(|number, _| needed.contains(number));
    }

    /// What the version in force for a task says of a request; none where there is none. A lost device is opened again.
    ///
    /// # Errors
    /// Where it cannot be had, or the device fails.
    pub fn score(&mut self, task: i32, sight: &Sight) -> Result<Option<Opinion>, RankError> {
        let Some(&number) = self.in_force.get(&task) else { return Ok(None) };
        if !self.asked.contains_key(&number) {
            self.asked.insert(number, self.versions.get(number)?);
        }
        let version = &self.asked[&number];
        let scores = match version.score(&mut self.network, &[sight]) {
            Err(error) if error.is_device_lost() => {
                tracing::warn!("{error}: it is opened again");
                self.network.renew()?;
                version.score(&mut self.network, &[sight])
            }
            scores => scores,
        };
        Ok(Some(Opinion { model: self.room().name(), version: version.number, scores: scores? }))
    }
}
