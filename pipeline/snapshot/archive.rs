//! The snapshots of an application, a folder a partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use operators::ViewIdentity;

use super::SnapshotError;
use super::manifest::{Manifest, Owner, Part, checksum};
use super::merge::Merge;
use super::objects::Objects;
use super::part::{PartWriter, batches};
use crate::engine::minimum::Minimum;
use crate::log::{Broker, TopicPartition};

/// Snapshots of a partition that are kept.
const KEPT: usize = 3;
/// Every so many snapshots the parts are merged into a full copy.
const GENERATIONS_MAX: usize = 10;

/// A task's state before `offset`, as it is to be written: users that changed since the snapshot before it.
#[derive(Debug)]
pub struct Snapshot {
    /// The task's partition.
    pub at: TopicPartition,
    /// The first record that is not folded; it is committed.
    pub offset: i64,
    /// Watermarks of the source partitions.
    pub minimum: Minimum,
    /// The views.
    pub views: Vec<ViewIdentity>,
    /// Versions of models in force.
    pub models: BTreeMap<String, u64>,
    /// The users.
    pub batches: Vec<RecordBatch>,
    /// The task's counters, where it has some.
    pub tally: Option<Vec<u8>>,
    /// Whether one of them is gone, so that parts from before must not be needed any more.
    pub forgets: bool,
}

/// Where an application's snapshots are.
pub struct Archive {
    objects: Arc<dyn Objects>,
    owner: Owner,
    /// Trims the log; none where it is not the service's own.
    broker: Option<Arc<dyn Broker>>,
}

impl Archive {
    /// The snapshots of `owner` in `objects`; the log that they are bookmarks of is `broker`'s, who trims it below them;
    /// where there is none it is left as it is.
    pub fn new(objects: Arc<dyn Objects>, owner: Owner, broker: Option<Arc<dyn Broker>>) -> Self {
        Self { objects, owner, broker }
    }

    /// The app and topic whose snapshots these are.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    fn folder(&self, partition: i32) -> String {
        format!("{}/{partition:05}", self.owner.app)
    }

    /// The name of the manifest at `offset`.
    pub fn manifest_name(&self, partition: i32, offset: i64) -> String {
        format!("{}/{offset:020}.json", self.folder(partition))
    }

    /// Offsets of all manifests of a partition, the newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn offsets(&self, partition: i32) -> Result<Vec<i64>, SnapshotError> {
        Ok(manifest_offsets(&self.objects.list(&self.folder(partition))?))
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// Where it is not there, damaged, or another's.
    pub fn manifest(&self, partition: i32, offset: i64) -> Result<Manifest, SnapshotError> {
        let object = self.manifest_name(partition, offset);
        let bytes = self.objects.get(&object)?.ok_or_else(|| SnapshotError::Missing(object.clone()))?;
        let damaged = |problem| SnapshotError::Damaged { object: object.clone(), problem };
        let manifest = Manifest::decode(&bytes).map_err(damaged)?;
        if manifest.owner.format != self.owner.format {
            let (is, should) = (&manifest.owner.format, &self.owner.format);
            return Err(damaged(format!("its format is {is}, this version reads {should}")));
        }
        if manifest.owner != self.owner {
            let text = |owner: &Owner| {
                let Owner { app, topic, topic_id, partitions, .. } = owner;
                format!("app {app}, topic {topic} with id {topic_id} and {partitions} partitions")
            };
            return Err(SnapshotError::Foreign { object, is: text(&manifest.owner), should: text(&self.owner) });
        }
        if (manifest.partition, manifest.offset) != (partition, offset) {
            return Err(damaged(format!("it says partition {}, offset {}", manifest.partition, manifest.offset)));
        }
        Ok(manifest)
    }

    /// The bytes of a part, as they were written.
    ///
    /// # Errors
    /// Where it is not there or damaged.
    pub fn part(&self, partition: i32, part: &Part) -> Result<Vec<u8>, SnapshotError> {
        let object = format!("{}/{}", self.folder(partition), part.object);
        let bytes = self.objects.get(&object)?.ok_or_else(|| SnapshotError::Missing(object.clone()))?;
        if checksum(&bytes) != part.checksum {
            let problem = format!("the checksum of its {} bytes does not match", bytes.len());
            return Err(SnapshotError::Damaged { object, problem });
        }
        Ok(bytes)
    }

    /// Writes a snapshot whose state before it is in `parts`; returns the parts of its own.
    ///
    /// May be called again with the same after a failure.
    ///
    /// # Errors
    /// Where the store fails, or a part to be merged is damaged.
    pub fn write(&self, snapshot: &Snapshot, parts: &[Part]) -> Result<Vec<Part>, SnapshotError> {
        let partition = snapshot.at.partition;
        let mut manifest = Manifest {
            owner: self.owner.clone(),
            partition,
            offset: snapshot.offset,
            minimum: snapshot.minimum.clone(),
            views: snapshot.views.clone(),
            models: snapshot.models.clone(),
            parts: parts.to_vec(),
            tally: None,
        };
        if snapshot.forgets || manifest.generations() + 1 >= GENERATIONS_MAX {
            manifest.parts.clear();
        }
        let written = if manifest.parts.len() < parts.len() {
            self.merged(snapshot, parts)?
        } else {
            encoded(snapshot).map_err(|error| unwritten(&self.manifest_name(partition, snapshot.offset), &error))?
        };
        for (n, (bytes, users)) in written.into_iter().enumerate() {
            manifest.parts.push(self.create(snapshot, format!("{n:03}"), "arrow", bytes, users)?);
        }
        let tally = snapshot.tally.clone().map(|bytes| self.create(snapshot, "tally".into(), "counts", bytes, 0));
        manifest.tally = tally.transpose()?;
        if !self.objects.create(&self.manifest_name(partition, snapshot.offset), manifest.encode())? {
            // Another owner was here before: state is a function of the log, so what he wrote is as good, if it is whole.
            match self.whole(partition, snapshot.offset) {
                Ok(parts) => return Ok(parts),
                Err(SnapshotError::Damaged { .. } | SnapshotError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(manifest.parts)
    }

    fn create(
        &self,
        snapshot: &Snapshot,
        name: String,
        kind: &str,
        bytes: Vec<u8>,
        users: u64,
    ) -> Result<Part, SnapshotError> {
        let checksum = checksum(&bytes);
        let object = format!("{:020}-{name}-{checksum}.{kind}", snapshot.offset);
        let part = Part { object, offset: snapshot.offset, bytes: bytes.len() as u64, users, checksum };
        // One that is there already has the same bytes.
        self.objects.create(&format!("{}/{}", self.folder(snapshot.at.partition), part.object), bytes)?;
        Ok(part)
    }

    /// The parts of a manifest, all of which can be read.
    fn whole(&self, partition: i32, offset: i64) -> Result<Vec<Part>, SnapshotError> {
        let Manifest { parts, tally, .. } = self.manifest(partition, offset)?;
        parts.iter().chain(&tally).try_for_each(|part| self.part(partition, part).map(|_| ()))?;
        Ok(parts)
    }

    fn merged(&self, snapshot: &Snapshot, parts: &[Part]) -> Result<Vec<(Vec<u8>, u64)>, SnapshotError> {
        let name = self.manifest_name(snapshot.at.partition, snapshot.offset);
        let mut merge = Merge::default();
        for batch in &snapshot.batches {
            merge.add(batch).map_err(|error| unwritten(&name, &error))?;
        }
        for part in parts.iter().rev() {
            let bytes = self.part(snapshot.at.partition, part)?;
            let read = batches(&bytes).and_then(|mut batches| batches.try_for_each(|batch| merge.add(&batch?)));
            read.map_err(|error| unwritten(&part.object, &error))?;
        }
        merge.finish().map_err(|error| unwritten(&name, &error))
    }

    /// Removes what the newest [`KEPT`] snapshots do not need, and trims the log below them. Does nothing where there is
    /// a newer snapshot than `newest`: then somebody else owns the partition. Stops once `cancelled`.
    ///
    /// # Errors
    /// Where the store or the broker fails; what is left then is removed the next time.
    pub fn clean(&self, at: &TopicPartition, newest: i64, cancelled: &AtomicBool) -> Result<(), SnapshotError> {
        let names = self.objects.list(&self.folder(at.partition))?;
        let offsets = manifest_offsets(&names);
        if offsets.first().is_none_or(|&first| first > newest) {
            return Ok(());
        }
        let (mut kept, mut oldest) = (BTreeSet::new(), i64::MAX);
        let mut count = 0;
        for &offset in &offsets {
            match self.manifest(at.partition, offset) {
                Ok(manifest) => {
                    kept.extend(manifest.parts.into_iter().chain(manifest.tally).map(|part| part.object));
                    (oldest, count) = (offset, count + 1);
                }
                Err(SnapshotError::Damaged { .. } | SnapshotError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
            if count == KEPT {
                break;
            }
        }
        if count < KEPT {
            return Ok(());
        }
        let is_old = |name: &&String| match (manifest_offset(name), part_offset(name)) {
            (Some(offset), _) => offset < oldest,
            (_, Some(offset)) => offset < newest && !kept.contains(file_name(name)),
            _ => false,
        };
        // Manifests first: none that is there names a part that is not.
        let (manifests, parts): (Vec<&String>, Vec<&String>) =
            names.iter().filter(is_old).partition(|name| manifest_offset(name).is_some());
        for name in manifests.into_iter().chain(parts) {
            if cancelled.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.objects.remove(name)?;
        }
        match &self.broker {
            Some(broker) => Ok(broker.trim(at, oldest)?),
            None => Ok(()),
        }
    }
}

fn encoded(snapshot: &Snapshot) -> Result<Vec<(Vec<u8>, u64)>, arrow::error::ArrowError> {
    let mut writer = PartWriter::default();
    snapshot.batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()
}

fn unwritten(object: &str, error: &arrow::error::ArrowError) -> SnapshotError {
    SnapshotError::Damaged { object: object.into(), problem: error.to_string() }
}

fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Offsets of the manifests among `names`, the newest first.
fn manifest_offsets(names: &[String]) -> Vec<i64> {
    let mut offsets: Vec<i64> = names.iter().filter_map(|name| manifest_offset(name)).collect();
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    offsets
}

fn manifest_offset(name: &str) -> Option<i64> {
    file_name(name).strip_suffix(".json")?.parse().ok()
}

fn part_offset(name: &str) -> Option<i64> {
    let name = file_name(name);
    let name = name.strip_suffix(".arrow").or_else(|| name.strip_suffix(".counts"))?;
    name.split('-').next()?.parse().ok()
}
