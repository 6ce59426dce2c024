//! Rows that views could not take: `late` and `dead-letters`.

use schemas::output::{Emit, Output, Record};

use crate::{
    Views,
    json::{cell, plain},
    state::{Pending, State},
    store::USER_ID,
};

/// What happened to arrived rows, by their places; sent in the order of rows, whatever the order of views.
#[derive(Default)]
pub(crate) struct Reports {
    late: Vec<(u32, u16)>,
    dead: Vec<(u32, u16, String)>,
}

impl Reports {
    /// The row passes the view's `WHERE` and finds no window open.
    pub(crate) fn late(&mut self, row: u32, view: u16) {
        self.late.push((row, view));
    }

    /// An expression of the view fails on the row.
    pub(crate) fn dead(&mut self, row: u32, view: u16, error: String) {
        self.dead.push((row, view, error));
    }

    /// Sends them.
    pub(crate) fn send(mut self, views: &Views, state: &mut State, out: &mut dyn Emit) {
        self.late.sort_unstable();
        for missed in self.late.chunk_by(|a, b| a.0 == b.0) {
            let pending = state.pending[missed[0].0 as usize];
            if !state.is_muted(pending.user) {
                state.counters.late += 1;
                send_late(views, state, pending, missed, out);
            }
        }
        self.dead.sort_unstable();
        for (row, view, error) in &self.dead {
            let pending = state.pending[*row as usize];
            let view = &views.list[usize::from(*view)].name;
            dead_letter(state, pending.user, pending.slot, view, error, out);
        }
    }
}

fn send_late(views: &Views, state: &State, pending: Pending, missed: &[(u32, u16)], out: &mut dyn Emit) {
    const ROLE: usize = 6;
    let (store, user) = (&state.store, &state.users[pending.user as usize]);
    let place = store.place(pending.slot);
    let names: Vec<&str> = missed.iter().map(|(_, view)| views.list[usize::from(*view)].name.as_str()).collect();
    let role = store.is_valid(pending.slot, ROLE).then(|| store.text(pending.slot, ROLE));
    let mut value = b"{\"topic\":".to_vec();
    plain(&mut value, store.topic_name(place.topic));
    value.extend_from_slice(b",\"partition\":");
    plain(&mut value, &place.partition);
    value.extend_from_slice(b",\"offset\":");
    plain(&mut value, &place.offset);
    value.extend_from_slice(b",\"user_id\":");
    plain(&mut value, &*user.id);
    value.extend_from_slice(b",\"role\":");
    plain(&mut value, &role);
    value.extend_from_slice(b",\"views\":");
    plain(&mut value, &names);
    value.extend_from_slice(b",\"watermark\":");
    plain(&mut value, &pending.watermark);
    value.extend_from_slice(b",\"record\":");
    row_json(state, pending.slot, &mut value);
    value.push(b'}');
    let record = Record {
        output: Output::Late,
        partition: place.partition,
        key: Some(user.id.as_bytes()),
        value: Some(&value),
        headers: &[],
    };
    out.emit(user.task, record);
}

/// The columns of a row that are not null.
fn row_json(state: &State, slot: u32, out: &mut Vec<u8>) {
    let row = state.store.row(slot);
    out.push(b'{');
    let mut is_first = true;
    for (field, column) in row.schema().fields().iter().zip(row.columns()) {
        if column.is_null(0) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        plain(out, field.name());
        out.push(b':');
        cell(out, column.as_ref(), 0);
    }
    out.push(b'}');
}

/// Sends a row that an expression of a view failed on to `dead-letters`, and counts it.
pub(crate) fn dead_letter(state: &mut State, user: u32, slot: u32, view: &str, error: &str, out: &mut dyn Emit) {
    if state.is_muted(user) {
        return;
    }
    state.counters.dead_letters += 1;
    let mut value = Vec::new();
    row_json(state, slot, &mut value);
    let store = &state.store;
    let place = store.place(slot);
    let error = format!("view `{view}`: {error}");
    let (partition, offset) = (place.partition.to_string(), place.offset.to_string());
    let headers: [(&str, &[u8]); 4] = [
        ("wellspring.error", error.as_bytes()),
        ("wellspring.topic", store.topic_name(place.topic).as_bytes()),
        ("wellspring.partition", partition.as_bytes()),
        ("wellspring.offset", offset.as_bytes()),
    ];
    let record = Record {
        output: Output::DeadLetter,
        partition: place.partition,
        key: Some(store.text(slot, USER_ID).as_bytes()),
        value: Some(&value),
        headers: &headers,
    };
    out.emit(state.users[user as usize].task, record);
}
