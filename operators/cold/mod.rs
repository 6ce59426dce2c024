//! State larger than memory: the users idle longest go to a local store, and come back when they are touched or a
//! window of theirs closes. Nothing that is emitted or exported depends on who is where.
//!
//! The store is no truth: what it holds is lost with the process, and rebuilt from snapshots and the log.
//!
//! | key | value |
//! |---|---|
//! | `u`, user id | his state, see [`packed`] |
//! | `t`, view, end, user id | nothing: he has a window of that view that is looked at when the watermark comes there |
//!
//! An entry is not taken out when its user comes back: who is in memory, is there; and who is woken for nothing goes
//! again.
//!
//! # Layout
//! - `evict`: who goes. `thaw`: who comes back. [`packed`]: a user as bytes.

mod evict;
mod packed;
mod thaw;

pub(crate) use packed::{Reader, put, put_bytes, put_signed};

/// What a local store could not do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ColdError(pub String);

/// A local store of entries by task, in the order of their keys. It begins empty.
pub trait ColdStore: Send {
    /// Writes entries (key, value); what has the same key is replaced.
    ///
    /// # Errors
    /// Where the store fails.
    fn put(&mut self, task: i32, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), ColdError>;

    /// The value of a key.
    ///
    /// # Errors
    /// Where the store fails.
    fn get(&self, task: i32, key: &[u8]) -> Result<Option<Vec<u8>>, ColdError>;

    /// The first `most` keys from `from` on and below `to`.
    ///
    /// # Errors
    /// Where the store fails.
    fn keys(&self, task: i32, from: &[u8], to: &[u8], most: usize) -> Result<Vec<Vec<u8>>, ColdError>;

    /// Takes entries out; ones that are not there are ignored.
    ///
    /// # Errors
    /// Where the store fails.
    fn remove(&mut self, task: i32, keys: Vec<Vec<u8>>) -> Result<(), ColdError>;

    /// Takes all entries of a task out.
    ///
    /// # Errors
    /// Where the store fails.
    fn clear(&mut self, task: i32) -> Result<(), ColdError>;
}

/// Where idle users go, and when.
pub(crate) struct Cold {
    store: Box<dyn ColdStore>,
    limit_bytes: usize,
    keep_ms: i64,
    /// Nobody is looked for below so many bytes: the last search found too few.
    search_above: usize,
}

impl Cold {
    pub(crate) fn new(store: Box<dyn ColdStore>, limit_bytes: usize, keep_ms: i64) -> Self {
        Self { store, limit_bytes, keep_ms, search_above: limit_bytes }
    }

    /// Forgets what is kept of a user.
    pub(crate) fn forget(&mut self, task: i32, user_id: &str) -> Result<(), ColdError> {
        self.store.remove(task, vec![user_key(user_id)])
    }

    /// Forgets what is kept of a task.
    pub(crate) fn clear(&mut self, task: i32) -> Result<(), ColdError> {
        self.store.clear(task)
    }
}

fn user_key(user_id: &str) -> Vec<u8> {
    [b"u", user_id.as_bytes()].concat()
}

/// Above all users' ids: no text has this byte.
const AFTER: &[u8] = &[0xff];

fn timer_key(view: usize, end: i64, user_id: &[u8]) -> Vec<u8> {
    let view = u16::try_from(view).expect("there are fewer views");
    let end = end.cast_unsigned() ^ 1 << 63;
    [b"t", &view.to_be_bytes()[..], &end.to_be_bytes(), user_id].concat()
}

/// End and user id of a timer's key.
fn timer_of(key: &[u8]) -> Option<(i64, &str)> {
    let (end, user_id) = key.get(3..)?.split_first_chunk::<8>()?;
    Some(((u64::from_be_bytes(*end) ^ 1 << 63).cast_signed(), std::str::from_utf8(user_id).ok()?))
}
