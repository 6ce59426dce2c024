//! `rolling` and `latest`: values of the kept history, computed anew for many users, or rows, at once.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch},
    compute::filter_record_batch,
};
use datafusion::common::Result;
use schemas::output::{Emit, Output, Record};

use super::{
    View,
    accumulate::Accumulators,
    bisect::{Culprit, culprits},
    finish::{Finished, Grouped},
    grouping::{Group, Grouping, Keys},
    inputs::Inputs,
    window::Window,
};
use crate::{
    json::{cell, plain},
    report::dead_letter,
    state::State,
    user::Seen,
};

/// Most rows that are evaluated at once, counted once per value that they are in.
pub(crate) const CHUNK: usize = 65_536;

/// A value to be computed: of a user at one of his rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) user: u32,
    /// His newest row then; its time is T.
    pub(crate) newest: u32,
}

/// Values to be computed, and the rows in them.
#[derive(Default)]
pub(crate) struct Capture {
    pub(crate) subjects: Vec<Subject>,
    /// Per row its subject, ascending.
    who: Vec<u32>,
    slots: Vec<u32>,
}

impl Capture {
    /// Whether it should be evaluated before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= CHUNK || self.subjects.len() >= CHUNK
    }

    /// Adds the value of a user now.
    pub(crate) fn add(&mut self, view: &View, state: &State, user: u32) {
        let owner = &state.users[user as usize];
        let (store, history, newest) = (&state.store, &owner.history, owner.newest());
        let who = self.subjects.len() as u32;
        self.subjects.push(Subject { user, newest });
        let from = self.slots.len();
        let is_in = |slot: &&u32| store.is_included(**slot, view.bit);
        match view.window {
            Window::Rolling { size_ms } => {
                let after = store.time(newest).saturating_sub(size_ms);
                let first = history.partition_point(|&slot| store.time(slot) <= after);
                self.slots.extend(history.range(first..).filter(is_in));
            }
            Window::Latest { rows } => {
                // With age_ms in WHERE, which rows pass is only known when it is evaluated.
                let most = if view.filter_uses_age { usize::MAX } else { rows };
                self.slots.extend(history.iter().rev().filter(is_in).take(most));
                self.slots[from..].reverse();
            }
            _ => unreachable!("only rolling and latest views are computed from the history"),
        }
        self.who.resize(self.slots.len(), who);
    }

    /// Computes the values and emits them, in the order they were added.
    pub(crate) fn evaluate(self, view: &View, state: &mut State, out: &mut dyn Emit) -> Result<()> {
        if self.subjects.is_empty() {
            return Ok(());
        }
        let subjects = self.subjects.clone();
        let (who, inputs) = self.inputs(view, state, out)?;
        let keys = Keys::of(view, &inputs.keys)?;
        let (groups, numbers) = if view.key_rows.is_some() {
            by_key(&who, &keys)
        } else {
            let groups = (0..subjects.len() as u32).map(|who| (who, &[][..])).collect();
            (groups, who.iter().map(|&who| who as usize).collect())
        };
        let mut accumulators = Accumulators::new(view, groups.len())?;
        accumulators.update(&inputs, &numbers)?;
        emit(view, state, &subjects, &groups, accumulators.values()?, out)
    }

    /// Evaluates the view's expressions over the rows; rows on which they fail are left out for good.
    fn inputs(mut self, view: &View, state: &mut State, out: &mut dyn Emit) -> Result<(Vec<u32>, Inputs)> {
        loop {
            let batch = self.batch(view, state);
            let bad = match self.passing(view, &batch) {
                Ok((who, batch, kept)) => match view.inputs(&batch) {
                    Ok(inputs) => return Ok((who, inputs)),
                    Err(error) => {
                        let bad = culprits(&batch, &|batch| view.inputs(batch));
                        let bad = bad.into_iter().map(|culprit| Culprit { row: kept[culprit.row] as usize, ..culprit });
                        found(bad.collect(), error)?
                    }
                },
                Err(error) => found(culprits(&batch, &|batch| view.passes(batch)), error)?,
            };
            for culprit in bad {
                let (slot, who) = (self.slots[culprit.row], self.who[culprit.row]);
                if state.store.is_included(slot, view.bit) {
                    state.store.exclude(slot, view.bit);
                    dead_letter(state, self.subjects[who as usize].user, slot, &view.name, &culprit.error, out);
                }
            }
            let is_in: Vec<bool> = self.slots.iter().map(|&slot| state.store.is_included(slot, view.bit)).collect();
            let mut kept = is_in.iter();
            self.slots.retain(|_| kept.next() == Some(&true));
            let mut kept = is_in.iter();
            self.who.retain(|_| kept.next() == Some(&true));
        }
    }

    fn batch(&self, view: &View, state: &State) -> RecordBatch {
        let store = &state.store;
        let mut columns: Vec<ArrayRef> = view.columns.iter().map(|&column| store.gather(&self.slots, column)).collect();
        if view.uses_age {
            let times: Vec<i64> = self.subjects.iter().map(|subject| store.time(subject.newest)).collect();
            let ages = self.who.iter().zip(&self.slots).map(|(&who, &slot)| times[who as usize] - store.time(slot));
            columns.push(Arc::new(Int64Array::from_iter_values(ages)));
        }
        view.batch(columns, self.slots.len())
    }

    /// Applies a `WHERE` that reads `age_ms`; gives subjects, rows, and the rows' places.
    fn passing(&self, view: &View, batch: &RecordBatch) -> Result<(Vec<u32>, RecordBatch, Vec<u32>)> {
        let all = || (0..self.slots.len() as u32).collect();
        if !view.filter_uses_age {
            return Ok((self.who.clone(), batch.clone(), all()));
        }
        let Some(mask) = view.passes(batch)? else { return Ok((self.who.clone(), batch.clone(), all())) };
        let mut keep: Vec<bool> = mask.values().iter().collect();
        if let Window::Latest { rows } = view.window {
            let (mut subject, mut taken) = (u32::MAX, 0);
            for at in (0..keep.len()).rev() {
                if self.who[at] != subject {
                    (subject, taken) = (self.who[at], 0);
                }
                keep[at] &= taken < rows;
                taken += usize::from(keep[at]);
            }
        }
        let kept: Vec<u32> = (0..keep.len() as u32).filter(|&at| keep[at as usize]).collect();
        let who = kept.iter().map(|&at| self.who[at as usize]).collect();
        Ok((who, filter_record_batch(batch, &BooleanArray::from(keep))?, kept))
    }
}

/// The culprits, or the error where no row alone is to blame.
fn found(culprits: Vec<Culprit>, error: datafusion::error::DataFusionError) -> Result<Vec<Culprit>> {
    if culprits.is_empty() { Err(error) } else { Ok(culprits) }
}

/// Groups rows by subject and extra keys, in that order.
fn by_key<'k>(who: &[u32], keys: &'k Keys) -> (Vec<(u32, &'k [u8])>, Vec<usize>) {
    let mut grouping = Grouping::new(keys);
    let number = |(row, &who): (usize, &u32)| grouping.number(Group { who, start: 0, end: 0, row: row as u32 });
    let numbers: Vec<usize> = who.iter().enumerate().map(number).collect();
    let found: Vec<(u32, &[u8])> =
        grouping.groups.iter().map(|group| (group.who, keys.get(group.row as usize))).collect();
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by_key(|&number| found[number]);
    let mut rank = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, &number)| rank[number] = at);
    let numbers = numbers.into_iter().map(|number| rank[number]).collect();
    (order.into_iter().map(|number| found[number]).collect(), numbers)
}

/// Emits the values of subjects: `groups` are (subject, extra keys), ascending, with a row of `aggregates` each.
pub(super) fn emit(
    view: &View,
    state: &mut State,
    subjects: &[Subject],
    groups: &[(u32, &[u8])],
    aggregates: Vec<ArrayRef>,
    out: &mut dyn Emit,
) -> Result<()> {
    let grouped: Vec<Grouped<'_>> = groups
        .iter()
        .map(|(who, key)| {
            let subject = subjects[*who as usize];
            Grouped { user: subject.user, window: state.store.time(subject.newest), key }
        })
        .collect();
    let finished = view.finish(state, &grouped, aggregates)?;
    let (mut first, mut value, mut record_key) = (0, Vec::new(), Vec::new());
    for (who, &subject) in subjects.iter().enumerate() {
        let last = first + groups[first..].iter().take_while(|(of, _)| *of as usize == who).count();
        let is_muted = state.is_muted(subject.user);
        for group in (first..last).filter(|&group| !is_muted && finished.rows[group].is_some()) {
            write(view, state, subject, &finished, group, &mut value, &mut record_key);
            send(view, state, subject.user, &record_key, Some(&value), out);
        }
        if view.is_tracked() {
            let now = (first..last).filter(|&group| finished.rows[group].is_some()).map(|group| groups[group].1);
            for gone in track(view, state, subject.user, now) {
                if !is_muted {
                    key_of(
                        &state.users[subject.user as usize].id,
                        &view.key_columns([&*gone].into_iter())?,
                        0,
                        &mut record_key,
                    );
                    send(view, state, subject.user, &record_key, None, out);
                }
            }
        }
        first = last;
    }
    for culprit in &finished.culprits {
        let subject = subjects[groups[culprit.row].0 as usize];
        dead_letter(state, subject.user, subject.newest, &view.name, &culprit.error, out);
    }
    Ok(())
}

fn write(
    view: &View,
    state: &State,
    subject: Subject,
    finished: &Finished,
    group: usize,
    value: &mut Vec<u8>,
    key: &mut Vec<u8>,
) {
    let id = &state.users[subject.user as usize].id;
    value.clear();
    value.extend_from_slice(b"{\"user_id\":");
    plain(value, &**id);
    value.extend_from_slice(b",\"time\":");
    plain(value, &state.store.time(subject.newest));
    view.show(value, finished, finished.rows[group].expect("only groups with a row are written"));
    let place = state.store.place(subject.newest);
    value.extend_from_slice(b",\"source\":");
    plain(value, &(state.store.topic_name(place.topic), place.partition, place.offset));
    value.push(b'}');
    key_of(id, &finished.keys, group, key);
}

/// A record's key: the user's id, with extra keys a JSON array of it and them.
fn key_of(id: &str, keys: &[ArrayRef], row: usize, out: &mut Vec<u8>) {
    out.clear();
    if keys.is_empty() {
        return out.extend_from_slice(id.as_bytes());
    }
    out.push(b'[');
    plain(out, id);
    for key in keys {
        out.push(b',');
        cell(out, key.as_ref(), row);
    }
    out.push(b']');
}

fn send(view: &View, state: &State, user: u32, key: &[u8], value: Option<&[u8]>, out: &mut dyn Emit) {
    let task = state.users[user as usize].task;
    let record = Record { output: Output::View(view.index), partition: task, key: Some(key), value, headers: &[] };
    out.emit(task, record);
}

/// Takes back what readers see of a user who is being forgotten.
pub(crate) fn take_back(
    view: &View,
    state: &State,
    task: i32,
    user_id: &str,
    user: Option<u32>,
    out: &mut dyn Emit,
) -> Result<()> {
    if state.tasks.get(&task).is_none_or(|task| task.is_muted) {
        return Ok(());
    }
    let mut key = Vec::new();
    let mut send = |key: &[u8]| {
        let record =
            Record { output: Output::View(view.index), partition: task, key: Some(key), value: None, headers: &[] };
        out.emit(task, record);
    };
    if view.key_rows.is_none() {
        send(user_id.as_bytes());
        return Ok(());
    }
    let seen = user.map_or(&[][..], |user| &state.users[user as usize].seen);
    for seen in seen.iter().filter(|seen| seen.view == view.index) {
        key_of(user_id, &view.key_columns([&*seen.key].into_iter())?, 0, &mut key);
        send(&key);
    }
    Ok(())
}

/// Notes which extra keys of a user have a value now, ascending; gives those that had one and have none now.
fn track<'k>(view: &View, state: &mut State, user: u32, now: impl Iterator<Item = &'k [u8]>) -> Vec<Box<[u8]>> {
    let seen = &mut state.users[user as usize].seen;
    let from = seen.partition_point(|seen| seen.view < view.index);
    let to = from + seen[from..].partition_point(|seen| seen.view == view.index);
    let now: Vec<Seen> = now.map(|key| Seen { view: view.index, key: key.into() }).collect();
    let before: Vec<Seen> = seen.splice(from..to, now).collect();
    before.into_iter().filter(|old| seen.binary_search(old).is_err()).map(|old| old.key).collect()
}
