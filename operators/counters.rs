//! What was counted.

/// Counts since the start, of tasks that are not muted; `users` is how many there are now, in all tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows folded.
    pub rows: u64,
    /// Rows whose event id was among the user's last: dropped.
    pub duplicates: u64,
    /// Rows that were late for one view or more.
    pub late: u64,
    /// Rows that a view's expression failed on, once per view.
    pub dead_letters: u64,
    /// Users, those in the cold store included.
    pub users: u64,
}
