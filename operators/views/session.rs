//! `session(gap)`: which sessions a row joins is decided row by row in the order of arrival; then all at once are
//! aggregated.

use arrow::array::BooleanArray;
use datafusion::common::Result;

use super::{
    View,
    accumulate::Accumulators,
    arrived::{Arrived, Passing},
    grouping::{Group, Grouping, Keys},
};
use crate::{report::Reports, state::State, user::Open};

/// A session while a batch is folded.
#[derive(Clone, Copy)]
struct Live {
    start: i64,
    /// Last time + gap.
    end: i64,
    armed: i64,
    /// Its node in [`Joined`].
    node: usize,
}

/// Sessions that were joined: union-find, and the state that each node brought along.
#[derive(Default)]
struct Joined {
    parents: Vec<usize>,
    states: Vec<Option<Box<[u8]>>>,
}

impl Joined {
    fn node(&mut self, state: Option<Box<[u8]>>) -> usize {
        self.states.push(state);
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parents[node] != node {
            self.parents[node] = self.parents[self.parents[node]];
            node = self.parents[node];
        }
        node
    }
}

/// The open sessions of a user and his extra keys.
struct List {
    user: u32,
    row: u32,
    sessions: Vec<Live>,
}

/// Folds the arrived rows into the sessions of a view.
pub(crate) fn fold(
    view: &View,
    gap_ms: i64,
    state: &mut State,
    arrived: &mut Arrived,
    reports: &mut Reports,
) -> Result<()> {
    let mut passing = Passing::of(view, arrived, &state.store, reports)?;
    if passing.rows.is_empty() {
        return Ok(());
    }
    let keys = Keys::of(view, &passing.inputs.keys)?;
    let mut grouping = Grouping::new(&keys);
    let (mut lists, mut joined, mut nodes) = (Vec::<List>::new(), Joined::default(), Vec::new());
    for (at, &row) in passing.rows.iter().enumerate() {
        let pending = state.pending[row as usize];
        let number = grouping.number(Group { who: pending.user, start: 0, end: 0, row: at as u32 });
        if number == lists.len() {
            lists.push(load(view, state, pending.user, at as u32, keys.get(at), &mut joined));
        }
        let time = state.store.time(pending.slot);
        nodes.push(join(&mut lists[number].sessions, time, gap_ms, pending.watermark, &mut joined));
    }
    leave_out_late(view, &mut passing, &nodes, reports)?;
    let nodes: Vec<usize> = nodes.into_iter().flatten().collect();
    let merged = aggregate(view, state, passing, nodes, &mut joined)?;
    for list in lists {
        for session in list.sessions {
            put_back(view, state, list.user, keys.get(list.row as usize), session, &mut joined, &merged);
        }
    }
    Ok(())
}

/// Takes the open sessions out of the user.
fn load(view: &View, state: &mut State, user: u32, row: u32, key: &[u8], joined: &mut Joined) -> List {
    let windows = &mut state.users[user as usize].windows;
    let mut sessions = Vec::new();
    let own = |open: &mut Open| open.view == view.index && *open.key == *key;
    for open in windows.extract_if(.., own) {
        sessions.push(Live {
            start: open.start,
            end: open.end,
            armed: open.armed,
            node: joined.node(Some(open.state)),
        });
    }
    List { user, row, sessions }
}

/// Puts a row into a session, joining those it connects; none where it is late.
fn join(sessions: &mut Vec<Live>, time: i64, gap_ms: i64, watermark: i64, joined: &mut Joined) -> Option<usize> {
    let reach = time.saturating_add(gap_ms);
    let is_near = |live: &Live| live.end >= watermark && time <= live.end && reach >= live.start;
    if reach < watermark && !sessions.iter().any(is_near) {
        return None;
    }
    let mut merged = Live { start: time, end: reach, armed: i64::MAX, node: joined.node(None) };
    sessions.retain(|live| {
        if is_near(live) {
            merged.start = merged.start.min(live.start);
            merged.end = merged.end.max(live.end);
            merged.armed = merged.armed.min(live.armed);
            let root = joined.root(live.node);
            joined.parents[root] = merged.node;
        }
        !is_near(live)
    });
    sessions.push(merged);
    Some(merged.node)
}

fn leave_out_late(view: &View, passing: &mut Passing, nodes: &[Option<usize>], reports: &mut Reports) -> Result<()> {
    if nodes.iter().all(Option::is_some) {
        return Ok(());
    }
    for (&row, _) in passing.rows.iter().zip(nodes).filter(|(_, node)| node.is_none()) {
        reports.late(row, view.index);
    }
    passing.keep(&BooleanArray::from_iter(nodes.iter().map(|node| Some(node.is_some()))))
}

/// The new states of the sessions that rows came to, by node.
fn aggregate(
    view: &View,
    state: &State,
    passing: Passing,
    nodes: Vec<usize>,
    joined: &mut Joined,
) -> Result<Vec<Option<Box<[u8]>>>> {
    let mut numbers_of: Vec<Option<usize>> = vec![None; joined.parents.len()];
    let mut groups = 0;
    let mut numbers: Vec<usize> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let root = joined.root(node);
        numbers.push(*numbers_of[root].get_or_insert_with(|| {
            groups += 1;
            groups - 1
        }));
    }
    let mut accumulators = Accumulators::new(view, groups)?;
    let stored: Vec<(usize, Box<[u8]>)> = (0..joined.states.len())
        .filter_map(|node| {
            let number = numbers_of[joined.root(node)]?;
            Some((number, joined.states[node].take()?))
        })
        .collect();
    let states: Vec<&[u8]> = stored.iter().map(|(_, state)| &**state).collect();
    accumulators.merge(&states, &stored.iter().map(|(number, _)| *number).collect::<Vec<_>>())?;
    let time = |at: usize| state.store.time(state.pending[passing.rows[at] as usize].slot);
    accumulators.add(passing.inputs, numbers, time)?;
    let states = accumulators.states()?;
    let bytes = |number: Option<usize>| number.map(|number| Box::from(states.get(number)));
    Ok(numbers_of.into_iter().map(bytes).collect())
}

fn put_back(
    view: &View,
    state: &mut State,
    user: u32,
    key: &[u8],
    session: Live,
    joined: &mut Joined,
    merged: &[Option<Box<[u8]>>],
) {
    let Live { start, end, armed, node } = session;
    let root = joined.root(node);
    let bytes = match &merged[root] {
        Some(bytes) => bytes.clone(),
        None => joined.states[root].take().expect("a session without new rows keeps its state"),
    };
    let owner = &mut state.users[user as usize];
    let is_new = armed == i64::MAX;
    let armed = if is_new { end } else { armed };
    owner.open(Open { view: view.index, start, end, armed, key: key.into(), state: bytes });
    if is_new {
        let task = owner.task;
        state.arm(task, usize::from(view.index), end, user);
    }
}
