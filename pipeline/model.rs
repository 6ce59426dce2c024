//! Model versions on the compacted topic `<app>.models`: tensors in chunks, the manifest last, one transaction a version.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::log::{Broker, LogError, Outgoing};

/// A tensor is cut into chunks of this size.
const CHUNK_BYTES: usize = 512 << 10;
/// How long the topic may take to be read.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// A tensor of f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name in the model.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// A model version: what its manifest says, with the tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The model's name.
    pub name: String,
    /// The version, from 1.
    pub version: u64,
    /// Its tensors.
    pub tensors: Vec<Tensor>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    model: String,
    version: u64,
    tensors: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    dtype: String,
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
    /// A file cannot be written.
    #[error("writing {0}: {1}")]
    File(String, String),
}

fn key(model: &str, tensor: &str, chunk: usize) -> String {
    format!("{model}/{tensor}/{chunk}")
}

/// Publishes a version in one transaction of its own; `member` names the producer.
///
/// # Errors
/// Where the log refuses.
pub fn publish(broker: &dyn Broker, topic: &str, member: &str, model: &Model) -> Result<(), ModelError> {
    let mut log = broker.open(&format!("{topic}.publisher"), member, &[])?;
    log.begin()?;
    let mut entries = Vec::new();
    for tensor in &model.tensors {
        let bytes: &[u8] = bytemuck::cast_slice(&tensor.values);
        let chunks = bytes.chunks(CHUNK_BYTES);
        entries.push(Entry {
            name: tensor.name.clone(),
            dtype: "F32".into(),
            shape: tensor.shape.clone(),
            chunks: chunks.len(),
            checksum: format!("{:016x}", xxh3_64(bytes)),
        });
        for (number, chunk) in chunks.enumerate() {
            let key = key(&model.name, &tensor.name, number);
            log.send(Outgoing { topic, partition: 0, key: Some(key.as_bytes()), value: Some(chunk), headers: &[] })?;
        }
    }
    let manifest = Manifest { model: model.name.clone(), version: model.version, tensors: entries };
    let value = serde_json::to_vec(&manifest).expect("a manifest becomes JSON");
    let key = Some(model.name.as_bytes());
    log.send(Outgoing { topic, partition: 0, key, value: Some(&value), headers: &[] })?;
    Ok(log.commit()?)
}

/// The newest whole version of a model on the topic; none where there is none, or its checksums do not match.
///
/// # Errors
/// Where the log fails or its end is not reached in time.
pub fn read(broker: &dyn Broker, topic: &str, name: &str) -> Result<Option<Model>, ModelError> {
    let mut reader = broker.reader(&[topic.to_string()])?;
    reader.catch_up()?;
    let mut parts: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let started = Instant::now();
    while !reader.poll(Duration::from_millis(100), &mut |record| {
        if let (Some(key), Some(value)) = (record.key, record.value) {
            parts.insert(key.to_vec(), value.to_vec());
        }
    })? {
        if started.elapsed() > READ_LIMIT {
            return Err(ModelError::Slow(topic.into()));
        }
    }
    Ok(assemble(name, &parts))
}

fn assemble(name: &str, parts: &BTreeMap<Vec<u8>, Vec<u8>>) -> Option<Model> {
    let manifest: Manifest = serde_json::from_slice(parts.get(name.as_bytes())?).ok()?;
    let tensor = |entry: &Entry| {
        let mut bytes = Vec::new();
        for chunk in 0..entry.chunks {
            bytes.extend_from_slice(parts.get(key(name, &entry.name, chunk).as_bytes())?);
        }
        let whole = format!("{:016x}", xxh3_64(&bytes)) == entry.checksum;
        let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>();
        let fits = values.len() == entry.shape.iter().product::<usize>();
        (whole && fits).then(|| Tensor { name: entry.name.clone(), shape: entry.shape.clone(), values })
    };
    let tensors = manifest.tensors.iter().map(tensor).collect::<Option<Vec<_>>>()?;
    Some(Model { name: name.into(), version: manifest.version, tensors })
}

/// Writes a model as `dir/<model>.safetensors`.
///
/// # Errors
/// Where the file cannot be written.
pub fn save(model: &Model, dir: &Path) -> Result<(), ModelError> {
    let path = dir.join(format!("{}.safetensors", model.name));
    let wrong = |error: &dyn std::fmt::Display| ModelError::File(path.display().to_string(), error.to_string());
    std::fs::create_dir_all(dir).map_err(|error| wrong(&error))?;
    let views = model.tensors.iter().map(|tensor| {
        let bytes: &[u8] = bytemuck::cast_slice(&tensor.values);
        TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map(|view| (tensor.name.clone(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    let meta = [("version".to_string(), model.version.to_string())].into_iter().collect();
    let bytes = safetensors::serialize(views, Some(meta)).map_err(|error| wrong(&error))?;
    std::fs::write(&path, bytes).map_err(|error| wrong(&error))
}
