//! What is new of users' histories, as passages.

use std::collections::{BTreeMap, HashMap};

use operators::{Fold, TouchedUser};
use schemas::output::{Emit, Output, Record, Room};
use shaders::co_occurrence::WINDOW;

use super::Passages;
use crate::rank::version::Rows;

/// A record is sent when it takes so many bytes.
const RECORD_BYTES: usize = 256 << 10;

/// Passages of one transaction, by task.
#[derive(Debug, Default)]
pub struct Sampler {
    parts: BTreeMap<i32, Part>,
    value: Vec<u8>,
}

#[derive(Debug, Default)]
struct Part {
    passages: Passages,
    places: HashMap<Box<str>, u32>,
    bytes: usize,
}

impl Sampler {
    /// Takes what a user did in this transaction: each behavior with an item once, with at most [`WINDOW`] before it in his
    /// history as it stood when it arrived.
    pub fn take(&mut self, fold: &Fold, touched: &TouchedUser<'_>, out: &mut dyn Emit) {
        if !touched.arrived.iter().any(|&row| counts(fold, row)) {
            return;
        }
        let part = self.parts.entry(touched.task).or_default();
        let Before { mut history, entered } = before(fold, touched);
        // Where the next row would have to stand to go on with the passage that is open.
        let mut open = None;
        let mut left = 0;
        for (&row, &left_by) in touched.arrived.iter().zip(touched.left_by) {
            if counts(fold, row) {
                let at = history.partition_point(|&of| fold.time(of) <= fold.time(row));
                if part.bytes >= RECORD_BYTES {
                    emit(touched.task, part, &mut self.value, out);
                    open = None;
                }
                if open != Some(at) {
                    part.passages.lengths.push((0, 0));
                    history[at.saturating_sub(WINDOW)..at].iter().for_each(|&row| part.push(fold.item_id(row), 0));
                }
                part.push(fold.item_id(row), 1);
                // One that is older than a full history is told, but stands before nobody.
                open = entered.binary_search(&row).ok().map(|_| at + 1);
                if open.is_some() {
                    history.insert(at, row);
                }
            }
            for gone in &touched.left[left..left_by as usize] {
                // Those that are not there were too old to be looked at.
                let Some(at) = history.iter().position(|row| row == gone) else { continue };
                history.remove(at);
                // What is before the next row is not what stands in the passage any more, or stands elsewhere.
                open = open.filter(|open| at + WINDOW < *open).map(|open| open - 1);
            }
            left = left_by as usize;
        }
    }

    /// Stages what was taken.
    pub fn finish(&mut self, out: &mut dyn Emit) {
        for (&task, part) in &mut self.parts {
            emit(task, part, &mut self.value, out);
        }
        self.parts.clear();
    }
}

/// Whether a row is a behavior with an item.
fn counts(fold: &Fold, row: u32) -> bool {
    // A passage of longer ids would not be well below what any topic takes.
    fold.row(row).item_id.is_some_and(Rows::takes)
}

/// A user's history before a transaction.
struct Before {
    /// His behaviors, in order: as many of the newest as may come before a row that arrived.
    history: Vec<u32>,
    /// Rows that arrived in the transaction and came into his history, sorted.
    entered: Vec<u32>,
}

fn before(fold: &Fold, touched: &TouchedUser<'_>) -> Before {
    let mut arrived = touched.arrived.to_vec();
    arrived.sort_unstable();
    let is_new = |row: &u32| arrived.binary_search(row).is_ok();
    // Those that arrived and have left again may have stood anywhere: then all of the history is looked at.
    let mut entered: Vec<u32> = touched.left.iter().copied().filter(is_new).collect();
    let mut ahead = if entered.is_empty() { arrived.len() } else { usize::MAX };
    let (mut rows, mut older) = (Vec::new(), 0);
    for row in fold.newest(touched.user, usize::MAX).rev() {
        if is_new(&row) {
            ahead -= 1;
            entered.push(row);
        } else if counts(fold, row) {
            rows.push(row);
            older += usize::from(ahead == 0);
        }
        if older == WINDOW {
            break;
        }
    }
    if older < WINDOW {
        // All that has left stood before all that is there.
        let left = touched.left.iter().rev().copied();
        rows.extend(left.filter(|row| !is_new(row) && counts(fold, *row)));
    }
    rows.reverse();
    entered.sort_unstable();
    Before { history: rows, entered }
}

impl Part {
    fn push(&mut self, id: &str, told: u32) {
        let place = self.places.get(id).copied().unwrap_or_else(|| {
            let place = self.passages.names.len() as u32;
            self.passages.names.push(id.into());
            self.places.insert(id.into(), place);
            self.bytes += id.len() + 2;
            place
        });
        self.passages.items.push(place);
        self.bytes += 5;
        let (length, of) = self.passages.lengths.last_mut().expect("a passage was begun");
        *length += 1;
        *of += told;
    }
}

fn emit(task: i32, part: &mut Part, value: &mut Vec<u8>, out: &mut dyn Emit) {
    if !part.passages.is_empty() {
        value.clear();
        part.passages.write(value);
        let output = Output::Samples(Room::Items);
        out.emit(task, Record { output, partition: 0, key: None, value: Some(value), headers: &[] });
    }
    part.passages.clear();
    part.places.clear();
    part.bytes = 0;
}
