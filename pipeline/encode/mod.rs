//! Encode: what the open rooms make of the users that a micro-batch touched. Here Arrow ends and slices begin.
//!
//! # Layout
//! - [`catalogue`]: item vectors from the `items` topic; [`hashed`]: vectors made of the item's id.
//! - [`items`]: one of the two, as a room sees it.
//! - [`tables`]: the bounded cache of users' tables.
//! - [`follow`]: the reader of the topic.
//! - [`due`]: who is to be published when (`encodings.min_interval_ms`).
//! - [`sdim`]: the room SDIM; [`record`]: its output.

pub mod catalogue;
pub mod due;
pub mod follow;
pub mod hashed;
pub mod items;
pub mod record;
pub mod sdim;
pub mod tables;

use std::collections::BTreeMap;

use operators::Fold;
use schemas::output::{Emit, Output, Record, Room};

pub use items::ItemSource;
pub use sdim::{SdimConfig, SdimRoom};

/// How far a task has come, as the rooms need it.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Its watermark, in ms.
    pub watermark: i64,
    /// It replays: nothing is published.
    pub muted: bool,
}

/// The open rooms of one worker.
#[derive(Default)]
pub struct Encoders {
    /// SDIM, where open.
    pub sdim: Option<SdimRoom>,
}

impl Encoders {
    /// Brings the caches of the touched users up to date and publishes their encodings.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn encode(
        &mut self,
        fold: &Fold,
        heard: &dyn Fn(i32) -> Heard,
        out: &mut dyn Emit,
    ) -> Result<(), shaders::Error> {
        self.sdim.as_mut().map_or(Ok(()), |sdim| sdim.encode(fold, heard, out))
    }

    /// Bytes that publishing `users` encodings will take, about.
    pub fn bytes(&self, users: usize) -> usize {
        self.sdim.as_ref().map_or(0, |sdim| sdim.record_bytes() * users)
    }

    /// A task begins with the users that `fold` has of it, at `watermark`.
    pub fn restored(&mut self, fold: &Fold, task: i32, watermark: i64) {
        if let Some(sdim) = &mut self.sdim {
            sdim.restored(fold, task, watermark);
        }
    }

    /// Versions of the models in force.
    pub fn versions(&self) -> BTreeMap<String, u64> {
        self.sdim.iter().map(|_| (Room::Sdim.name().to_owned(), record::MODEL_VERSION)).collect()
    }

    /// The user of `slot` is forgotten: it may be another's from now on.
    pub fn forget_user(&mut self, task: i32, slot: Option<u32>) {
        if let (Some(sdim), Some(slot)) = (&mut self.sdim, slot) {
            sdim.forget_user(task, slot);
        }
    }

    /// Takes back what readers see of a user: records without a value.
    pub fn take_back(&self, task: i32, user_id: &str, out: &mut dyn Emit) {
        if self.sdim.is_some() {
            let (output, key) = (Output::Encoding(Room::Sdim), Some(user_id.as_bytes()));
            out.emit(task, Record { output, partition: task, key, value: None, headers: &[] });
        }
    }

    /// Another worker has the users of a task now. What is cached of others goes too: it is rebuilt on demand.
    pub fn forget(&mut self, task: i32) {
        if let Some(sdim) = &mut self.sdim {
            sdim.forget(task);
        }
    }
}
