//! Rank: answers to candidates, from what the log said before them.
//!
//! A request stands in its user's log among his rows, so its answer sees exactly the events before it. What it sees is
//! read there and then; the models look at all requests of a transaction together, at its end.
//!
//! # Layout
//! - [`tally`]: what a task counts of items and users. [`operators::rates`]: the counters themselves.
//! - [`record`]: the answer.

pub mod record;
pub mod tally;

use std::collections::{BTreeMap, HashMap};

use operators::Fold;
use operators::rates::{Candidate, INPUTS, Limits, RatesError};
use schemas::output::{Emit, Output, Record};
use schemas::request::{Candidates, Feedback};

use self::record::probability;
use self::tally::{Tally, key};

/// What a [`RankRoom`] is made for.
#[derive(Clone, Debug)]
pub struct RankConfig {
    /// Of the counters of one partition.
    pub limits: Limits,
}

/// The room that answers candidates, of one worker.
pub struct RankRoom {
    config: RankConfig,
    tallies: BTreeMap<i32, Tally>,
    waiting: Vec<Waiting>,
    value: Vec<u8>,
}

/// A request, and what it saw.
struct Waiting {
    task: i32,
    asked: Candidates,
    /// (candidates, [`INPUTS`])
    inputs: Vec<f32>,
}

impl RankRoom {
    /// A room with no tasks yet.
    pub fn new(config: RankConfig) -> Self {
        Self { config, tallies: BTreeMap::new(), waiting: Vec::new(), value: Vec::new() }
    }

    /// A task begins with these counters; none where it begins without state.
    ///
    /// # Errors
    /// Where the bytes are no counters.
    pub fn begin(&mut self, task: i32, bytes: Option<&[u8]>) -> Result<(), RatesError> {
        let limits = self.config.limits;
        let tally = bytes.map_or_else(|| Ok(Tally::new(limits)), |bytes| Tally::from_bytes(limits, bytes))?;
        self.tallies.insert(task, tally);
        Ok(())
    }

    /// The counters of a task.
    pub fn export(&self, task: i32) -> Option<Vec<u8>> {
        self.tallies.get(&task).map(Tally::to_bytes)
    }

    /// Another worker has the task now.
    pub fn forget(&mut self, task: i32) {
        self.tallies.remove(&task);
        self.waiting.retain(|waiting| waiting.task != task);
    }

    /// Counts what was folded since the last call.
    pub fn count(&mut self, fold: &mut Fold) {
        for arrival in fold.take_arrivals() {
            let Some(tally) = self.tallies.get_mut(&arrival.task) else { continue };
            match arrival.row {
                Some(row) => tally.behavior(arrival.user, fold.row(row).item_id),
                None => tally.forget(arrival.user),
            }
        }
    }

    /// Takes what a user did with what he was shown.
    pub fn feedback(&mut self, task: i32, given: &Feedback) {
        if let (Some(tally), Some(item_id)) = (self.tallies.get_mut(&task), &given.item_id) {
            tally.feedback(key(&given.user_id), key(item_id), given.label);
        }
    }

    /// Takes a request of a user, who is in `slot` where he is known; all rows before it are counted.
    pub fn ask(&mut self, fold: &Fold, task: i32, slot: Option<u32>, asked: Candidates) {
        let Some(tally) = self.tallies.get(&task) else { return };
        let mut last_seen: HashMap<u64, u32> = HashMap::new();
        let history = slot.into_iter().flat_map(|slot| fold.newest(slot, usize::MAX).rev());
        let items = history.filter_map(|row| fold.row(row).item_id);
        for (age, item_id) in (0..).zip(items) {
            last_seen.entry(key(item_id)).or_insert(age);
        }
        let user = tally.user(key(&asked.user_id));
        let mut inputs = Vec::with_capacity(asked.item_ids.len() * INPUTS.len());
        for item_id in &asked.item_ids {
            let item = key(item_id);
            let candidate = Candidate { item, last_seen: last_seen.get(&item).copied(), ..Candidate::default() };
            tally.rates.inputs(&user, &candidate, &mut inputs);
        }
        self.waiting.push(Waiting { task, asked, inputs });
    }

    /// Answers all requests since the last call.
    pub fn answer(&mut self, out: &mut dyn Emit) {
        for Waiting { task, asked, inputs } in self.waiting.drain(..) {
            let rates: Vec<f32> = inputs.chunks_exact(INPUTS.len()).map(|of| probability(of[ITEM_RATE])).collect();
            record::write(&asked, &rates, &[], &mut self.value);
            let (key, value) = (Some(asked.request_id.as_bytes()), Some(self.value.as_slice()));
            out.emit(task, Record { output: Output::Scores, partition: task, key, value, headers: &[] });
        }
    }

    /// Bytes that the answers which wait will take, about.
    pub fn bytes(&self) -> usize {
        let of = |waiting: &Waiting| 128 + waiting.asked.item_ids.iter().map(|id| id.len() + 64).sum::<usize>();
        self.waiting.iter().map(of).sum()
    }
}

/// The place of `item_rate` among [`INPUTS`].
const ITEM_RATE: usize = {
    let mut at = 0;
    while !matches!(INPUTS[at].as_bytes(), b"item_rate") {
        at += 1;
    }
    at
};
