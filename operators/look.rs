//! Looking at one user between two transactions: nothing of him moves, and nobody is brought back from the cold store.

use schemas::output::Emit;

use crate::{
    Fold, FoldError,
    fold::emit_newest,
    store::{ITEM_ID, TIME, TYPE},
};

/// `other_id`, `role` and `value`, by their place in [`schemas::event::EventColumns::schema`].
const OTHER_ID: usize = 5;
const ROLE: usize = 6;
const VALUE: usize = 7;

/// Where a user is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// In memory, in this slot.
    Memory(u32),
    /// In the cold store.
    Disk,
    /// Nowhere: no row of his came, or he is forgotten.
    Nowhere,
}

/// A row of a history.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Row<'a> {
    pub time_ms: i64,
    pub kind: &'a str,
    pub item_id: Option<&'a str>,
    pub other_id: Option<&'a str>,
    pub role: Option<&'a str>,
    pub value: Option<f64>,
}

/// An open window of a view: rows may still enter it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenWindow<'a> {
    /// The view's name.
    pub view: &'a str,
    /// When it began, ms.
    pub start_ms: i64,
    /// When it ends; of a session, when it would with no further row. ms.
    pub end_ms: i64,
}

impl Fold {
    /// Where a user of a task is kept.
    ///
    /// # Errors
    /// Where the cold store fails.
    pub fn whereabouts(&self, task: i32, user_id: &str) -> Result<Whereabouts, FoldError> {
        Ok(match self.state.resident(task, user_id) {
            Some(slot) => Whereabouts::Memory(slot),
            None if self.state.knows(task, user_id)? => Whereabouts::Disk,
            None => Whereabouts::Nowhere,
        })
    }

    /// A row.
    pub fn row(&self, row_slot: u32) -> Row<'_> {
        let store = &self.state.store;
        let text = |column| store.is_valid(row_slot, column).then(|| store.text(row_slot, column));
        Row {
            time_ms: store.time(row_slot),
            kind: store.text(row_slot, TYPE),
            item_id: text(ITEM_ID),
            other_id: text(OTHER_ID),
            role: text(ROLE),
            value: store.float(row_slot, VALUE),
        }
    }

    /// The place of a column of events, for [`Fold::number`].
    pub fn column(&self, name: &str) -> Option<usize> {
        self.state.store.schema.index_of(name).ok()
    }

    /// The number in a Float64 column of a row; none where it is null or the column holds no such numbers.
    pub fn number(&self, row_slot: u32, column: usize) -> Option<f64> {
        debug_assert_ne!(column, TIME, "time is asked for by `row`");
        self.state.store.float(row_slot, column)
    }

    /// The open windows of a user that will close, by view, then start.
    pub fn open_windows(&self, user: u32) -> impl Iterator<Item = OpenWindow<'_>> {
        let windows = self.state.users[user as usize].windows.iter();
        windows.filter(|open| open.end < i64::MAX).map(|open| {
            let view = &self.views.list[usize::from(open.view)].name;
            OpenWindow { view, start_ms: open.start, end_ms: open.end }
        })
    }

    /// The watermark of a task.
    pub fn watermark(&self, task: i32) -> Option<i64> {
        self.state.tasks.get(&task).map(|task| task.watermark)
    }

    /// Emits to `out` the newest value of each latest-value view of a user, as the end of the last transaction did; nothing
    /// of a task that is muted. To be called between transactions only.
    ///
    /// # Errors
    /// Where an aggregate fails on rows none of which fails alone.
    pub fn newest_values(&mut self, user: u32, out: &mut dyn Emit) -> Result<(), FoldError> {
        assert!(self.is_settled(), "values are asked for between transactions");
        if self.state.is_muted(user) {
            return Ok(());
        }
        emit_newest(&std::sync::Arc::clone(&self.views), &mut self.state, &[user], out)
    }
}
