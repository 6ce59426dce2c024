//! What an onlooker has seen of a stream at one place of it.

use super::stream::{Event, NONE, Stream};
use std::ops::Range;

/// The density of a gap is taken at this gap at least, in ms: a clock of whole milliseconds has no finer ones.
pub const GAP_MIN_MS: i64 = 1;

/// The first events of a stream, and nothing of what came later.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    stream: &'a Stream,
    len: usize,
}

impl<'a> Past<'a> {
    pub(super) fn new(stream: &'a Stream, len: usize) -> Self {
        Self { stream, len }
    }

    /// How many events it holds.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Types of events, seen or not.
    pub fn kinds(self) -> usize {
        self.stream.kinds
    }

    /// Users of the whole stream, seen or not: the size of tables by user.
    pub fn users(self) -> usize {
        self.stream.offsets.len() - 1
    }

    /// The unit of densities, in ms.
    pub fn unit_ms(self) -> f64 {
        self.stream.unit_ms
    }

    /// The events, in stream order.
    pub fn events(self) -> &'a [Event] {
        &self.stream.events[..self.len]
    }

    /// The event at `position`.
    pub fn event(self, position: usize) -> Event {
        self.events()[position]
    }

    /// Position of the event of the same user before the one at `position`.
    pub fn previous(self, position: usize) -> Option<usize> {
        assert!(position < self.len, "position {position} is not in a past of {} events", self.len);
        let previous = self.stream.previous[position];
        (previous != NONE).then_some(previous as usize)
    }

    /// Position of the event of the same user after the one at `position`, where it has happened yet.
    pub fn next(self, position: usize) -> Option<usize> {
        assert!(position < self.len, "position {position} is not in a past of {} events", self.len);
        let next = self.stream.next[position] as usize;
        (next < self.len).then_some(next)
    }

    /// Positions of the user's events up to and with the one at `position`, ascending.
    pub fn history(self, position: usize) -> &'a [u32] {
        assert!(position < self.len, "position {position} is not in a past of {} events", self.len);
        let from = self.stream.offsets[self.stream.events[position].user as usize];
        &self.stream.positions[from..=from + self.stream.rank[position] as usize]
    }

    /// The past of an earlier place.
    pub fn until(self, len: usize) -> Past<'a> {
        assert!(len <= self.len, "a past of {len} events of one of {}", self.len);
        Past { len, ..self }
    }

    /// Events of `range` whose user had an earlier one: those that a forecast is scored by.
    pub fn targets(self, range: Range<usize>) -> impl Iterator<Item = usize> + 'a {
        assert!(range.end <= self.len, "events up to {} of a past of {}", range.end, self.len);
        range.filter(move |i| self.stream.previous[*i] != NONE)
    }

    /// Users' last events before `from` that have a next one at `from` or later: their forecasts stand there.
    pub fn standing(self, from: usize) -> impl Iterator<Item = usize> + 'a {
        (0..from).filter(move |i| self.next(*i).is_some_and(|next| next >= from))
    }

    /// Users' last events in this past: the gaps after them are still open.
    pub fn open(self) -> impl Iterator<Item = usize> + 'a {
        (0..self.len).filter(move |i| self.next(*i).is_none())
    }

    /// Time since the user's previous event, in ms; 0 for his first.
    pub fn gap_ms(self, position: usize) -> i64 {
        self.previous(position).map_or(0, |before| self.event(position).time_ms - self.event(before).time_ms)
    }

    /// The gap in units, at least [`GAP_MIN_MS`].
    pub fn gap(self, position: usize) -> f64 {
        self.gap_ms(position).max(GAP_MIN_MS) as f64 / self.unit_ms()
    }

    /// Natural logarithm of [`Self::gap`].
    pub fn log_gap(self, position: usize) -> f64 {
        self.gap(position).ln()
    }
}
