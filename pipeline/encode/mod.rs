//! Encode: what the open rooms make of the users that a micro-batch touched. Here Arrow ends and slices begin.
//!
//! # Layout
//! - [`catalogue`]: items by version; [`items`]: those of one version; [`vectors`]: their vectors, in memory or in a file.
//! - [`learned`]: versions of vectors that are learned from the log; [`passages`]: what they are learned from.
//! - [`hashed`]: vectors made of the item's id. [`known`]: one of the two, as a room sees it.
//! - [`tables`]: the bounded cache of users' tables.
//! - [`follow`]: the reader of the topic.
//! - [`due`]: who is to be published when (`encodings.min_interval_ms`).
//! - [`sdim`]: the room SDIM; [`record`]: its output. [`crate::forecast`]: the room PromptTPP. [`crate::rank`]: answers to
//!   candidates.

pub mod catalogue;
pub mod due;
pub mod follow;
pub mod hashed;
pub mod items;
pub mod known;
pub mod learned;
pub mod passages;
pub mod record;
pub mod sdim;
pub mod tables;
pub mod vectors;

use std::collections::BTreeMap;

use operators::Fold;
use schemas::output::{Emit, Output, Record, Room};

use crate::forecast::{self, ForecastError, ForecastRoom};
use crate::inquiry::UserForecast;
use crate::metrics::curve::Scored;
use crate::rank::{RankError, RankRoom};

use self::passages::sampler::Sampler;

pub use catalogue::ItemsError;
pub use known::ItemSource;
pub use sdim::{SdimConfig, SdimRoom};

/// Why a room says nothing.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// SDIM's device failed, or vectors of items cannot be had.
    #[error("sdim: {0}")]
    Sdim(#[from] ItemsError),
    /// A forecast cannot be made.
    #[error("prompt_tpp: {0}")]
    Forecast(#[from] ForecastError),
    /// Candidates cannot be answered.
    #[error("candidates: {0}")]
    Rank(#[from] RankError),
}

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
    /// PromptTPP, where open.
    pub forecasts: Option<ForecastRoom>,
    /// Answers to candidates, where they are given.
    pub rank: Option<RankRoom>,
    /// Passages of histories, where vectors of items are learned from them.
    pub passages: Option<Sampler>,
    /// Versions of items in force, by task.
    pub items: BTreeMap<i32, u64>,
}

impl Encoders {
    /// Brings the caches of the touched users up to date and publishes their encodings.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn encode(
        &mut self,
        fold: &mut Fold,
        heard: &dyn Fn(i32) -> Heard,
        out: &mut dyn Emit,
    ) -> Result<(), EncodeError> {
        if let Some(passages) = &mut self.passages {
            let touched = fold.touched().filter(|touched| !heard(touched.task).muted);
            touched.for_each(|touched| passages.take(fold, &touched, out));
            passages.finish(out);
        }
        if let Some(sdim) = &mut self.sdim {
            sdim.encode(fold, heard, out)?;
        }
        if let Some(forecasts) = &mut self.forecasts {
            forecasts.encode(fold, heard, out)?;
        }
        if let Some(rank) = &mut self.rank {
            rank.answer(out)?;
        }
        Ok(())
    }

    /// A task begins, with items of this version.
    ///
    /// # Errors
    /// Where the version cannot be had.
    pub fn begin(&mut self, fold: &Fold, task: i32, items: u64) -> Result<(), EncodeError> {
        self.items.insert(task, 0);
        self.adopt_items(fold, task, items)
    }

    /// Whether a version of a model is another one than is in force. Of items it is the newest that counts, whoever speaks last:
    /// while processes are restarted one by one with a new `items.version`, the old ones speak too.
    pub fn is_news(&self, task: i32, model: &str, version: u64) -> bool {
        model != Room::Items.name() || self.items.get(&task).is_none_or(|in_force| *in_force < version)
    }

    fn adopt_items(&mut self, fold: &Fold, task: i32, version: u64) -> Result<(), EncodeError> {
        self.items.insert(task, version);
        if let Some(sdim) = &mut self.sdim {
            sdim.adopt(fold, task, version)?;
        }
        if let Some(rank) = &mut self.rank {
            rank.adopt_items(task, version)?;
        }
        Ok(())
    }

    /// A version of a model is in force for a task from here on.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn adopt(&mut self, fold: &Fold, task: i32, model: &str, version: u64) -> Result<(), EncodeError> {
        if model == Room::Items.name() {
            return self.adopt_items(fold, task, version);
        }
        match (&mut self.forecasts, &mut self.rank) {
            (Some(forecasts), _) if model == Room::PromptTpp.name() => Ok(forecasts.adopt(task, version)?),
            (_, Some(rank)) => Ok(rank.adopt(task, model, version)?),
            _ => Ok(()),
        }
    }

    /// The forecast in force of a user in memory; none where the room is closed or has made none of him.
    pub fn forecast_of(&self, fold: &Fold, task: i32, user: u32) -> Option<UserForecast> {
        self.forecasts.as_ref()?.shown(fold, task, user)
    }

    /// How forecasts did on the events since the last call, and the name of the trivial one beside them.
    pub fn take_scored(&mut self) -> Option<(Scored, &'static str)> {
        self.forecasts.as_mut().map(ForecastRoom::take_scored).filter(|(scored, _)| scored.events > 0)
    }

    /// Bytes that publishing `users` encodings will take, about.
    pub fn bytes(&self, users: usize) -> usize {
        let sdim = self.sdim.as_ref().map_or(0, SdimRoom::record_bytes);
        let forecasts = self.forecasts.as_ref().map_or(0, |_| forecast::RECORD_BYTES);
        (sdim + forecasts) * users + self.rank.as_ref().map_or(0, RankRoom::bytes)
    }

    /// A task begins with the users that `fold` has of it, at `watermark`.
    pub fn restored(&mut self, fold: &Fold, task: i32, watermark: i64) {
        if let Some(sdim) = &mut self.sdim {
            sdim.restored(fold, task, watermark);
        }
    }

    /// Versions of the models in force for a task.
    pub fn versions(&self, task: i32) -> BTreeMap<String, u64> {
        let sdim = self.sdim.iter().map(|_| (Room::Sdim, record::MODEL_VERSION));
        let forecasts = self.forecasts.iter().filter_map(|room| Some((Room::PromptTpp, room.version(task)?)));
        let scorers = self.rank.iter().flat_map(|rank| rank.versions(task));
        let items = self.items.get(&task).filter(|version| **version > 0).map(|version| (Room::Items, *version));
        sdim.chain(forecasts)
            .chain(scorers)
            .chain(items)
            .map(|(room, version)| (room.name().to_owned(), version))
            .collect()
    }

    /// The user of `slot` is forgotten: it may be another's from now on.
    pub fn forget_user(&mut self, task: i32, slot: Option<u32>) {
        let Some(slot) = slot else { return };
        if let Some(sdim) = &mut self.sdim {
            sdim.forget_user(task, slot);
        }
        if let Some(rank) = &mut self.rank {
            rank.forget_user(task, slot);
        }
    }

    /// Takes back what readers see of a user: records without a value.
    pub fn take_back(&self, task: i32, user_id: &str, out: &mut dyn Emit) {
        let sdim = self.sdim.iter().map(|_| Output::Encoding(Room::Sdim));
        for output in sdim.chain(self.forecasts.iter().map(|_| Output::Forecasts)) {
            let key = Some(user_id.as_bytes());
            out.emit(task, Record { output, partition: task, key, value: None, headers: &[] });
        }
    }

    /// Another worker has the users of a task now. What is cached of others goes too: it is rebuilt on demand.
    pub fn forget(&mut self, task: i32) {
        self.items.remove(&task);
        if let Some(sdim) = &mut self.sdim {
            sdim.forget(task);
        }
        if let Some(forecasts) = &mut self.forecasts {
            forecasts.forget(task);
        }
        if let Some(rank) = &mut self.rank {
            rank.forget(task);
        }
    }
}
