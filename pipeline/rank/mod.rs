//! Rank: answers to candidates, from what the log said before them; and samples of what users took.
//!
//! ```text
//! request ─► look: history, vectors, counters ─► sight ─► models in force ─► scores     (at the transaction's end)
//!                                                   └► waits for feedback ─► samples    (in the transaction that heard it)
//! feedback without a request ─► look, beside negatives of the recent log ─► samples
//! ```
//! A request stands in its user's log among his rows, so its answer sees exactly the events before it. What it sees is read
//! there and then, once; scores and samples are made of it.
//!
//! # Layout
//! - [`look`]: from history, vectors and counters to a [`sight`]; [`blocks`]: vectors of users that are kept. [`tally`]: what a task counts of items and users.
//! - [`pending`]: requests that wait for feedback. [`recent`]: negatives where there was no request.
//! - [`scorer`]: models in force; [`versions`], [`version`]: made once for all workers. [`record`]: the answer. [`judge`]: how
//!   answers did.

pub mod blocks;
pub mod judge;
pub mod look;
pub mod pending;
pub mod recent;
pub mod record;
pub mod scorer;
pub mod sight;
#[cfg(test)]
mod speed;
pub mod tally;
pub mod version;
pub mod versions;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use operators::Fold;
use operators::rates::RatesError;
use schemas::output::{Emit, Output, Record, Room};
use schemas::request::{Candidates, Feedback};
use shaders::Device;
use shaders::ranking::Long;
use xxhash_rust::xxh3::xxh3_64;

use self::judge::{Answered, Judge, Judged};
use self::look::{Eyes, ITEM_RATE, LookConfig};
use self::pending::{Heard, Patience, Pending, waits_from};
use self::recent::Recent;
use self::record::{Opinion, probability};
use self::scorer::Scorer;
use self::sight::Sight;
use self::tally::{Bounds, Tally, key};
use self::versions::Versions;
use crate::encode::record::MODEL_VERSION;
use crate::encode::{ItemSource, ItemsError};
use crate::forecast::version::VersionError;
use crate::model::ModelError;

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
    /// Items that are drawn as negatives beside one that was taken without a request.
    pub negatives: usize,
    /// Items that events named of late, of one partition: negatives are drawn of them.
    pub recent_items_max: usize,
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
    /// A snapshot's requests or recent items cannot be read.
    #[error("requests that wait for feedback, recent items: {0}")]
    Pending(#[from] postcard::Error),
}

/// What requests saw is answered at the transaction's end, or before where it takes more than this.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// The models that score, as far as their rooms are open.
pub const MODELS: [(Room, Long); 2] = [(Room::Sdim, Long::Sdim), (Room::Muse, Long::Muse)];

/// Versions of a room's model score from the one after this on: SDIM's first is the frozen hash alone.
pub fn scores_after(room: Room) -> u64 {
    if room == Room::Sdim { MODEL_VERSION } else { 0 }
}

/// What is kept of a task.
struct Task {
    tally: Tally,
    pending: Pending,
    recent: Recent,
}

/// The room that answers candidates, of one worker.
pub struct RankRoom {
    config: RankConfig,
    eyes: Eyes,
    scorers: Vec<Scorer>,
    tasks: BTreeMap<i32, Task>,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    judge: Judge,
    /// Answers since the last call of [`RankRoom::take_given`].
    given: Vec<Given>,
    value: Vec<u8>,
}

/// A request, and what it saw.
struct Waiting {
    task: i32,
    asked: Candidates,
    sight: Arc<Sight>,
    answered: Answered,
}

/// An answer that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// When its request was appended to topic `candidates`, ms since 1970, where the log says so.
    pub appended_ms: Option<i64>,
    /// Its candidates.
    pub candidates: usize,
}

impl RankRoom {
    /// A room with no tasks yet; `versions` has those of each open model.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn new(
        config: RankConfig,
        device: &Device,
        items: ItemSource,
        versions: &[Arc<Versions>],
    ) -> Result<Self, shaders::Error> {
        let eyes = Eyes::new(config.look.clone(), device, items)?;
        let scorers = versions.iter().map(|versions| Scorer::new(device, Arc::clone(versions))).collect();
        let (tasks, judge) = (BTreeMap::new(), Judge::default());
        let (waiting, given, value) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { config, eyes, scorers, tasks, waiting, waiting_bytes: 0, judge, given, value })
    }

    /// A task begins with what [`RankRoom::export`] gave; with nothing where it begins without state.
    ///
    /// # Errors
    /// Where the bytes are something else.
    pub fn begin(&mut self, task: i32, bytes: Option<&[u8]>) -> Result<(), RankError> {
        let (bounds, recent_max) = (self.config.bounds, self.config.recent_items_max);
        let (tally, pending, recent) = match bytes {
            None => (Tally::new(bounds), Pending::default(), Recent::new(recent_max)),
            Some(bytes) => {
                let short = RatesError::Length(8, bytes.len());
                let (length, rest) = bytes.split_first_chunk::<8>().ok_or(short)?;
                let (tally, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or(short)?;
                let (pending, recent) = Pending::from_bytes(rest)?;
                (Tally::from_bytes(bounds, tally)?, pending, Recent::from_bytes(recent_max, recent)?)
            }
        };
        self.tasks.insert(task, Task { tally, pending, recent });
        Ok(())
    }

    /// What is kept of a task beside its users.
    pub fn export(&self, task: i32) -> Option<Vec<u8>> {
        let Task { tally, pending, recent } = self.tasks.get(&task)?;
        let tally = tally.to_bytes();
        Some([&(tally.len() as u64).to_le_bytes()[..], &tally, &pending.to_bytes(), &recent.to_bytes()].concat())
    }

    /// Another worker has the task now.
    pub fn forget(&mut self, task: i32) {
        self.tasks.remove(&task);
        self.eyes.forget(task);
        self.waiting.retain(|waiting| waiting.task != task);
        for scorer in &mut self.scorers {
            scorer.forget(task);
        }
    }

    /// A user in `slot` is forgotten, or goes to disk.
    pub fn forget_user(&mut self, task: i32, slot: u32) {
        self.eyes.forget_user(task, slot);
    }

    /// Counts what was folded since the last call.
    pub fn count(&mut self, fold: &mut Fold) {
        for arrival in fold.take_arrivals() {
            let Some(Task { tally, pending, recent }) = self.tasks.get_mut(&arrival.task) else { continue };
            match arrival.row {
                Some(row) => {
                    let item_id = fold.row(row).item_id;
                    tally.behavior(arrival.user, item_id);
                    item_id.into_iter().for_each(|item_id| recent.named(item_id));
                }
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
        let Some(Task { tally, pending, recent }) = self.tasks.get_mut(&task) else { return Ok(()) };
        let learns = self.config.sample_percent > 0 && !muted && !self.scorers.is_empty();
        let sample = match (&given.request_id, &given.item_id) {
            (Some(request_id), item_id) => {
                pending.hear(request_id, item_id.as_deref(), given.label).map(|Heard { sample, places, answered }| {
                    self.judge.hear(answered, places, given.label);
                    sample
                })
            }
            (None, Some(item_id)) if learns => {
                let negatives = if given.label { self.config.negatives } else { 0 };
                let negatives = negatives_of(fold, slot, recent, (given, item_id), negatives);
                let item_ids = [item_id.as_str()].into_iter().chain(negatives).map(str::to_owned).collect();
                let Feedback { user_id, time, .. } = given.clone();
                let asked = Candidates { user_id, time, item_ids, ..Candidates::default() };
                let sight = self.eyes.look(fold, (task, slot), tally, &asked)?;
                let mut sample = sight.pick(&(0..sight.len()).collect::<Vec<_>>(), false);
                sample.labels[0] = given.label;
                Some(sample)
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
        let Some(Task { tally, pending, .. }) = self.tasks.get_mut(&task) else { return Ok(()) };
        let learned_from =
            !self.scorers.is_empty() && xxh3_64(asked.request_id.as_bytes()) % 100 < self.config.sample_percent;
        if muted && !learned_from {
            return Ok(());
        }
        let sight = Arc::new(self.eyes.look(fold, (task, slot), tally, &asked)?);
        let answered = Answered::default();
        if learned_from {
            let of = (key(&asked.user_id), waits_from(&asked));
            let gone = pending.add(&asked.request_id, of, Arc::clone(&sight), answered.clone(), &self.config.patience);
            for Heard { sample, places, answered } in gone.into_iter().filter(|_| !muted) {
                self.judge.hear(answered, places, false);
                self.emit(task, sample, out);
            }
        }
        if muted {
            return Ok(());
        }
        self.waiting_bytes += sight.bytes();
        self.waiting.push(Waiting { task, asked, sight, answered });
        if self.waiting_bytes > WAITING_BYTES_MAX { self.answer(out) } else { Ok(()) }
    }

    /// Sends a sample to every model that may learn from it.
    fn emit(&mut self, task: i32, sample: Sight, out: &mut dyn Emit) {
        for scorer in self.scorers.iter().filter(|scorer| sample.serves(scorer.long())) {
            let part = if scorer.long() == Long::Muse {
                sample.clone().without_reads()
            } else {
                sample.clone().without_found()
            };
            self.value.clear();
            part.write(&mut self.value);
            let (output, value) = (Output::Samples(scorer.room()), Some(self.value.as_slice()));
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
        let Some(scorer) = self.scorers.iter_mut().find(|scorer| scorer.room().name() == model) else { return Ok(()) };
        if version > scores_after(scorer.room()) {
            scorer.adopt(task, version);
        }
        Ok(())
    }

    /// Versions in force for a task.
    pub fn versions(&self, task: i32) -> impl Iterator<Item = (Room, u64)> {
        self.scorers.iter().filter_map(move |scorer| Some((scorer.room(), scorer.version(task)?)))
    }

    /// Answers all requests since the last call.
    ///
    /// # Errors
    /// Where a version in force cannot be had, or the device fails.
    pub fn answer(&mut self, out: &mut dyn Emit) -> Result<(), RankError> {
        self.waiting_bytes = 0;
        for Waiting { task, asked, sight, answered } in std::mem::take(&mut self.waiting) {
            let mut opinions = Vec::new();
            for scorer in &mut self.scorers {
                opinions.extend(scorer.score(task, &sight)?);
            }
            let inputs = sight.inputs.chunks_exact(sight.width as usize);
            let rates: Vec<f32> = inputs.map(|of| probability(of[ITEM_RATE])).collect();
            record::write(&asked, &rates, &opinions, &mut self.value);
            let (key, value) = (Some(asked.request_id.as_bytes()), Some(self.value.as_slice()));
            out.emit(task, Record { output: Output::Scores, partition: task, key, value, headers: &[] });
            self.given.push(Given { appended_ms: asked.appended_ms, candidates: asked.item_ids.len() });
            let of = |Opinion { model, scores, .. }: Opinion| {
                (model, scores.into_iter().map(probability).collect::<Vec<_>>())
            };
            answered.tell(rates, opinions.into_iter().map(of).collect());
        }
        self.judge.judge();
        Ok(())
    }

    /// Answers since the last call: those of a transaction, where it is asked once it is committed.
    pub fn take_given(&mut self) -> impl Iterator<Item = Given> {
        self.given.drain(..)
    }

    /// How answers did on the feedback that has come since the last call, by model.
    pub fn take_judged(&mut self) -> BTreeMap<&'static str, Vec<Judged>> {
        self.judge.take()
    }

    /// Bytes that the answers which wait will take, about.
    pub fn bytes(&self) -> usize {
        let of = |waiting: &Waiting| 128 + waiting.asked.item_ids.iter().map(|id| id.len() + 128).sum::<usize>();
        self.waiting.iter().map(of).sum()
    }
}

/// Items for a user, in `slot` where he is known, that he might have taken in place of the one of this feedback; `count` at
/// most.
fn negatives_of<'a>(
    fold: &Fold,
    slot: Option<u32>,
    recent: &'a Recent,
    (given, item_id): (&Feedback, &str),
    count: usize,
) -> Vec<&'a str> {
    if count == 0 {
        return Vec::new();
    }
    let history = slot.into_iter().flat_map(|slot| fold.newest(slot, usize::MAX));
    let met: HashSet<u64> = history.filter_map(|row| fold.row(row).item_id).map(key).collect();
    recent.draw(count, recent::seed(&given.user_id, given.time, item_id), item_id, &met)
}
