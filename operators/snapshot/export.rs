//! Users to batches.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder, UInt16Array,
        UInt32Array, UInt64Array,
    },
    compute::cast,
    datatypes::{DataType, SchemaRef},
};

use super::{columns::Offsets, row_fields, schema, seen_fields, window_fields};
use crate::{Fold, FoldError, state::State, store::Store};

/// A batch is cut at so many users or rows.
const USERS: usize = 8192;
const ROWS: usize = 64 << 10;

/// What is exported of a task.
#[derive(Debug, Default)]
pub struct Export {
    /// The users that changed.
    pub batches: Vec<RecordBatch>,
    /// How many there are, those who are gone included.
    pub users: usize,
    /// Whether somebody is gone: older exports still hold him.
    pub forgets: bool,
}

impl Fold {
    /// Users of a task that changed since its last export or its restoration; to be called between transactions.
    ///
    /// # Errors
    /// Where the cold store fails.
    pub fn export(&mut self, task: i32) -> Result<Export, FoldError> {
        assert!(self.is_settled(), "exported in the middle of a transaction");
        let state = &mut self.state;
        let Some(of) = state.tasks.get_mut(&task) else { return Ok(Export::default()) };
        let (changed, cold) = (std::mem::take(&mut of.changed), std::mem::take(&mut of.cold_changed));
        let (gone, forgets) = (std::mem::take(&mut of.gone), std::mem::take(&mut of.forgets));
        let mut parts = Parts::new(&state.store);
        let mut export = Export { batches: Vec::new(), users: changed.len() + gone.len(), forgets };
        for user in changed {
            state.users[user as usize].has_changed = false;
            parts.add(state, user);
            parts.cut(state, &mut export.batches);
        }
        for user_id in cold {
            if state.resident(task, &user_id).is_none()
                && let Some(user) = state.thaw_changed(task, &user_id)?
            {
                export.users += 1;
                parts.add(state, user);
                parts.guests.push(user);
                parts.cut(state, &mut export.batches);
            }
        }
        for user_id in &gone {
            parts.add_gone(user_id);
        }
        parts.end(state, &mut export.batches);
        Ok(export)
    }
}

/// Columns of a batch that grows.
struct Parts {
    schema: SchemaRef,
    user_ids: StringBuilder,
    ordinals: Vec<Option<u64>>,
    event_ids: (Offsets, Vec<u64>),
    rows: (Offsets, Vec<u32>),
    history: Vec<u32>,
    items: (Offsets, Vec<u32>),
    windows: (Offsets, Windows),
    seen: (Offsets, Vec<u16>, BinaryBuilder),
    notes: BinaryBuilder,
    /// Users who are in memory for this only.
    guests: Vec<u32>,
}

#[derive(Default)]
struct Windows {
    views: Vec<u16>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    keys: BinaryBuilder,
    states: BinaryBuilder,
}

impl Parts {
    fn new(store: &Store) -> Self {
        Self {
            schema: schema(&store.schema),
            user_ids: StringBuilder::new(),
            ordinals: Vec::new(),
            event_ids: Default::default(),
            rows: Default::default(),
            history: Vec::new(),
            items: Default::default(),
            windows: Default::default(),
            seen: Default::default(),
            notes: BinaryBuilder::new(),
            guests: Vec::new(),
        }
    }

    /// Begins a new batch where this one is full.
    fn cut(&mut self, state: &mut State, batches: &mut Vec<RecordBatch>) {
        if self.ordinals.len() >= USERS || self.rows.1.len() >= ROWS {
            let next = Self::new(&state.store);
            std::mem::replace(self, next).end(state, batches);
        }
    }

    /// Ends the batch; guests leave.
    fn end(mut self, state: &mut State, batches: &mut Vec<RecordBatch>) {
        let guests = std::mem::take(&mut self.guests);
        if !self.ordinals.is_empty() {
            batches.push(self.batch(&state.store));
        }
        state.take_out(&guests);
    }

    fn add(&mut self, state: &State, user: u32) {
        let user = &state.users[user as usize];
        self.user_ids.append_value(&user.id);
        self.ordinals.push(Some(user.ordinal));
        self.event_ids.1.extend(&user.event_ids);
        let first = self.rows.1.len();
        self.rows.1.extend(&user.history);
        self.history.push(user.history.len() as u32);
        let mut at = 0;
        for &slot in &user.items {
            if state.store.is_in_history(slot) {
                // Both are in one order.
                at += user.history.iter().skip(at).take_while(|&&row| row != slot).count();
                self.items.1.push(at as u32);
            } else {
                self.items.1.push((self.rows.1.len() - first) as u32);
                self.rows.1.push(slot);
            }
        }
        let windows = &mut self.windows.1;
        for open in &user.windows {
            windows.views.push(open.view);
            windows.starts.push(open.start);
            windows.ends.push(open.end);
            windows.keys.append_value(&open.key);
            windows.states.append_value(&open.state);
        }
        for seen in &user.seen {
            self.seen.1.push(seen.view);
            self.seen.2.append_value(&seen.key);
        }
        self.notes.append_value(&user.note);
        self.end_user();
    }

    fn add_gone(&mut self, user_id: &str) {
        self.user_ids.append_value(user_id);
        self.ordinals.push(None);
        self.history.push(0);
        self.notes.append_value([]);
        self.end_user();
    }

    fn end_user(&mut self) {
        self.event_ids.0.end(self.event_ids.1.len());
        self.rows.0.end(self.rows.1.len());
        self.items.0.end(self.items.1.len());
        self.windows.0.end(self.windows.1.views.len());
        self.seen.0.end(self.seen.1.len());
    }

    fn batch(mut self, store: &Store) -> RecordBatch {
        let (windows_ends, mut windows) = self.windows;
        let windows = windows_ends.structs(
            window_fields(),
            vec![
                Arc::new(UInt16Array::from(windows.views)),
                Arc::new(Int64Array::from(windows.starts)),
                Arc::new(Int64Array::from(windows.ends)),
                Arc::new(windows.keys.finish()),
                Arc::new(windows.states.finish()),
            ],
        );
        let (seen_ends, views, mut keys) = self.seen;
        let seen = seen_ends.structs(seen_fields(), vec![Arc::new(UInt16Array::from(views)), Arc::new(keys.finish())]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.user_ids.finish()),
            Arc::new(UInt64Array::from(self.ordinals)),
            self.event_ids.0.list(Arc::new(UInt64Array::from(self.event_ids.1))),
            self.rows.0.structs(row_fields(&store.schema), rows(store, &self.rows.1)),
            Arc::new(UInt32Array::from(self.history)),
            self.items.0.list(Arc::new(UInt32Array::from(self.items.1))),
            windows,
            seen,
            Arc::new(self.notes.finish()),
        ];
        RecordBatch::try_new(self.schema, columns).expect("columns are made by the schema")
    }
}

/// The columns of `slots`, in the order of the fields of a row.
fn rows(store: &Store, slots: &[u32]) -> Vec<ArrayRef> {
    let text = |column: ArrayRef| match column.data_type() {
        DataType::Utf8View => cast(&column, &DataType::Utf8).expect("a view of text is text"),
        _ => column,
    };
    let mut columns: Vec<ArrayRef> =
        (0..store.schema.fields().len()).map(|column| text(store.gather(slots, column))).collect();
    let places = || slots.iter().map(|&slot| store.place(slot));
    columns.push(Arc::new(StringArray::from_iter_values(places().map(|place| store.topic_name(place.topic)))));
    columns.push(Arc::new(Int32Array::from_iter_values(places().map(|place| place.partition))));
    columns.push(Arc::new(Int64Array::from_iter_values(places().map(|place| place.offset))));
    let (mut marks, mut bytes) = (BinaryBuilder::with_capacity(slots.len(), slots.len() * 8), Vec::new());
    for &slot in slots {
        bytes.clear();
        bytes.extend(store.views_of(slot).iter().flat_map(|word| word.to_le_bytes()));
        marks.append_value(&bytes);
    }
    columns.push(Arc::new(marks.finish()));
    columns
}
