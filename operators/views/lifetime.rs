//! `lifetime()`: an open window that never closes. Its value at the end of a transaction is its state's; after every
//! row, it is the state before a block of rows and the block's rows up to that one.

use std::collections::{BTreeSet, HashMap};

use arrow::array::UInt32Array;
use datafusion::common::Result;
use schemas::output::Emit;

use super::{
    View,
    accumulate::Accumulators,
    arrived::{Arrived, Passing},
    fixed::fold_rows,
    grouping::Keys,
    newest::{CHUNK, Subject, emit},
};
use crate::{report::Reports, state::State};

/// Most rows of a user in a block: the work per row grows with half of it.
const USER_ROWS: u32 = 32;
/// Most rows in a block.
const BLOCK_ROWS: usize = 4096;

/// Emits the values of `users` as they are.
pub(crate) fn emit_now(view: &View, state: &mut State, users: &[u32], out: &mut dyn Emit) -> Result<()> {
    for users in users.chunks(CHUNK) {
        let subjects: Vec<Subject> =
            users.iter().map(|&user| Subject { user, newest: state.users[user as usize].newest() }).collect();
        let (mut groups, mut stored, mut numbers) = (Vec::<(u32, Vec<u8>)>::new(), Vec::new(), Vec::new());
        for (who, &user) in users.iter().enumerate() {
            let user = &state.users[user as usize];
            let windows = &user.windows[user.windows_of(view.index)];
            for open in windows {
                stored.push(&*open.state);
                numbers.push(groups.len());
                groups.push((who as u32, open.key.to_vec()));
            }
            if windows.is_empty() && view.key_rows.is_none() {
                groups.push((who as u32, Vec::new()));
            }
        }
        let mut accumulators = Accumulators::new(view, groups.len())?;
        accumulators.merge(&stored, &numbers)?;
        let groups: Vec<(u32, &[u8])> = groups.iter().map(|(who, key)| (*who, key.as_slice())).collect();
        emit(view, state, &subjects, &groups, accumulators.values()?, out)?;
    }
    Ok(())
}

/// Folds the arrived rows and emits a value after each, in order.
pub(crate) fn fold_each(
    view: &View,
    state: &mut State,
    arrived: &mut Arrived,
    reports: &mut Reports,
    out: &mut dyn Emit,
) -> Result<()> {
    let passing = Passing::of(view, arrived, &state.store, reports)?;
    let (mut from, mut passed) = (0, 0);
    while from < state.pending.len() {
        let to = block_end(state, from);
        let until = passed + passing.rows[passed..].partition_point(|&row| (row as usize) < to);
        let block = Passing {
            rows: passing.rows[passed..until].to_vec(),
            inputs: passing.inputs.slice(passed, until - passed),
        };
        emit_block(view, state, from..to, &block, out)?;
        fold_rows(view, state, block)?;
        (from, passed) = (to, until);
    }
    Ok(())
}

fn block_end(state: &State, from: usize) -> usize {
    let mut rows_of: HashMap<u32, u32> = HashMap::new();
    let rows = state.pending[from..].iter().take(BLOCK_ROWS);
    from + rows
        .take_while(|pending| {
            let rows = rows_of.entry(pending.user).or_default();
            *rows += 1;
            *rows <= USER_ROWS
        })
        .count()
}

/// The rows of a block that a user's values are made of so far.
struct Sofar<'a> {
    /// Places in the block's passing rows.
    rows: Vec<u32>,
    /// Extra keys that he has a value for.
    keys: BTreeSet<&'a [u8]>,
}

fn emit_block(
    view: &View,
    state: &mut State,
    rows: std::ops::Range<usize>,
    block: &Passing,
    out: &mut dyn Emit,
) -> Result<()> {
    let keys = Keys::of(view, &block.inputs.keys)?;
    // The stored keys outlive the loop apart from the state, which `emit` changes.
    let stored_keys: HashMap<u32, Vec<Box<[u8]>>> = state.pending[rows.clone()]
        .iter()
        .map(|pending| {
            let user = &state.users[pending.user as usize];
            let windows = &user.windows[user.windows_of(view.index)];
            (pending.user, windows.iter().map(|open| open.key.clone()).collect())
        })
        .collect();
    let mut sofar: HashMap<u32, Sofar<'_>> = HashMap::new();
    let (mut subjects, mut groups) = (Vec::new(), Vec::<(u32, &[u8])>::new());
    let (mut taken, mut numbers) = (Vec::<u32>::new(), Vec::<usize>::new());
    let mut passing = block.rows.iter().enumerate().peekable();
    for row in rows {
        let pending = state.pending[row];
        let user = sofar.entry(pending.user).or_insert_with(|| {
            let mut keys: BTreeSet<&[u8]> = stored_keys[&pending.user].iter().map(|key| &**key).collect();
            if view.key_rows.is_none() {
                keys.insert(&[]);
            }
            Sofar { rows: Vec::new(), keys }
        });
        if let Some((at, _)) = passing.next_if(|(_, of)| **of as usize == row) {
            user.rows.push(at as u32);
            user.keys.insert(keys.get(at));
        }
        if state.is_muted(pending.user) && !view.is_tracked() {
            continue;
        }
        let (who, first) = (subjects.len() as u32, groups.len());
        subjects.push(Subject { user: pending.user, newest: pending.newest });
        groups.extend(user.keys.iter().map(|key| (who, *key)));
        for &at in &user.rows {
            let key = keys.get(at as usize);
            taken.push(at);
            numbers.push(first + groups[first..].partition_point(|(_, other)| *other < key));
        }
    }
    let mut accumulators = Accumulators::new(view, groups.len())?;
    merge_stored(view, state, &subjects, &groups, &mut accumulators)?;
    let mut inputs = block.inputs.slice(0, block.rows.len());
    let time = |at: usize| state.store.time(state.pending[block.rows[taken[at] as usize] as usize].slot);
    let times: Vec<i64> = (0..taken.len()).map(time).collect();
    inputs.reorder(&UInt32Array::from(taken))?;
    accumulators.add(inputs, numbers, |at| times[at])?;
    emit(view, state, &subjects, &groups, accumulators.values()?, out)
}

fn merge_stored(
    view: &View,
    state: &State,
    subjects: &[Subject],
    groups: &[(u32, &[u8])],
    accumulators: &mut Accumulators<'_>,
) -> Result<()> {
    let (mut states, mut numbers) = (Vec::new(), Vec::new());
    for (number, (who, key)) in groups.iter().enumerate() {
        let user = &state.users[subjects[*who as usize].user as usize];
        if let Ok(at) = user.find(view.index, 0, i64::MAX, key) {
            states.push(&*user.windows[at].state);
            numbers.push(number);
        }
    }
    accumulators.merge(&states, &numbers)
}
