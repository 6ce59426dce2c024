//! Users' events as windows of a network: at most [`EVENTS_MAX`] events, moved on by half of that.

use shaders::prompt_tpp::{Batch, NEVER_MS};

use crate::evaluate::Past;

/// Events of a window.
const EVENTS_MAX: usize = 64;
/// Events that a window keeps of the one before it.
const KEPT: usize = EVENTS_MAX / 2;

/// The first event of the window in which the event of this rank (among the user's, from 0) is a target. The same while
/// learning, scoring and forecasting; all before the first target are context.
fn first(rank: usize) -> usize {
    if rank < EVENTS_MAX { 0 } else { ((rank - EVENTS_MAX) / KEPT + 1) * KEPT }
}

/// A batch of windows that grows.
#[derive(Debug, Default)]
pub(super) struct Windows {
    offsets: Vec<u32>,
    types: Vec<u32>,
    times_ms: Vec<i64>,
    first_target: Vec<u32>,
    open_until_ms: Vec<i64>,
}

impl Windows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.first_target.len()
    }

    /// The windows.
    pub fn batch(&self) -> Batch<'_> {
        let Self { offsets, types, times_ms, first_target, open_until_ms } = self;
        Batch { offsets, types, times_ms, context: first_target, first_target, open_until_ms }
    }

    /// The window after the newest event of `history`, for a forecast.
    pub fn add_forecast(&mut self, past: Past<'_>, history: &[u32]) {
        let events = &history[first(history.len())..];
        self.push(&Window::new(past, events, events.len(), NEVER_MS));
    }

    /// The same windows with what came after them, by type and gap, as targets.
    pub fn with_outcomes(&self, outcomes: impl Iterator<Item = (u32, i64)>) -> Self {
        let mut all = Self::default();
        for (window, (kind, gap_ms)) in outcomes.enumerate() {
            let events = self.offsets[window] as usize..self.offsets[window + 1] as usize;
            let newest = self.times_ms[events.end - 1];
            all.types.extend_from_slice(&self.types[events.clone()]);
            all.times_ms.extend_from_slice(&self.times_ms[events.clone()]);
            all.types.push(kind);
            all.times_ms.push(newest.saturating_add(gap_ms));
            all.end(events.len() as u32, NEVER_MS);
        }
        all
    }

    /// A user's targets: his events of these ranks, of which `history` holds the last; in the window of the newest the
    /// gap after it is open until `open_until_ms`. Windows that are complete go on to `each`.
    pub fn targets(
        past: Past<'_>,
        history: &[u32],
        ranks: std::ops::Range<usize>,
        open_until_ms: i64,
        each: &mut dyn FnMut(Window),
    ) {
        let (mut rank, end) = (ranks.start.max(1), ranks.end);
        if rank >= end && open_until_ms != NEVER_MS {
            let first = first(end);
            each(Window::new(past, &history[first..end], end - first, open_until_ms));
        }
        while rank < end {
            let first = first(rank);
            let until = end.min(first + EVENTS_MAX);
            let open = if until == end { open_until_ms } else { NEVER_MS };
            each(Window::new(past, &history[first..until], rank - first, open));
            rank = until;
        }
    }

    /// Adds a window.
    pub fn push(&mut self, window: &Window) {
        self.types.extend_from_slice(&window.types);
        self.times_ms.extend_from_slice(&window.times_ms);
        self.end(window.first_target, window.open_until_ms);
    }

    fn end(&mut self, first_target: u32, open_until_ms: i64) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.offsets.push(self.types.len() as u32);
        self.first_target.push(first_target);
        self.open_until_ms.push(open_until_ms);
    }
}

/// One window.
#[derive(Clone, Debug)]
pub(super) struct Window {
    types: Vec<u32>,
    times_ms: Vec<i64>,
    first_target: u32,
    open_until_ms: i64,
}

impl Window {
    fn new(past: Past<'_>, events: &[u32], first_target: usize, open_until_ms: i64) -> Self {
        let of = |&position: &u32| past.event(position as usize);
        Self {
            types: events.iter().map(|position| of(position).kind).collect(),
            times_ms: events.iter().map(|position| of(position).time_ms).collect(),
            first_target: first_target as u32,
            open_until_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_window_with_events_before_it() {
        for rank in 1..1000 {
            let first = first(rank);
            assert!(first < rank && rank - first < EVENTS_MAX, "{rank}: {first}");
            assert!(rank < EVENTS_MAX || rank - first >= KEPT, "{rank}: {first}");
        }
    }
}
