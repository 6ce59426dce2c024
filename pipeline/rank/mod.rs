//! Rank: answers to candidates, from what the log said before them; and samples of what users took.
//!
//! ```text
//! request ─► look: history, vectors, counters ─► sight ─► models in force ─► scores     (at the transaction's end)
//!                                                   └► waits for feedback ─► samples    (in the transaction that heard it)
//! ```
//! A request stands in its user's log among his rows, so its answer sees exactly the events before it. What it sees is read
//! there and then, once; scores and samples are made of it.
//!
//! # Layout
//! - [`look`]: from history, vectors and counters to a [`sight`]. [`tally`]: what a task counts of items and users.
//! - [`pending`]: requests that wait for feedback.
//! - [`version`]: models in force. [`record`]: the answer.

pub mod look;
pub mod pending;
pub mod record;
pub mod sight;
pub mod tally;
pub mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use operators::Fold;
use operators::rates::RatesError;
use schemas::output::{Emit, Output, Record, Room};
use schemas::request::{Candidates, Feedback};
use shaders::Device;
use shaders::ranking::Long;
use xxhash_rust::xxh3::xxh3_64;

use self::look::{Eyes, ITEM_RATE, LookConfig};
use self::pending::{Patience, Pending};
use self::record::{Opinion, probability};
use self::sight::Sight;
use self::tally::{Bounds, Tally, key};
use self::version::{About, Version};
use crate::encode::{ItemSource, ItemsError};
use crate::forecast::version::VersionError;
use crate::model::ModelError;
use crate::model::shelf::Shelf;

/// What a [`RankRoom`] is made for.
#[derive(Clone, Debug)]
pub struct RankConfig {
    /// Of the counters of one partition.
    pub bounds: Bounds,
    /// What is looked at.
    pub look: LookConfig,
    /// How long requests wait for feedback.
    pub patience: Patience,
    /// Of what requests so many percent are learned from.
    pub sample_percent: u64,
}

/// Why candidates are not answered.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] shaders::Error),
    /// Vectors of items cannot be had.
    #[error(transparent)]
    Items(#[from] ItemsError),
    /// A version in force cannot be had.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A version in force is not one for these candidates.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A snapshot's counters cannot be read.
    #[error("counters: {0}")]
    Counters(#[from] RatesError),
    /// A snapshot's requests cannot be read.
    #[error("requests that wait for feedback: {0}")]
    Pending(#[from] postcard::Error),
}

impl RankError {
    fn is_device_lost(&self) -> bool {
        match self {
            Self::Device(error) | Self::Version(VersionError::Device(error)) => error.is_device_lost(),
            _ => false,
        }
    }
}

/// The models that score, as far as their rooms are open.
pub const MODELS: [(Room, Long); 2] = [(Room::Sdim, Long::Sdim), (Room::Muse, Long::Muse)];

/// The version of model `sdim` that is the frozen hash alone, and scores nothing.
pub const HASH_VERSION: u64 = crate::encode::record::MODEL_VERSION;

/// A model that may have versions.
struct Scorer {
    room: Room,
    long: Long,
    shelf: Arc<Shelf>,
    /// Versions in force, by task.
    in_force: BTreeMap<i32, u64>,
    /// Those that were built, by the number in force: compaction may have left only a newer one.
    versions: BTreeMap<u64, Version>,
}

/// What is kept of a task.
struct Task {
    tally: Tally,
    pending: Pending,
}

/// The room that answers candidates, of one worker.
pub struct RankRoom {
    config: RankConfig,
    device: Device,
    eyes: Eyes,
    scorers: Vec<Scorer>,
    tasks: BTreeMap<i32, Task>,
    waiting: Vec<Waiting>,
    value: Vec<u8>,
}

/// A request, and what it saw.
struct Waiting {
    task: i32,
    asked: Candidates,
    sight: Sight,
}

impl RankRoom {
    /// A room with no tasks yet; `shelves` has the versions of each open model.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn new(
        config: RankConfig,
        device: Device,
        items: ItemSource,
        shelves: &[(Room, Arc<Shelf>)],
    ) -> Result<Self, shaders::Error> {
        let eyes = Eyes::new(config.look.clone(), &device, items)?;
        let scorer = |(room, long): (Room, Long)| {
            let (_, shelf) = shelves.iter().find(|(of, _)| *of == room)?;
            let (in_force, versions) = Default::default();
            Some(Scorer { room, long, shelf: Arc::clone(shelf), in_force, versions })
        };
        let scorers = MODELS.into_iter().filter_map(scorer).collect();
        Ok(Self { config, device, eyes, scorers, tasks: BTreeMap::new(), waiting: Vec::new(), value: Vec::new() })
    }

    /// A task begins with what [`RankRoom::export`] gave; with nothing where it begins without state.
    ///
    /// # Errors
    /// Where the bytes are something else.
    pub fn begin(&mut self, task: i32, bytes: Option<&[u8]>) -> Result<(), RankError> {
        let bounds = self.config.bounds;
        let (tally, pending) = match bytes {
            None => (Tally::new(bounds), Pending::default()),
            Some(bytes) => {
                let short = RatesError::Length(8, bytes.len());
                let (length, rest) = bytes.split_first_chunk::<8>().ok_or(short)?;
                let (tally, pending) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or(short)?;
                (Tally::from_bytes(bounds, tally)?, Pending::from_bytes(pending)?)
            }
        };
        self.tasks.insert(task, Task { tally, pending });
        Ok(())
    }

    /// What is kept of a task beside its users.
    pub fn export(&self, task: i32) -> Option<Vec<u8>> {
        let Task { tally, pending } = self.tasks.get(&task)?;
        let tally = tally.to_bytes();
        Some([&(tally.len() as u64).to_le_bytes()[..], &tally, &pending.to_bytes()].concat())
    }

    /// Another worker has the task now.
    pub fn forget(&mut self, task: i32) {
        self.tasks.remove(&task);
        self.eyes.forget(task);
        self.waiting.retain(|waiting| waiting.task != task);
        for scorer in &mut self.scorers {
            scorer.in_force.remove(&task);
        }
    }

    /// Counts what was folded since the last call.
    pub fn count(&mut self, fold: &mut Fold) {
        for arrival in fold.take_arrivals() {
            let Some(Task { tally, pending }) = self.tasks.get_mut(&arrival.task) else { continue };
            match arrival.row {
                Some(row) => tally.behavior(arrival.user, fold.row(row).item_id),
                None => {
                    tally.forget(arrival.user);
                    pending.forget(arrival.user);
                }
            }
        }
    }

    /// Takes what a user did with what he was shown; he is in `slot` where he is known. All rows before it are counted.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn feedback(
        &mut self,
        fold: &Fold,
        (task, muted): (i32, bool),
        slot: Option<u32>,
        given: &Feedback,
        out: &mut dyn Emit,
    ) -> Result<(), RankError> {
        let Some(Task { tally, pending }) = self.tasks.get_mut(&task) else { return Ok(()) };
        let sample = match (&given.request_id, &given.item_id) {
            (Some(request_id), item_id) => pending.hear(request_id, item_id.as_deref(), given.label),
            (None, Some(item_id)) if self.config.sample_percent > 0 && !muted && !self.scorers.is_empty() => {
                let Feedback { user_id, time, .. } = given.clone();
                let asked = Candidates { user_id, time, item_ids: vec![item_id.clone()], ..Candidates::default() };
                let sight = self.eyes.look(fold, (task, slot), tally, &asked)?;
                Some(sight.pick(&[0], given.label))
            }
            (None, _) => None,
        };
        let items = match (&given.item_id, &sample) {
            (Some(item_id), _) => vec![item_id.clone()],
            (None, Some(sample)) => sample.item_ids.clone(),
            (None, None) => Vec::new(),
        };
        items.iter().for_each(|item_id| tally.feedback(key(&given.user_id), key(item_id), given.label));
        if let Some(sample) = sample.filter(|_| !muted) {
            self.emit(task, sample, out);
        }
        Ok(())
    }

    /// Takes a request of a user, who is in `slot` where he is known; all rows before it are counted.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn ask(
        &mut self,
        fold: &Fold,
        (task, muted): (i32, bool),
        slot: Option<u32>,
        asked: Candidates,
        out: &mut dyn Emit,
    ) -> Result<(), RankError> {
        let Some(Task { tally, pending }) = self.tasks.get_mut(&task) else { return Ok(()) };
        let learned_from =
            !self.scorers.is_empty() && xxh3_64(asked.request_id.as_bytes()) % 100 < self.config.sample_percent;
        if muted && !learned_from {
            return Ok(());
        }
        let sight = self.eyes.look(fold, (task, slot), tally, &asked)?;
        if learned_from {
            let user = key(&asked.user_id);
            let gone = pending.add(&asked.request_id, user, asked.time, sight.clone(), &self.config.patience);
            if !muted {
                gone.into_iter().for_each(|sample| self.emit(task, sample, out));
            }
        }
        if !muted {
            self.waiting.push(Waiting { task, asked, sight });
        }
        Ok(())
    }

    /// Sends a sample to every model that may learn from it.
    fn emit(&mut self, task: i32, sample: Sight, out: &mut dyn Emit) {
        for Scorer { room, long, .. } in &self.scorers {
            let part =
                if *long == Long::Muse { sample.clone().without_reads() } else { sample.clone().without_found() };
            self.value.clear();
            part.write(&mut self.value);
            let (output, value) = (Output::Samples(*room), Some(self.value.as_slice()));
            out.emit(task, Record { output, partition: 0, key: None, value, headers: &[] });
        }
    }

    /// A version of items is in force for a task from here on: what requests see from now on is of it.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn adopt_items(&mut self, task: i32, version: u64) -> Result<(), RankError> {
        Ok(self.eyes.adopt(task, version)?)
    }

    /// A version of a model is in force for a task from here on.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn adopt(&mut self, task: i32, model: &str, version: u64) -> Result<(), RankError> {
        let Some(scorer) = self.scorers.iter_mut().find(|scorer| scorer.room.name() == model) else { return Ok(()) };
        if scorer.room == Room::Sdim && version <= HASH_VERSION {
            return Ok(());
        }
        scorer.in_force.insert(task, version);
        let needed: Vec<u64> = scorer.in_force.values().copied().collect();
        scorer.versions.retain(|number, _| needed.contains(number));
        Ok(())
    }

    /// Versions in force for a task.
    pub fn versions(&self, task: i32) -> impl Iterator<Item = (Room, u64)> {
        self.scorers.iter().filter_map(move |scorer| Some((scorer.room, *scorer.in_force.get(&task)?)))
    }

    /// Answers all requests since the last call.
    ///
    /// # Errors
    /// Where a version in force cannot be had, or the device fails.
    pub fn answer(&mut self, out: &mut dyn Emit) -> Result<(), RankError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let about = About { inputs: self.config.look.inputs(), dim: self.config.look.dim, targets: 0 };
        for Waiting { task, asked, sight } in std::mem::take(&mut self.waiting) {
            let mut opinions = Vec::new();
            for scorer in &mut self.scorers {
                opinions.extend(scorer.score(&mut self.device, &about, task, &sight)?);
            }
            let inputs = sight.inputs.chunks_exact(sight.width as usize);
            let rates: Vec<f32> = inputs.map(|of| probability(of[ITEM_RATE])).collect();
            record::write(&asked, &rates, &opinions, &mut self.value);
            let (key, value) = (Some(asked.request_id.as_bytes()), Some(self.value.as_slice()));
            out.emit(task, Record { output: Output::Scores, partition: task, key, value, headers: &[] });
        }
        Ok(())
    }

    /// Bytes that the answers which wait will take, about.
    pub fn bytes(&self) -> usize {
        let of = |waiting: &Waiting| 128 + waiting.asked.item_ids.iter().map(|id| id.len() + 128).sum::<usize>();
        self.waiting.iter().map(of).sum()
    }
}

impl Scorer {
    /// What the version in force for a task says of a request; none where there is none.
    fn score(
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
