//! `inspect`: what is kept of a user, what a model is, what a snapshot holds.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use operators::describe_user;
use schemas::partition::partition_of;
use schemas::topics::Topics;
use serde_json::{Value, json};

use super::{Failure, Settings, broker};
use crate::config::Config;
use crate::model;
use crate::snapshot::bucket::Bucket;
use crate::snapshot::manifest::{Manifest, checksum};
use crate::snapshot::objects::Objects;
use crate::snapshot::part::batches;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What the newest snapshot holds of a user, as JSON
    User {
        /// The user's id
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// The newest version of a model on its topic, as JSON
    Model {
        /// The model's name, like sdim
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// What a snapshot stands for, and whether its parts are whole, as JSON
    Snapshot {
        /// The snapshot's .json file
        path: PathBuf,
    },
}

impl Inspect {
    /// Prints it.
    ///
    /// # Errors
    /// Where it is not there, or cannot be read.
    pub fn run(self) -> Result<(), Failure> {
        let told = match self.what {
            What::User { id, settings } => user(&settings.load()?, &id)?,
            What::Model { name, settings } => describe_model(&settings.load()?, &name)?,
            What::Snapshot { path } => snapshot(&path)?,
        };
        println!("{told:#}");
        Ok(())
    }
}

fn user(config: &Config, id: &str) -> Result<Value, Failure> {
    let Some(url) = &config.state.snapshots else {
        let message = "there are no snapshots to look into; set `state.snapshots` to the folder of the service's";
        return Err(Failure::usage(message));
    };
    let bucket = Bucket::open(url).map_err(Failure::failed)?;
    let partition = partition_of(id.as_bytes(), config.partitions_kafka());
    let folder = format!("{}/{partition:05}", config.app);
    let mut names = bucket.list(&folder).map_err(Failure::failed)?;
    names.retain(|name| name.ends_with(".json"));
    names.sort();
    let read = |name: &str| {
        let bytes = bucket.get(name).map_err(Failure::failed)?;
        bytes.ok_or_else(|| Failure::failed(format!("{url}/{name} is gone; try again")))
    };
    for name in names.iter().rev() {
        let Ok(manifest) = Manifest::decode(&read(name)?) else { continue };
        for part in manifest.parts.iter().rev() {
            let bytes = read(&format!("{folder}/{}", part.object))?;
            let damaged = |error: &dyn std::fmt::Display| Failure::failed(format!("{url}/{}: {error}", part.object));
            for batch in batches(&bytes).map_err(|error| damaged(&error))? {
                let batch = batch.map_err(|error| damaged(&error))?;
                if let Some(state) = describe_user(&batch, id).map_err(|error| damaged(&error))? {
                    let state: Value = serde_json::from_str(&state).map_err(|error| damaged(&error))?;
                    return Ok(found(id, &manifest, state));
                }
            }
        }
        return Ok(found(id, &manifest, Value::Null));
    }
    Err(Failure::failed(format!(
        "{url}/{folder} holds no snapshot that can be read; are `app` and `partitions` right?"
    )))
}

fn found(id: &str, manifest: &Manifest, state: Value) -> Value {
    json!({"user_id": id, "partition": manifest.partition, "offset": manifest.offset, "state": state})
}

fn describe_model(config: &Config, name: &str) -> Result<Value, Failure> {
    let topic = Topics::new(&config.app, &config.topics.prefix, Vec::new()).models();
    let model = model::read(&broker(config), &topic, name).map_err(Failure::failed)?;
    let none =
        || Failure::failed(format!("topic {topic} holds no model `{name}`; it is published when a room first opens"));
    let model = model.ok_or_else(none)?;
    let tensors = model.tensors.iter().map(|(name, entry)| {
        let mut told = json!({"name": name, "dtype": format!("{:?}", entry.dtype), "shape": entry.shape});
        if let Ok(values) = entry.to_floats(&entry.shape) {
            let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
            (told["min"], told["max"]) = (low.into(), high.into());
        }
        told
    });
    let tensors: Vec<Value> = tensors.collect();
    Ok(json!({"model": model.name, "version": model.version, "about": model.about, "tensors": tensors}))
}

fn snapshot(path: &Path) -> Result<Value, Failure> {
    let unread = |path: &Path, error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| unread(path, &error))?;
    let manifest = Manifest::decode(&bytes).map_err(|error| unread(path, &error))?;
    let parts = manifest.parts.iter().map(|part| {
        let is_whole = |bytes: Vec<u8>| checksum(&bytes) == part.checksum;
        let whole = std::fs::read(path.with_file_name(&part.object)).is_ok_and(is_whole);
        json!({"object": part.object, "users": part.users, "bytes": part.bytes, "whole": whole})
    });
    let parts: Vec<Value> = parts.collect();
    let mut told = serde_json::to_value(&manifest).map_err(Failure::failed)?;
    told["parts"] = parts.into();
    Ok(told)
}
