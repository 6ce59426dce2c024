//! Processes that the tests run on.

use crate::evaluate::Stream;
use crate::evaluate::regimes::{Process, Regime, Stretch};

/// Milliseconds in a unit of every process.
pub const UNIT_MS: f64 = 1e6;

/// Events that come at constant rates, whatever happened before.
pub fn poisson() -> Process {
    let base = vec![0.4, 0.3, 0.2, 0.1];
    let regime = Regime { excitation: vec![vec![0.0; base.len()]; base.len()], base, decay: 1.0 };
    Process { seed: 1, users: 200, unit_ms: UNIT_MS, regimes: vec![regime], stretches: Vec::new() }
}

/// Kinds excite themselves, or, in turn, the next one.
pub fn exciting(turn: usize) -> Regime {
    let kinds = 3;
    let row = |k: usize| (0..kinds).map(|j| if k == (j + turn) % kinds { 0.9 } else { 0.05 }).collect();
    Regime { base: vec![0.2, 0.1, 0.05], excitation: (0..kinds).map(row).collect(), decay: 1.5 }
}

/// One regime of excitation.
pub fn hawkes() -> Process {
    Process { seed: 2, users: 150, unit_ms: UNIT_MS, regimes: vec![exciting(0)], stretches: Vec::new() }
}

/// Regimes 0, 1, 0, each for `events` events, then 0 for ever.
pub fn there_and_back(events: usize) -> Process {
    let stretches = [0, 1, 0].map(|regime| Stretch { events, regime }).to_vec();
    let other = Regime { base: vec![0.05, 0.1, 2.0], ..exciting(1) };
    Process { seed: 3, users: 100, unit_ms: UNIT_MS, regimes: vec![exciting(0), other], stretches }
}

/// The first `events` events of `process`, as a stream.
pub fn stream(process: &Process, events: usize) -> Stream {
    Stream::new(process.events(events), process.kinds()).unwrap()
}
