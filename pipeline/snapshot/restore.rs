//! From the newest snapshot that can be read to a task's state.

use std::collections::BTreeMap;

use operators::Fold;

use super::SnapshotError;
use super::archive::Archive;
use super::manifest::{Manifest, Part};
use super::part::batches;
use crate::engine::minimum::Minimum;

/// What a task was restored to.
#[derive(Debug, Default)]
pub struct Restored {
    /// The first record that is not folded.
    pub offset: i64,
    /// Watermarks of the source partitions.
    pub minimum: Minimum,
    /// Versions of models in force.
    pub models: BTreeMap<String, u64>,
    /// The parts of its snapshot.
    pub parts: Vec<Part>,
    /// Its counters, where it had some.
    pub tally: Option<Vec<u8>>,
}

impl Archive {
    /// Brings a task of `fold` to the newest snapshot that can be read at an offset in `low..=committed`; none where there
    /// is none, and the task is left without state. One that is damaged is passed over.
    ///
    /// # Errors
    /// Where the store fails, or a snapshot is another application's.
    pub fn restore(
        &self,
        fold: &mut Fold,
        partition: i32,
        low: i64,
        committed: i64,
    ) -> Result<Option<Restored>, SnapshotError> {
        let offsets = self.offsets(partition)?;
        for offset in offsets.into_iter().filter(|offset| (low..=committed).contains(offset)) {
            match self.manifest(partition, offset).and_then(|manifest| self.load(fold, manifest)) {
                Ok(restored) => return Ok(Some(restored)),
                Err(error @ (SnapshotError::Damaged { .. } | SnapshotError::Missing(_))) => {
                    tracing::warn!(partition, offset, "a snapshot is passed over: {error}");
                    fold.revoke(partition)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Brings a task of `fold` to the state of a manifest.
    fn load(&self, fold: &mut Fold, manifest: Manifest) -> Result<Restored, SnapshotError> {
        let mut restore = fold.restore(manifest.partition, manifest.minimum.in_force(), &manifest.views)?;
        for part in manifest.parts.iter().rev() {
            let damaged = |problem| SnapshotError::Damaged { object: part.object.clone(), problem };
            let bytes = self.part(manifest.partition, part)?;
            for batch in batches(&bytes).map_err(|error| damaged(error.to_string()))? {
                restore.add(&batch.map_err(|error| damaged(error.to_string()))?)?;
            }
        }
        drop(restore);
        let Manifest { partition, offset, minimum, models, parts, tally, .. } = manifest;
        let tally = tally.map(|tally| self.part(partition, &tally)).transpose()?;
        Ok(Restored { offset, minimum, models, parts, tally })
    }
}
