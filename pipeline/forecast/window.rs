//! Users' events as windows of a network, and the rule by which they are cut: the same while learning, scoring and
//! forecasting.

use std::ops::Range;

use shaders::prompt_tpp::{Batch, NEVER_MS};

/// How users' events are cut into windows: at most so many events, of which a window keeps half of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowCut {
    /// Events of a window at most, 2 at least (`prompt_tpp.window_events`).
    pub events: usize,
}

/// What a network sees of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which of his events.
    pub cut: WindowCut,
    /// Whether their time of day and day of the week (`prompt_tpp.clock`).
    pub clock: bool,
}

impl WindowCut {
    /// The first event of the window in which the event of this rank (among the user's, from 0) is a target; all before the
    /// first target are context.
    pub fn first(self, rank: usize) -> usize {
        let kept = self.events / 2;
        if rank < self.events { 0 } else { ((rank - self.events) / (self.events - kept) + 1) * (self.events - kept) }
    }

    /// Cuts a user's targets, his events of these ranks: the ranks of each window's events, and the first of them that is a
    /// target.
    pub fn windows(self, ranks: Range<usize>, mut each: impl FnMut(Range<usize>, usize)) {
        let (mut rank, end) = (ranks.start.max(1), ranks.end);
        while rank < end {
            let first = self.first(rank);
            let until = end.min(first + self.events);
            each(first..until, rank - first);
            rank = until;
        }
    }
}

/// A batch of windows that grows.
#[derive(Clone, Debug, Default)]
pub struct Windows {
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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first_target.is_empty()
    }

    /// Forgets all windows and keeps the memory.
    pub fn clear(&mut self) {
        self.offsets.clear();
        self.types.clear();
        self.times_ms.clear();
        self.first_target.clear();
        self.open_until_ms.clear();
    }

    /// The windows.
    pub fn batch(&self) -> Batch<'_> {
        let Self { offsets, types, times_ms, first_target, open_until_ms } = self;
        Batch { offsets, types, times_ms, context: first_target, first_target, open_until_ms }
    }

    /// Adds an event to the window that is being made.
    pub fn event(&mut self, kind: u32, time_ms: i64) {
        self.types.push(kind);
        self.times_ms.push(time_ms);
    }

    /// Ends the window whose events were added: `first_target`, `open_until_ms` as in [`Batch`].
    pub fn end(&mut self, first_target: u32, open_until_ms: i64) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.offsets.push(self.types.len() as u32);
        self.first_target.push(first_target);
        self.open_until_ms.push(open_until_ms);
    }

    /// The same windows with what came after them, by type and gap, as targets.
    pub fn with_outcomes(&self, outcomes: impl Iterator<Item = (u32, i64)>) -> Self {
        let mut all = Self::default();
        for (window, (kind, gap_ms)) in outcomes.enumerate() {
            let events = self.offsets[window] as usize..self.offsets[window + 1] as usize;
            let newest = self.times_ms[events.end - 1];
            all.types.extend_from_slice(&self.types[events.clone()]);
            all.times_ms.extend_from_slice(&self.times_ms[events.clone()]);
            all.event(kind, newest.saturating_add(gap_ms));
            all.end(events.len() as u32, NEVER_MS);
        }
        all
    }

    /// Gap (ms) and type of every target.
    pub fn targets(&self) -> impl Iterator<Item = (i64, u32)> {
        let targets = |n: usize| {
            let events = self.offsets[n] as usize..self.offsets[n + 1] as usize;
            (events.start + self.first_target[n] as usize).min(events.end)..events.end
        };
        let all = (0..self.len()).flat_map(targets);
        all.map(|at| (self.times_ms[at] - self.times_ms[at - 1], self.types[at]))
    }

    /// Adds window `n` of others.
    pub fn copy(&mut self, from: &Windows, n: usize) {
        let events = from.offsets[n] as usize..from.offsets[n + 1] as usize;
        self.types.extend_from_slice(&from.types[events.clone()]);
        self.times_ms.extend_from_slice(&from.times_ms[events]);
        self.end(from.first_target[n], from.open_until_ms[n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_window_with_events_before_it() {
        for (cut, rank) in
            [2, 3, 7, 64, 128].into_iter().flat_map(|events| (1..1000).map(move |rank| (WindowCut { events }, rank)))
        {
            let first = cut.first(rank);
            assert!(first < rank && rank - first < cut.events, "{cut:?} {rank}: {first}");
            assert!(rank < cut.events || rank - first >= cut.events / 2, "{cut:?} {rank}: {first}");
        }
    }

    #[test]
    fn every_event_after_the_first_is_a_target_once() {
        for cut in [2, 3, 7, 64, 128].map(|events| WindowCut { events }) {
            let mut targets = Vec::new();
            cut.windows(0..300, |events, first_target| {
                assert!(first_target > 0 && events.len() <= cut.events);
                targets.extend(events.skip(first_target));
            });
            assert_eq!(targets, (1..300).collect::<Vec<_>>());
        }
    }
}
