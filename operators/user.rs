//! What is kept of a user.

use std::collections::VecDeque;

use crate::store::{IN_HISTORY, IN_ITEMS, Store};

/// An open window, or pane of windows, of a user.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) view: u16,
    pub(crate) start: i64,
    /// Fixed windows: the end of the first window that the pane's rows are in. Sessions: last time + gap.
    pub(crate) end: i64,
    /// Sessions: when the window is looked at next.
    pub(crate) armed: i64,
    pub(crate) key: Box<[u8]>,
    pub(crate) state: Box<[u8]>,
}

impl Open {
    fn rank(&self) -> (u16, i64, i64, &[u8]) {
        (self.view, self.start, self.end, &self.key)
    }

    /// Replaces the state, in place where it is as long.
    pub(crate) fn put(&mut self, state: &[u8]) {
        if self.state.len() == state.len() {
            self.state.copy_from_slice(state);
        } else {
            self.state = state.into();
        }
    }
}

/// A value of a latest-value view that a reader still sees.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) view: u16,
    pub(crate) key: Box<[u8]>,
}

/// One user.
#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) id: Box<str>,
    pub(crate) task: i32,
    /// Place in the list of touched users plus one; 0 is untouched.
    pub(crate) touched: u32,
    /// Whether his newest values are to be emitted.
    pub(crate) is_due: bool,
    /// Whether he is in the list of users that changed since the last export.
    pub(crate) has_changed: bool,
    /// The last transaction that touched him; 0 where none did since he came into memory.
    pub(crate) used: u32,
    /// Time of his newest row, one that is pending included, where idle users are forgotten; none before the first.
    pub(crate) newest_ms: Option<i64>,
    /// Bytes as last noted.
    pub(crate) weight: usize,
    /// Rows ever.
    pub(crate) ordinal: u64,
    /// Hashes of his last event ids, oldest first.
    pub(crate) event_ids: VecDeque<u64>,
    /// Slots, by time, then arrival.
    pub(crate) history: VecDeque<u32>,
    /// Slots of the newest rows with an item, by time, then arrival.
    pub(crate) items: VecDeque<u32>,
    /// Sorted by view, start, end, key.
    pub(crate) windows: Vec<Open>,
    /// Sorted.
    pub(crate) seen: Vec<Seen>,
    /// What the encoders noted of him last ([`crate::Fold::set_note`]).
    pub(crate) note: Box<[u8]>,
}

/// What became of a row that was put into a bounded window of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It is in, and this row had to leave.
    Pushing(u32),
    /// It is in.
    Yes,
    /// It is older than all of a full window.
    No,
}

impl User {
    /// Whether an event id is among the last `most`; if not, it is remembered.
    pub(crate) fn is_duplicate(&mut self, event_id: u64, most: usize) -> bool {
        if self.event_ids.contains(&event_id) {
            return true;
        }
        if most > 0 {
            if self.event_ids.len() == most {
                self.event_ids.pop_front();
            }
            self.event_ids.push_back(event_id);
        }
        false
    }

    /// Puts a row into the history of at most `most` rows, none older than `ttl_ms` before the newest; tells which rows had
    /// to leave it.
    pub(crate) fn remember(
        &mut self,
        store: &mut Store,
        slot: u32,
        (most, ttl_ms): (usize, Option<i64>),
        mut left: impl FnMut(u32),
    ) {
        if let Entered::Pushing(oldest) = enter(&mut self.history, store, slot, most, IN_HISTORY) {
            left(oldest);
        }
        let Some(ttl_ms) = ttl_ms else { return };
        let newest = store.time(*self.history.back().expect("a history that a row was put into holds one"));
        while self.history.front().is_some_and(|&row| store.time(row) < newest.saturating_sub(ttl_ms)) {
            let oldest = self.history.pop_front().expect("it has a front");
            store.let_go(oldest, IN_HISTORY);
            left(oldest);
        }
    }

    /// Puts a row into the item window.
    pub(crate) fn remember_item(&mut self, store: &mut Store, slot: u32, most: usize) -> Entered {
        enter(&mut self.items, store, slot, most, IN_ITEMS)
    }

    /// The newest row.
    pub(crate) fn newest(&self) -> u32 {
        *self.history.back().expect("a user has a history from his first row on")
    }

    /// Bytes that he takes without his rows, about.
    pub(crate) fn bytes(&self) -> usize {
        /// What the allocator takes for a small piece besides its bytes, and the place in the table.
        const PIECE: usize = 16;
        let windows = self.windows.iter().map(|open| open.key.len() + open.state.len() + 2 * PIECE);
        let seen = self.seen.iter().map(|seen| seen.key.len() + PIECE);
        size_of::<Self>()
            + self.id.len()
            + self.note.len()
            + 2 * PIECE
            + self.event_ids.len() * size_of::<u64>()
            + (self.history.len() + self.items.len()) * size_of::<u32>()
            + self.windows.capacity() * size_of::<Open>()
            + self.seen.capacity() * size_of::<Seen>()
            + windows.chain(seen).sum::<usize>()
    }

    /// When he has been idle for `ttl_ms`: a watermark that comes there finds him gone, unless a window is open longer.
    pub(crate) fn idle_end(&self, store: &Store, ttl_ms: i64) -> i64 {
        store.time(self.newest()).saturating_add(ttl_ms).saturating_add(1)
    }

    /// The places of the open windows of a view.
    pub(crate) fn windows_of(&self, view: u16) -> std::ops::Range<usize> {
        let from = self.windows.partition_point(|open| open.view < view);
        from..from + self.windows[from..].partition_point(|open| open.view == view)
    }

    /// Where the window of these marks is, or would be.
    pub(crate) fn find(&self, view: u16, start: i64, end: i64, key: &[u8]) -> Result<usize, usize> {
        self.windows.binary_search_by(|open| open.rank().cmp(&(view, start, end, key)))
    }

    /// Adds an open window.
    pub(crate) fn open(&mut self, window: Open) {
        let at = self.windows.partition_point(|open| open.rank() <= window.rank());
        if self.windows.len() == self.windows.capacity() {
            self.windows.reserve_exact(1 + self.windows.len() / 2);
        }
        self.windows.insert(at, window);
    }
}

impl User {
    /// Adds open windows: one pass, however many they are.
    pub(crate) fn open_all(&mut self, windows: impl Iterator<Item = Open>) {
        self.windows.extend(windows);
        self.windows.shrink_to(self.windows.len() + self.windows.len() / 2);
        // Two sorted runs, or nearly: the standard sort merges them.
        self.windows.sort_by(|a, b| a.rank().cmp(&b.rank()));
    }
}

fn enter(rows: &mut VecDeque<u32>, store: &mut Store, slot: u32, most: usize, holder: u8) -> Entered {
    let time = store.time(slot);
    let older = rows.iter().rev().take_while(|&&row| store.time(row) > time).count();
    let at = rows.len() - older;
    if rows.len() < most {
        rows.insert(at, slot);
        store.hold(slot, holder);
        return Entered::Yes;
    }
    if at == 0 {
        return Entered::No;
    }
    let oldest = rows.pop_front().expect("it is full, and holds one row or more");
    store.let_go(oldest, holder);
    rows.insert(at - 1, slot);
    store.hold(slot, holder);
    Entered::Pushing(oldest)
}
