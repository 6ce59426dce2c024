//! Samples: what the engine gives to the learner, in its own transaction.

use std::collections::{BTreeMap, HashMap};

use operators::{Fold, TouchedUser};
use schemas::output::{Emit, Output, Record, Room};
use schemas::sample::Samples;
use xxhash_rust::xxh3::xxh3_64;

use super::window::WindowCut;

/// Events of all windows of a record: it stays below half of what any topic takes.
const RECORD_EVENTS: usize = 1 << 15;
/// Names of types in a record; what is beyond is told in the next one.
const RECORD_NAMES: usize = 8192;
/// Of a user and transaction, at most so many events are targets, the newest: one user's burst is not all that is learned.
const TARGETS_MAX: usize = 128;

/// Samples of one transaction, by task.
#[derive(Debug)]
pub struct Sampler {
    percent: u32,
    cut: WindowCut,
    parts: BTreeMap<i32, Part>,
    value: Vec<u8>,
}

#[derive(Debug, Default)]
struct Part {
    samples: Samples,
    places: HashMap<Box<str>, u16>,
}

impl Sampler {
    /// Samples of `percent` of all users and transactions, chosen by hash.
    pub fn new(percent: u32, cut: WindowCut) -> Self {
        Self { percent, cut, parts: BTreeMap::new(), value: Vec::new() }
    }

    /// Takes what a user did in this transaction: each event after his first is a target once, unless it came out of order.
    pub fn take(&mut self, fold: &Fold, touched: &TouchedUser<'_>, out: &mut dyn Emit) {
        let user = xxh3_64(touched.user_id.as_bytes());
        let (_, _, offset) = touched.source;
        if xxh3_64(&[user.to_le_bytes(), offset.to_le_bytes()].concat()) % 100 >= u64::from(self.percent) {
            return;
        }
        let mut arrived = touched.arrived.to_vec();
        arrived.sort_unstable();
        let mut rows: Vec<u32> = fold.newest(touched.user, TARGETS_MAX + self.cut.events).collect();
        let is_new = |row: &u32| arrived.binary_search(row).is_ok();
        let targets = rows.iter().rev().take_while(|row| is_new(row)).count().min(TARGETS_MAX);
        // Ranks among all events of his; `rows` are the last of them.
        let end = touched.ordinal as usize;
        let begin = end - rows.len().min(end);
        rows.truncate(end);
        let cut = self.cut;
        cut.windows(end - targets.min(end)..end, |events, first_target| {
            // Where the history is short, so is the window.
            let (rank, first) = (events.start + first_target, events.start.max(begin));
            if rank > first {
                self.window(fold, (touched.task, user), &rows[first - begin..events.end - begin], rank - first, out);
            }
        });
    }

    fn window(&mut self, fold: &Fold, (task, user): (i32, u64), rows: &[u32], first_target: usize, out: &mut dyn Emit) {
        let part = self.parts.entry(task).or_default();
        if part.samples.types.len() + rows.len() > RECORD_EVENTS || part.places.len() + rows.len() > RECORD_NAMES {
            emit(task, part, &mut self.value, out);
        }
        for &row in rows {
            let kind = fold.kind(row);
            let place = part.places.get(kind).copied().unwrap_or_else(|| {
                let place = part.samples.names.len() as u16;
                part.samples.names.push(kind.into());
                part.places.insert(kind.into(), place);
                place
            });
            part.samples.types.push(place);
            part.samples.times_ms.push(fold.time(row));
        }
        part.samples.end(user, first_target as u32);
    }

    /// Stages what was taken.
    pub fn finish(&mut self, out: &mut dyn Emit) {
        for (&task, part) in &mut self.parts {
            emit(task, part, &mut self.value, out);
        }
        self.parts.clear();
    }
}

fn emit(task: i32, part: &mut Part, value: &mut Vec<u8>, out: &mut dyn Emit) {
    if !part.samples.is_empty() {
        value.clear();
        part.samples.write(value).expect("samples of few windows are a record batch");
        let output = Output::Samples(Room::PromptTpp);
        out.emit(task, Record { output, partition: 0, key: None, value: Some(value), headers: &[] });
    }
    part.samples.clear();
    part.places.clear();
}
