//! Model versions on the topic `<app>.models`: tensors in chunks, the manifest last, in one transaction; and as safetensors.
//!
//! Keys are `model/tensor/chunk`, the manifest's is `model`: the topic is compacted, so what is left of each model is its
//! newest version. Tensors travel with their checksums: a version that is not whole is not one.
//!
//! # Layout
//! - this file: a version as records, and back; [`sparse`]: only those that are new; [`shelf`]: versions as engines need them;
//!   [`file`](mod@file): safetensors.

pub mod file;
pub mod shelf;
pub mod sparse;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shaders::ops::tensors::{Entry, Named};
use xxhash_rust::xxh3::xxh3_64;

use crate::log::{Broker, Incoming, LogError, Outgoing, Reader};

/// A tensor is cut into chunks of this size: few enough that keys cost nothing beside them, and small, so that a table of which
/// few rows changed costs little.
const CHUNK_BYTES: usize = 64 << 10;
/// How long the topic may take to be read.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// A model version: what its manifest says, with the tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The model's name.
    pub name: String,
    /// The version, from 1.
    pub version: u64,
    /// What else is to be known of it; null where nothing is.
    pub about: Value,
    /// Its tensors.
    pub tensors: Named,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    model: String,
    version: u64,
    #[serde(default)]
    about: Value,
    tensors: Vec<Part>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    chunks: usize,
    /// xxh3 of the tensor's bytes, hexadecimal.
    checksum: String,
}

/// Why a model cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The topic did not come to its end.
    #[error("topic {0}: its end was not reached in {limit} s; is the broker well?", limit = READ_LIMIT.as_secs())]
    Slow(String),
    /// A version that is in force does not come.
    #[error(
        "model {model}: version {version} is in force in the log, but topic models has neither it nor a newer one; was the \
         topic made anew? restore it, or start over under another `app`"
    )]
    Missing {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(String, String),
}

fn key(model: &str, tensor: &str, chunk: usize) -> String {
    format!("{model}/{tensor}/{chunk}")
}

impl Model {
    /// Bytes of its tensors.
    pub fn bytes(&self) -> usize {
        self.tensors.values().map(|entry| entry.bytes.len()).sum()
    }

    /// Gives its records to `each`, key and value, the manifest last, until one fails.
    ///
    /// # Errors
    /// What `each` says.
    pub fn records<E>(&self, mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut parts = Vec::new();
        for (name, Entry { dtype, shape, bytes }) in &self.tensors {
            let chunks = bytes.chunks(CHUNK_BYTES);
            parts.push(Part {
                name: name.clone(),
                dtype: *dtype,
                shape: shape.clone(),
                chunks: chunks.len(),
                checksum: format!("{:016x}", xxh3_64(bytes)),
            });
            for (number, chunk) in chunks.enumerate() {
                each(key(&self.name, name, number).as_bytes(), chunk)?;
            }
        }
        let (model, version, about) = (self.name.clone(), self.version, self.about.clone());
        let manifest = Manifest { model, version, about, tensors: parts };
        each(self.name.as_bytes(), &serde_json::to_vec(&manifest).expect("a manifest becomes JSON"))
    }
}

/// Publishes a version in one transaction of its own; `member` names the producer.
///
/// # Errors
/// Where the log refuses.
pub fn publish(broker: &dyn Broker, topic: &str, member: &str, model: &Model) -> Result<(), ModelError> {
    let mut log = broker.open(&format!("{topic}.publisher"), member, &[])?;
    log.begin()?;
    model.records(|key, value| {
        log.send(Outgoing { topic, partition: 0, key: Some(key), value: Some(value), headers: &[] })
    })?;
    Ok(log.commit()?)
}

/// Of one model, the newest chunk of each key that was read.
#[derive(Debug)]
pub struct Chunks {
    model: String,
    newest: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Chunks {
    /// Nothing of this model was read yet.
    pub fn of(model: &str) -> Self {
        Self { model: model.into(), newest: BTreeMap::new() }
    }

    /// Takes a record of the topic, where it is one of the model; returns whether it is a manifest: then a version may be whole.
    pub fn take(&mut self, record: Incoming<'_>) -> bool {
        record.key.zip(record.value).is_some_and(|(key, value)| self.put(key, value))
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> bool {
        match key.strip_prefix(self.model.as_bytes()) {
            Some([] | [b'/', ..]) => drop(self.newest.insert(key.to_vec(), value.to_vec())),
            _ => return false,
        }
        key.len() == self.model.len()
    }

    /// The version whose manifest was read last; none where there is none, or its checksums do not match.
    pub fn assemble(&self) -> Option<Model> {
        let name = &self.model;
        let manifest: Manifest = serde_json::from_slice(self.newest.get(name.as_bytes())?).ok()?;
        let tensor = |part: &Part| {
            let mut bytes = Vec::new();
            for chunk in 0..part.chunks {
                bytes.extend_from_slice(self.newest.get(key(name, &part.name, chunk).as_bytes())?);
            }
            let whole = format!("{:016x}", xxh3_64(&bytes)) == part.checksum;
            let fits = bytes.len() * 8 == part.shape.iter().product::<usize>() * part.dtype.bitsize();
            let entry = Entry { dtype: part.dtype, shape: part.shape.clone(), bytes };
            (whole && fits).then(|| (part.name.clone(), entry))
        };
        let tensors = manifest.tensors.iter().map(tensor).collect::<Option<Named>>()?;
        Some(Model { name: name.clone(), version: manifest.version, about: manifest.about, tensors })
    }
}

/// Reads to the present end of a reader's topics.
///
/// # Errors
/// Where the log fails or the end is not reached in time; `topic` names it then.
pub fn read_all(reader: &mut dyn Reader, topic: &str, each: &mut dyn FnMut(Incoming<'_>)) -> Result<(), ModelError> {
    reader.catch_up()?;
    let started = Instant::now();
    while !reader.poll(Duration::from_millis(100), each)? {
        if started.elapsed() > READ_LIMIT {
            return Err(ModelError::Slow(topic.into()));
        }
    }
    Ok(())
}

/// The newest whole version of a model on the topic; none where there is none, or its checksums do not match.
///
/// # Errors
/// Where the log fails or its end is not reached in time.
pub fn read(broker: &dyn Broker, topic: &str, name: &str) -> Result<Option<Model>, ModelError> {
    let mut reader = broker.reader(&[topic.to_string()])?;
    let mut chunks = Chunks::of(name);
    read_all(reader.as_mut(), topic, &mut |record| _ = chunks.take(record))?;
    Ok(chunks.assemble())
}
