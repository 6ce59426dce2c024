//! How forecasts did on the events that came: the network's, the best trivial one's, and, where the stream carries it, the
//! truth's.
//!
//! An event is scored by every forecaster where the network's forecast from right before it was made: every event where
//! `views.emit` is `event`, else of a user's events in one transaction the newest, as `surprise_nats` is.

use std::collections::HashMap;

use operators::{Fold, TouchedUser};

use super::said::Said;
use super::trivial::{Arrival, Trivial};
use crate::metrics::curve::Scored;

/// Figures of one worker: no part of the state.
#[derive(Default)]
pub struct Scores {
    trivial: Trivial,
    /// Of this transaction, by row: what the event cost the trivial forecast, and the truth.
    pending: HashMap<u32, (f64, Option<f64>)>,
    scored: Scored,
}

impl Scores {
    /// Takes the events of a touched user that arrived, but those out of order; `truth` is the column of the truth.
    pub fn arrived(&mut self, fold: &Fold, touched: &TouchedUser<'_>, truth: Option<usize>) {
        let of = |row| (fold.kind(row), fold.time(row));
        let mut arrived = touched.arrived.to_vec();
        arrived.sort_unstable();
        let rows = fold.newest(touched.user, touched.arrived.len() + 1);
        let mut before = rows.rev().find(|row| arrived.binary_search(row).is_err());
        for &row in touched.arrived {
            let follows = before.is_none_or(|before| fold.time(row) >= fold.time(before));
            if let Some(before) = before.filter(|_| follows)
                && let Some(nats) = self.trivial.take(&Arrival { before: of(before), now: of(row) })
            {
                self.pending.insert(row, (nats, truth.and_then(|column| fold.number(row, column))));
            }
            before = if follows { Some(row) } else { before };
        }
    }

    /// Takes what is said after the event of a row, with how it surprised.
    pub fn forecast(&mut self, row: u32, said: &Said) {
        let (Some((trivial, truth)), Some(surprise)) = (self.pending.remove(&row), said.surprise_nats) else { return };
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
