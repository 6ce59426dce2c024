//! A model that scores candidates, and its versions in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::output::Room;
use shaders::Device;
use shaders::ranking::Long;

use super::RankError;
use super::record::Opinion;
use super::sight::Sight;
use super::version::{About, Version};
use crate::model::shelf::Shelf;

/// A model that may have versions.
pub struct Scorer {
    /// Its room.
    pub room: Room,
    /// The form of its long interest.
    pub long: Long,
    shelf: Arc<Shelf>,
    /// Versions in force, by task.
    pub in_force: BTreeMap<i32, u64>,
    /// Those that were built, by the number in force: compaction may have left only a newer one.
    versions: BTreeMap<u64, Version>,
}

impl Scorer {
    /// A model without versions yet.
    pub fn new(room: Room, long: Long, shelf: Arc<Shelf>) -> Self {
        Self { room, long, shelf, in_force: BTreeMap::new(), versions: BTreeMap::new() }
    }

    /// A version is in force for a task from here on.
    pub fn adopt(&mut self, task: i32, version: u64) {
        self.in_force.insert(task, version);
        let needed: Vec<u64> = self.in_force.values().copied().collect();
        self.versions.retain(|number, _| needed.contains(number));
    }

    /// What the version in force for a task says of a request; none where there is none.
    ///
    /// # Errors
    /// Where it cannot be had, or the device fails.
    pub fn score(
        &mut self,
        device: &mut Device,
        about: &About,
        task: i32,
        sight: &Sight,
    ) -> Result<Option<Opinion>, RankError> {
        let Some(&version) = self.in_force.get(&task) else { return Ok(None) };
        match self.score_by(version, device, about, sight) {
            Err(error) if error.is_device_lost() => {
                tracing::warn!("{error}: it is opened again");
                *device = device.reopen()?;
                self.versions.clear();
                self.score_by(version, device, about, sight).map(Some)
            }
            opinion => opinion.map(Some),
        }
    }

    fn score_by(&mut self, version: u64, device: &Device, about: &About, sight: &Sight) -> Result<Opinion, RankError> {
        if !self.versions.contains_key(&version) {
            let model = self.shelf.get(version)?;
            self.versions.insert(version, Version::build(device, self.long, &model, about)?);
        }
        let built = self.versions.get_mut(&version).expect("it was built");
        let scores = built.score(&[sight])?;
        Ok(Opinion { model: self.room.name(), version: built.number, scores })
    }
}
