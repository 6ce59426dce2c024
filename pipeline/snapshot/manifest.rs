//! A manifest: what a snapshot stands for and which parts it is made of.

use std::collections::BTreeMap;

use operators::ViewIdentity;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::minimum::Minimum;

/// The way manifests and parts are written. The states of aggregates are DataFusion's, so its major version is part of it.
pub const FORMAT: &str = "2/datafusion-55";

/// Whose state it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The way it is written ([`FORMAT`]).
    pub format: String,
    /// `app`.
    pub app: String,
    /// The log's topic.
    pub topic: String,
    /// That topic's id: one that was made anew has another.
    pub topic_id: String,
    /// N.
    pub partitions: u32,
}

/// A part: an immutable object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the partition's folder.
    pub object: String,
    /// The offset of the snapshot that it was written for.
    pub offset: i64,
    /// Its bytes.
    pub bytes: u64,
    /// Users in it.
    pub users: u64,
    /// Its xxh3, in hexadecimal.
    pub checksum: String,
}

/// The state of one partition's task before `offset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// The partition of `by-user`.
    pub partition: i32,
    /// The first record that is not folded.
    pub offset: i64,
    /// Watermarks of the source partitions.
    pub minimum: Minimum,
    /// The views, as they were.
    pub views: Vec<ViewIdentity>,
    /// Versions of models in force.
    pub models: BTreeMap<String, u64>,
    /// The newest last.
    pub parts: Vec<Part>,
    /// The task's counters, whole, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Part>,
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    checksum: String,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

impl Manifest {
    /// The bytes of the object: JSON, with a checksum of the manifest's own text.
    pub fn encode(&self) -> Vec<u8> {
        let raw = serde_json::value::to_raw_value(self).expect("a manifest is JSON");
        let checksum = checksum(raw.get().as_bytes());
        serde_json::to_vec(&Sealed { checksum, manifest: &raw }).expect("a manifest is JSON")
    }

    /// Reads the bytes of an object.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let sealed: Sealed<'_> = serde_json::from_slice(bytes).map_err(|error| format!("no manifest: {error}"))?;
        if checksum(sealed.manifest.get().as_bytes()) != sealed.checksum {
            return Err("its checksum does not match".into());
        }
        serde_json::from_str(sealed.manifest.get()).map_err(|error| format!("no manifest: {error}"))
    }

    /// How many snapshots its parts were written for.
    pub fn generations(&self) -> usize {
        let mut offsets: Vec<i64> = self.parts.iter().map(|part| part.offset).collect();
        offsets.dedup();
        offsets.len()
    }
}

/// xxh3 in hexadecimal.
pub fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}
