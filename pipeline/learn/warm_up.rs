//! The stream's beginning, kept until it is enough to fit a network to.

use std::collections::BTreeMap;

use schemas::sample::Samples;
use shaders::Device;
use shaders::prompt_tpp::{Model, NEVER_MS};

use super::fit;
use crate::forecast::window::{EVENTS_MAX, Windows, place};

/// Users' events so far: each user's whole, as samples tell them.
#[derive(Debug, Default)]
pub struct WarmUp {
    /// By user, in one order on every machine.
    users: BTreeMap<u64, Events>,
    targets: usize,
    newest_ms: i64,
}

#[derive(Debug, Default)]
struct Events {
    types: Vec<u32>,
    times_ms: Vec<i64>,
}

impl WarmUp {
    /// Takes a window whose types are known by `place_of`.
    pub fn take(&mut self, samples: &Samples, window: usize, place_of: impl Fn(u16) -> u32) {
        let (range, first_target) = (samples.events(window), samples.first_target[window] as usize);
        let events = self.users.entry(samples.users[window]).or_default();
        // What stands before the targets came in the user's windows before this one.
        let new = if events.types.is_empty() { range.clone() } else { range.start + first_target..range.end };
        for at in new {
            let time_ms = events.times_ms.last().map_or(samples.times_ms[at], |last| samples.times_ms[at].max(*last));
            events.types.push(place_of(samples.types[at]));
            events.times_ms.push(time_ms);
            self.newest_ms = self.newest_ms.max(time_ms);
        }
        self.targets += range.len() - first_target;
    }

    /// How many targets there are.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// A network fitted to all of it.
    ///
    /// # Errors
    /// What the device says.
    pub fn fit(&self, device: &Device, types: usize, passes: usize, seed: u64) -> Result<Model, shaders::Error> {
        let gaps = self.users.values().flat_map(|events| events.times_ms.windows(2).map(|pair| pair[1] - pair[0]));
        let config = fit::config(types, &mut gaps.collect::<Vec<_>>());
        fit::fit(device, config, &self.windows(), passes, seed)
    }

    /// Every event after a user's first is a target; the gaps after the last ones are open until the newest event of all.
    fn windows(&self) -> Windows {
        let mut windows = Windows::default();
        for Events { types, times_ms } in self.users.values() {
            let (mut rank, end) = (1, types.len());
            while rank < end {
                let (first, context) = place(rank);
                let until = end.min(first + EVENTS_MAX);
                (first..until).for_each(|at| windows.event(types[at], times_ms[at]));
                let open_until_ms = if until == end { self.newest_ms } else { NEVER_MS };
                windows.end(context as u32, (rank - first) as u32, open_until_ms);
                rank = until;
            }
        }
        windows
    }
}
