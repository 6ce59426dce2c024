//! `tumble`, `hop`, and the folding of `lifetime`: partial results per user, pane and extra keys.

use arrow::array::BooleanArray;
use datafusion::common::Result;

use super::{
    View,
    accumulate::Accumulators,
    arrived::{Arrived, Passing},
    grouping::{Group, Grouping, Keys},
    window::Window,
};
use crate::{report::Reports, state::State, user::Open};

/// Folds the arrived rows into the panes of a view.
pub(crate) fn fold(view: &View, state: &mut State, arrived: &mut Arrived, reports: &mut Reports) -> Result<()> {
    let mut passing = Passing::of(view, arrived, &state.store, reports)?;
    leave_out_late(view, state, &mut passing, reports)?;
    fold_rows(view, state, passing)
}

/// Folds rows that all have an open window.
pub(super) fn fold_rows(view: &View, state: &mut State, passing: Passing) -> Result<()> {
    if passing.rows.is_empty() {
        return Ok(());
    }
    let keys = Keys::of(view, &passing.inputs.keys)?;
    let mut grouping = Grouping::new(&keys);
    let number = |(at, &row): (usize, &u32)| {
        let pending = state.pending[row as usize];
        let (start, end) = pane(view, state, row).expect("rows without an open window were left out");
        grouping.number(Group { who: pending.user, start, end, row: at as u32 })
    };
    let numbers: Vec<usize> = passing.rows.iter().enumerate().map(number).collect();
    let groups = grouping.groups;
    let mut accumulators = Accumulators::new(view, groups.len())?;
    merge_stored(view, state, &groups, &keys, &mut accumulators)?;
    let time = |at: usize| state.store.time(state.pending[passing.rows[at] as usize].slot);
    accumulators.add(passing.inputs, numbers, time)?;
    let states = accumulators.states()?;
    let mut opened = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        store(view, state, group, keys.get(group.row as usize), states.get(number), &mut opened);
    }
    // A user may have opened many: each has its place when all are there.
    opened.sort_by_key(|(user, _)| *user);
    let mut opened = opened.into_iter().peekable();
    while let Some((user, first)) = opened.next() {
        let more = std::iter::from_fn(|| opened.next_if(|(of, _)| *of == user).map(|(_, window)| window));
        state.users[user as usize].open_all(std::iter::once(first).chain(more));
    }
    Ok(())
}

/// The pane of an arrived row, where a window of it is open.
fn pane(view: &View, state: &State, row: u32) -> Option<(i64, i64)> {
    let pending = state.pending[row as usize];
    match view.window {
        Window::Fixed(fixed) => fixed.pane(state.store.time(pending.slot), pending.watermark),
        _ => Some((0, i64::MAX)),
    }
}

fn leave_out_late(view: &View, state: &State, passing: &mut Passing, reports: &mut Reports) -> Result<()> {
    let is_open: Vec<bool> = passing.rows.iter().map(|&row| pane(view, state, row).is_some()).collect();
    if is_open.iter().all(|open| *open) {
        return Ok(());
    }
    for (&row, _) in passing.rows.iter().zip(&is_open).filter(|(_, open)| !**open) {
        reports.late(row, view.index);
    }
    passing.keep(&BooleanArray::from(is_open))
}

/// Adds what is stored of `groups`.
fn merge_stored(
    view: &View,
    state: &State,
    groups: &[Group],
    keys: &Keys,
    accumulators: &mut Accumulators<'_>,
) -> Result<()> {
    let (mut states, mut numbers) = (Vec::new(), Vec::new());
    for (number, group) in groups.iter().enumerate() {
        let user = &state.users[group.who as usize];
        if let Ok(at) = user.find(view.index, group.start, group.end, keys.get(group.row as usize)) {
            states.push(&*user.windows[at].state);
            numbers.push(number);
        }
    }
    accumulators.merge(&states, &numbers)
}

/// Puts a pane's state where the pane is; a new pane goes to `opened` with its user.
fn store(view: &View, state: &mut State, group: &Group, key: &[u8], bytes: &[u8], opened: &mut Vec<(u32, Open)>) {
    let user = &mut state.users[group.who as usize];
    if let Ok(at) = user.find(view.index, group.start, group.end, key) {
        user.windows[at].put(bytes);
        return;
    }
    let (start, end) = (group.start, group.end);
    let window = Open { view: view.index, start, end, armed: end, key: key.into(), state: bytes.into() };
    opened.push((group.who, window));
    if matches!(view.window, Window::Fixed(_)) {
        let task = user.task;
        state.arm(task, usize::from(view.index), end, group.who);
    }
}
