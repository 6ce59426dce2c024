//! Users' events as windows of a network: at most [`EVENTS_MAX`] events, moved on by half of that. The same rule while
//! learning, scoring and forecasting.

use shaders::prompt_tpp::Batch;

/// Events of a window.
pub const EVENTS_MAX: usize = 64;
/// Events that a window keeps of the one before it: they choose the prompts, and are looked at only.
const CONTEXT: usize = EVENTS_MAX / 2;

/// The first event of the window in which the event of this rank (among the user's, from 0) is a target, and how many
/// events from there are context.
pub fn place(rank: usize) -> (usize, usize) {
    if rank < EVENTS_MAX {
        return (0, 1);
    }
    let first = ((rank - EVENTS_MAX) / CONTEXT + 1) * CONTEXT;
    (first, CONTEXT.min(rank - first))
}

/// A batch of windows that grows.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    offsets: Vec<u32>,
    types: Vec<u32>,
    times_ms: Vec<i64>,
    context: Vec<u32>,
    first_target: Vec<u32>,
    open_until_ms: Vec<i64>,
}

impl Windows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.context.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.context.is_empty()
    }

    /// Forgets all windows and keeps the memory.
    pub fn clear(&mut self) {
        self.offsets.clear();
        self.types.clear();
        self.times_ms.clear();
        self.context.clear();
        self.first_target.clear();
        self.open_until_ms.clear();
    }

    /// The windows.
    pub fn batch(&self) -> Batch<'_> {
        let Self { offsets, types, times_ms, context, first_target, open_until_ms } = self;
        Batch { offsets, types, times_ms, context, first_target, open_until_ms }
    }

    /// Adds an event to the window that is being made.
    pub fn event(&mut self, kind: u32, time_ms: i64) {
        self.types.push(kind);
        self.times_ms.push(time_ms);
    }

    /// Ends the window whose events were added: `context`, `first_target`, `open_until_ms` as in [`Batch`].
    pub fn end(&mut self, context: u32, first_target: u32, open_until_ms: i64) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.offsets.push(self.types.len() as u32);
        self.context.push(context);
        self.first_target.push(first_target);
        self.open_until_ms.push(open_until_ms);
    }

    /// Adds window `n` of others.
    pub fn copy(&mut self, from: &Windows, n: usize) {
        let events = from.offsets[n] as usize..from.offsets[n + 1] as usize;
        self.types.extend_from_slice(&from.types[events.clone()]);
        self.times_ms.extend_from_slice(&from.times_ms[events]);
        self.end(from.context[n], from.first_target[n], from.open_until_ms[n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_window_with_events_before_it() {
        for rank in 1..1000 {
            let (first, context) = place(rank);
            assert!(first + context <= rank && rank - first < EVENTS_MAX, "{rank}: {first} {context}");
            assert!(rank < EVENTS_MAX || rank - first >= CONTEXT, "{rank}: {first}");
        }
    }
}
