//! Versions of a model that scores, each made once, for all workers of a process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use schemas::output::Room;
use shaders::ranking::Long;

use super::look::LookConfig;
use super::version::{About, Version};
use super::{MODELS, RankError, scores_after};
use crate::log::Reader;
use crate::model::Model;
use crate::model::shelf::Shelf;

/// The versions of one model. Making one takes the longer the more items have rows, so it is done ahead where that is
/// possible ([`Versions::read_ahead`]), and never while others wait for what is there already.
pub struct Versions {
    room: Room,
    long: Long,
    about: About,
    shelf: Shelf,
    /// By the number asked for: compaction may have left only a newer one.
    made: Mutex<BTreeMap<u64, Arc<Version>>>,
    /// Held by who makes one.
    making: Mutex<()>,
}

impl Versions {
    /// Versions of the model of `room`, for what is looked at, from a reader of topic `models`. Panics for a room that does not
    /// score.
    pub fn new(room: Room, look: &LookConfig, reader: Box<dyn Reader>) -> Self {
        let (_, long) = *MODELS.iter().find(|(of, _)| *of == room).expect("a room that scores");
        let about = About { inputs: look.inputs(), dim: look.dim, ..About::default() };
        let shelf = Shelf::new(room.name(), reader);
        Self { room, long, about, shelf, made: Mutex::default(), making: Mutex::default() }
    }

    /// The room whose model it is.
    pub fn room(&self) -> Room {
        self.room
    }

    /// The form of the model's long interest.
    pub fn long(&self) -> Long {
        self.long
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Version>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version that is made already. It stays as long as somebody holds it, or it is the newest.
    pub fn made(&self, version: u64) -> Option<Arc<Version>> {
        self.all().get(&version).cloned()
    }

    /// Version `version`, or the next newer one where it is not to be had any more, as [`Shelf::get`]; waits for it.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn get(&self, version: u64) -> Result<Arc<Version>, RankError> {
        if let Some(made) = self.made(version) {
            return Ok(made);
        }
        let model = self.shelf.get(version)?;
        self.make(version, &model)
    }

    /// Makes the newest version that has come, before anybody needs it.
    ///
    /// # Errors
    /// Where the log fails, or it is not one for these candidates.
    pub fn read_ahead(&self) -> Result<(), RankError> {
        let newest = self.shelf.newest()?.filter(|newest| *newest > scores_after(self.room));
        let Some(newest) = newest.filter(|newest| self.made(*newest).is_none()) else { return Ok(()) };
        self.get(newest).map(drop)
    }

    fn make(&self, version: u64, model: &Model) -> Result<Arc<Version>, RankError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let known = [version, model.version].iter().find_map(|number| self.made(*number));
        let made = match known {
            Some(made) => made,
            None => {
                let started = Instant::now();
                let made = Arc::new(Version::new(self.long, model, &self.about)?);
                tracing::debug!(model = self.room.name(), version, took = ?started.elapsed(), "a version is made");
                made
            }
        };
        let mut all = self.all();
        all.insert(version, Arc::clone(&made));
        // Those in force are held by who scores by them; the newest will be.
        let newest = all.keys().last().copied();
        all.retain(|number, made| Some(*number) == newest || Arc::strong_count(made) > 1);
        Ok(made)
    }
}
