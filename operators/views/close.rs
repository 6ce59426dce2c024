//! Windows whose end the watermark has reached: their records, in the order of (end, user, start, keys) in each task,
//! which no cutting of the input changes.

use std::collections::{HashMap, hash_map::Entry};

use datafusion::common::Result;
use schemas::output::{Emit, Output, Record};

use super::{
    View,
    accumulate::Accumulators,
    finish::Grouped,
    window::{Fixed, Window},
};
use crate::{
    FoldError, Views,
    json::plain,
    report::dead_letter,
    state::{State, Task},
};

/// Most windows that are evaluated at once.
const CHUNK: usize = 8192;

/// A window that closes.
struct Closing {
    user: u32,
    start: i64,
    end: i64,
    key: Box<[u8]>,
    /// Partial results; the panes of a hop.
    states: Vec<Box<[u8]>>,
}

/// Closes the windows of all tasks up to a watermark of each.
pub(crate) fn close(
    views: &Views,
    state: &mut State,
    out: &mut dyn Emit,
    watermark: impl Fn(&Task) -> i64,
) -> Result<(), FoldError> {
    let tasks: Vec<(i32, i64)> = state.tasks.iter().map(|(task, of)| (*task, watermark(of))).collect();
    for view in &views.list {
        for &(task, watermark) in &tasks {
            close_view(view, task, watermark, state, out)?;
        }
    }
    Ok(())
}

fn close_view(
    view: &View,
    task: i32,
    watermark: i64,
    state: &mut State,
    out: &mut dyn Emit,
) -> std::result::Result<(), FoldError> {
    let of = |error| FoldError::View { view: view.name.clone(), error: Box::new(error) };
    let list = usize::from(view.index);
    let closes = |end: i64| match view.window {
        Window::Session { .. } => end < watermark,
        _ => end <= watermark,
    };
    let mut closing = Vec::new();
    while let Some(end) = state.next_end(task, list).filter(|end| closes(*end)) {
        let up_to = state.wake(task, list, end)?;
        let users = state.take_timers(task, list, end, up_to.as_deref());
        let from = closing.len();
        for user in users {
            match view.window {
                Window::Fixed(fixed) => fixed_at(view, fixed, state, user, end, &mut closing),
                _ => sessions_at(view, state, user, end, &mut closing),
            }
            state.weigh(user);
        }
        let rank = |closing: &Closing| (state.users[closing.user as usize].id.as_bytes(), closing.start);
        closing[from..].sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.key.cmp(&b.key)));
        if closing.len() >= CHUNK || up_to.is_some() {
            emit(view, task, std::mem::take(&mut closing), state, out).map_err(of)?;
        }
        let is_part = up_to.is_some();
        state.task(task).close(list, end, up_to);
        if is_part {
            state.evict()?;
        }
    }
    state.task(task).close(list, watermark, None);
    emit(view, task, closing, state, out).map_err(of)
}

/// The windows of a user that end at `end`; panes that are in no later window are dropped.
fn fixed_at(view: &View, fixed: Fixed, state: &mut State, user: u32, end: i64, closing: &mut Vec<Closing>) {
    let owner = &mut state.users[user as usize];
    let start = end - fixed.size_ms;
    let (mut places, mut goes_on) = (HashMap::<Box<[u8]>, usize>::new(), false);
    let range = owner.windows_of(view.index);
    owner.windows.retain_mut_in(range, |open| {
        let is_last = fixed.last_end(open.start) <= end;
        if open.start >= start && open.start < end && open.end <= end {
            let state = if is_last { std::mem::take(&mut open.state) } else { open.state.clone() };
            // Panes of one window have the same keys; most users have few.
            match places.entry(open.key.clone()) {
                Entry::Occupied(place) => closing[*place.get()].states.push(state),
                Entry::Vacant(place) => {
                    place.insert(closing.len());
                    closing.push(Closing { user, start, end, key: open.key.clone(), states: vec![state] });
                }
            }
        }
        goes_on |= !is_last && open.end <= end + fixed.slide_ms;
        !is_last
    });
    if goes_on {
        let task = owner.task;
        state.arm(task, usize::from(view.index), end + fixed.slide_ms, user);
    }
}

/// The sessions of a user that end at `end`; one that has grown since is looked at again at its new end.
fn sessions_at(view: &View, state: &mut State, user: u32, end: i64, closing: &mut Vec<Closing>) {
    let owner = &mut state.users[user as usize];
    let mut later = Vec::new();
    let range = owner.windows_of(view.index);
    owner.windows.retain_mut_in(range, |open| {
        if open.end <= end {
            let states = vec![std::mem::take(&mut open.state)];
            closing.push(Closing { user, start: open.start, end: open.end, key: open.key.clone(), states });
            return false;
        }
        if open.armed <= end {
            open.armed = open.end;
            later.push(open.end);
        }
        true
    });
    let task = owner.task;
    for end in later {
        state.arm(task, usize::from(view.index), end, user);
    }
}

/// `retain_mut` over a part of a vector.
trait RetainMutIn<T> {
    fn retain_mut_in(&mut self, range: std::ops::Range<usize>, keep: impl FnMut(&mut T) -> bool);
}

impl<T> RetainMutIn<T> for Vec<T> {
    fn retain_mut_in(&mut self, range: std::ops::Range<usize>, mut keep: impl FnMut(&mut T) -> bool) {
        self.extract_if(range, |item| !keep(item)).for_each(drop);
    }
}

fn emit(view: &View, task: i32, closing: Vec<Closing>, state: &mut State, out: &mut dyn Emit) -> Result<()> {
    if closing.is_empty() || state.tasks[&task].is_muted {
        return Ok(());
    }
    let mut accumulators = Accumulators::new(view, closing.len())?;
    let (mut states, mut numbers) = (Vec::new(), Vec::new());
    for (number, closing) in closing.iter().enumerate() {
        for state in &closing.states {
            states.push(&**state);
            numbers.push(number);
        }
    }
    accumulators.merge(&states, &numbers)?;
    let groups: Vec<Grouped<'_>> = closing
        .iter()
        .map(|closing| Grouped { user: closing.user, window: closing.start, key: &closing.key })
        .collect();
    let finished = view.finish(state, &groups, accumulators.values()?)?;
    let mut value = Vec::new();
    for (closing, row) in closing.iter().zip(&finished.rows) {
        let Some(row) = *row else { continue };
        let user = &state.users[closing.user as usize];
        value.clear();
        value.extend_from_slice(b"{\"user_id\":");
        plain(&mut value, &*user.id);
        value.extend_from_slice(b",\"window_start\":");
        plain(&mut value, &closing.start);
        value.extend_from_slice(b",\"window_end\":");
        plain(&mut value, &closing.end);
        view.show(&mut value, &finished, row);
        value.push(b'}');
        let record = Record {
            output: Output::View(view.index),
            partition: task,
            key: Some(user.id.as_bytes()),
            value: Some(&value),
            headers: &[],
        };
        out.emit(task, record);
    }
    for culprit in &finished.culprits {
        let user = closing[culprit.row].user;
        let newest = state.users[user as usize].newest();
        dead_letter(state, user, newest, &view.name, &culprit.error, out);
    }
    Ok(())
}
