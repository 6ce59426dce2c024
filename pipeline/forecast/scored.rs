//! How forecasts did on the events that came: the network's, the best trivial one's, and, where the stream carries it, the
//! truth's.
//!
//! Of the events of a user in one transaction the newest is scored, by every forecaster: as `surprise_nats` is.

use std::collections::HashMap;

use operators::{Fold, TouchedUser};

use super::said::Said;
use super::trivial::{Arrival, Trivial};
use crate::metrics::curve::{Scored, TRUTH_COLUMN};

/// Figures of one worker: no part of the state.
#[derive(Default)]
pub struct Scores {
    trivial: Trivial,
    /// Of this transaction, by user: what his newest event cost the trivial forecast, and the truth.
    pending: HashMap<u32, (f64, Option<f64>)>,
    scored: Scored,
}

impl Scores {
    /// Takes a touched user whose newest event may have arrived just now.
    pub fn arrived(&mut self, fold: &Fold, touched: &TouchedUser<'_>) {
        let mut newest = fold.newest(touched.user, 2);
        let (Some(before), Some(row)) = (newest.next(), newest.next()) else { return };
        if !touched.arrived.contains(&row) {
            return;
        }
        let of = |row| (fold.kind(row), fold.time(row));
        let Some(nats) = self.trivial.take(&Arrival { before: of(before), now: of(row) }) else { return };
        let truth = fold.column(TRUTH_COLUMN).and_then(|column| fold.number(row, column));
        self.pending.insert(touched.user, (nats, truth));
    }

    /// Takes what is said of him after it, with how it surprised.
    pub fn forecast(&mut self, user: u32, said: &Said) {
        let (Some((trivial, truth)), Some(surprise)) = (self.pending.remove(&user), said.surprise_nats) else { return };
        // A density per second is one per unit over the seconds of a unit.
        let model = f64::from(surprise) + (said.unit_ms / 1000.0).ln();
        self.scored.add(&Scored::one(model, trivial, truth, said.time_ms));
    }

    /// The sums since the last call, and the name of the trivial forecast.
    pub fn take(&mut self) -> (Scored, &'static str) {
        self.pending.clear();
        (std::mem::take(&mut self.scored), self.trivial.name())
    }
}
