//! The stream's beginning, kept until it is enough to fit a network to.

use std::collections::BTreeMap;

use schemas::sample::Samples;
use shaders::Device;
use shaders::prompt_tpp::{Config, Model, NEVER_MS};

use super::fit;
use crate::forecast::window::{Seen, WindowCut, Windows};

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
        let user = samples.users[window];
        // What stands before the targets came in the user's windows before this one.
        let new = if self.users.contains_key(&user) { range.start + first_target..range.end } else { range };
        new.for_each(|at| self.event(user, place_of(samples.types[at]), samples.times_ms[at]));
    }

    /// Takes a user's next event; each after his first is a target. One out of order counts as simultaneous with the newest.
    pub fn event(&mut self, user: u64, kind: u32, time_ms: i64) {
        let events = self.users.entry(user).or_default();
        self.targets += usize::from(!events.types.is_empty());
        let time_ms = events.times_ms.last().map_or(time_ms, |last| time_ms.max(*last));
        events.types.push(kind);
        events.times_ms.push(time_ms);
        self.newest_ms = self.newest_ms.max(time_ms);
    }

    /// How many targets there are.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// A network fitted to all of it.
    ///
    /// # Errors
    /// What the device says.
    pub fn fit(
        &self,
        device: &mut Device,
        (types, seen): (usize, Seen),
        passes: usize,
        seed: u64,
    ) -> Result<Model, shaders::Error> {
        let windows = self.windows(seen.cut);
        let (gaps_ms, kinds): (Vec<i64>, Vec<u32>) = windows.targets().unzip();
        let config = Config { clock_inputs: seen.clock, ..scales(types, &gaps_ms) };
        fit::fit(device, config, (&windows, &gaps_ms, &kinds), passes, seed)
    }

    /// Every event after a user's first is a target; the gaps after the last ones are open until the newest event of all.
    fn windows(&self, cut: WindowCut) -> Windows {
        let mut windows = Windows::default();
        for Events { types, times_ms } in self.users.values() {
            cut.windows(0..types.len(), |events, first_target| {
                let open_until_ms = if events.end == types.len() { self.newest_ms } else { NEVER_MS };
                events.for_each(|at| windows.event(types[at], times_ms[at]));
                windows.end(first_target as u32, open_until_ms);
            });
        }
        windows
    }
}

/// A stream's median gap as the unit, mean and deviation of the logarithm of its gaps.
fn scales(types: usize, gaps_ms: &[i64]) -> Config {
    let mut sorted = gaps_ms.to_vec();
    sorted.sort_unstable();
    let Some(&median) = sorted.get(sorted.len() / 2) else { return Config { types, ..Config::default() } };
    let unit_ms = median.max(1) as f64;
    let logs: Vec<f64> = sorted.iter().map(|&gap| (gap.max(1) as f64 / unit_ms).ln()).collect();
    fit::config(types, unit_ms, &logs)
}
