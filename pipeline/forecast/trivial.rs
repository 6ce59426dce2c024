//! The best trivial forecast, live: what the network has to beat to earn its keep on the page.
//!
//! Two tables of frequencies, of types and of gaps (in logarithmic bins), that forget: one of all events (`constant`), one by
//! the type of the user's previous event (`bigram`). An event is scored by the one that did better before it, as the tables
//! stood when the user's previous event had come. They are figures of this process: no part of the state, begun anew with it.

use std::collections::VecDeque;

use super::vocabulary::Vocabulary;

/// Types that are told apart, that of all others included.
const TYPES_MAX: usize = 64;
/// Bins of ln(gap in s), from 1 ms to some 3000 years, and the width of one.
const BINS: usize = 128;
const BIN_WIDTH: f64 = 0.25;
const LOG_LEAST: f64 = -6.9;
/// Half of what a table knows is forgotten after so many events of its own.
const HALF_LIFE: f64 = 2000.0;
/// Pseudo-events of a type, and of a bin.
const PRIOR: (f64, f64) = (0.2, 0.02);
/// Tables are kept as they stood after each so many events, and so many of them.
const KEPT: (u64, usize) = (256, 128);
/// Names, in the order of the tables.
const NAMES: [&str; 2] = ["constant", "bigram"];

#[derive(Clone)]
struct Frequencies {
    types: Vec<f64>,
    bins: Vec<f64>,
    events: f64,
}

impl Default for Frequencies {
    fn default() -> Self {
        Self { types: vec![0.0; TYPES_MAX], bins: vec![0.0; BINS], events: 0.0 }
    }
}

impl Frequencies {
    fn learn(&mut self, kind: usize, bin: usize) {
        let keep = 0.5_f64.powf(1.0 / HALF_LIFE);
        self.types.iter_mut().chain(&mut self.bins).for_each(|count| *count *= keep);
        self.events = self.events * keep + 1.0;
        self.types[kind] += 1.0;
        self.bins[bin] += 1.0;
    }

    /// −ln of the density of a gap, per second, and of the probability of a type among `types`.
    fn nats(&self, kind: usize, log_gap: f64, types: usize) -> f64 {
        let share = (self.types[kind] + PRIOR.0) / (self.events + PRIOR.0 * types as f64);
        let of_bin = (self.bins[bin(log_gap)] + PRIOR.1) / (self.events + PRIOR.1 * BINS as f64);
        // A bin is wide in ln(gap): its density per second is its share over width and gap.
        -share.ln() - of_bin.ln() + BIN_WIDTH.ln() + log_gap
    }
}

fn bin(log_gap: f64) -> usize {
    (((log_gap - LOG_LEAST) / BIN_WIDTH).max(0.0) as usize).min(BINS - 1)
}

/// Of all events; by previous type.
#[derive(Clone, Default)]
struct Tables {
    all: Frequencies,
    after: Vec<Frequencies>,
}

impl Tables {
    fn nats(&self, (before, kind): (usize, usize), log_gap: f64, types: usize) -> [f64; 2] {
        let all = self.all.nats(kind, log_gap, types);
        [all, self.after.get(before).filter(|of| of.events > 0.0).map_or(all, |of| of.nats(kind, log_gap, types))]
    }
}

/// What came, and what stood before it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Type and time (ms) of the user's previous event.
    pub before: (&'a str, i64),
    /// Type and time (ms) of the event.
    pub now: (&'a str, i64),
}

/// The trivial forecasts of one worker.
#[derive(Default)]
pub struct Trivial {
    vocabulary: Vocabulary,
    tables: Tables,
    learned: u64,
    /// The tables as they stood, with the time of the newest event that they knew.
    kept: VecDeque<(i64, Tables)>,
    newest_ms: Option<i64>,
    /// Nats of each so far, forgetting.
    so_far: [f64; 2],
}

impl Trivial {
    /// Scores an event, in nats with the gap in seconds, then learns from it; none before anything is known.
    pub fn take(&mut self, arrival: &Arrival<'_>) -> Option<f64> {
        let before = self.vocabulary.add(arrival.before.0, TYPES_MAX) as usize;
        let kind = self.vocabulary.add(arrival.now.0, TYPES_MAX) as usize;
        let log_gap = ((arrival.now.1 - arrival.before.1).max(1) as f64 / 1000.0).ln();
        let known = self.kept.partition_point(|(newest_ms, _)| *newest_ms <= arrival.before.1).saturating_sub(1);
        let types = self.vocabulary.places();
        let nats = self.kept.get(known).map(|(_, tables)| tables.nats((before, kind), log_gap, types));
        let told = nats.map(|nats| nats[self.best()]);
        if let Some(nats) = nats {
            self.so_far.iter_mut().zip(nats).for_each(|(mean, nats)| *mean += (nats - *mean) / 1000.0);
        }
        let bin = bin(log_gap);
        self.tables.all.learn(kind, bin);
        if self.tables.after.len() <= before {
            self.tables.after.resize_with(before + 1, Frequencies::default);
        }
        self.tables.after[before].learn(kind, bin);
        self.learned += 1;
        let newest_ms = *self.newest_ms.insert(self.newest_ms.map_or(arrival.now.1, |ms| ms.max(arrival.now.1)));
        if self.learned.is_multiple_of(KEPT.0) {
            if self.kept.len() == KEPT.1 {
                self.kept.pop_front();
            }
            self.kept.push_back((newest_ms, self.tables.clone()));
        }
        told
    }

    fn best(&self) -> usize {
        usize::from(self.so_far[1] <= self.so_far[0])
    }

    /// The name of the one that has done better so far.
    pub fn name(&self) -> &'static str {
        NAMES[self.best()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a, b comes in a second; after b, a in an hour: who looks at the previous type knows both.
    #[test]
    fn the_one_that_does_better_is_told_and_follows() {
        let (mut trivial, mut time_ms, mut last) = (Trivial::default(), 0, ("a", 0));
        let mut nats = Vec::new();
        for n in 0..6000 {
            let gap_ms = if last.0 == "a" { 1000 } else { 3_600_000 };
            time_ms += gap_ms;
            let now = (if last.0 == "a" { "b" } else { "a" }, time_ms);
            nats.push(trivial.take(&Arrival { before: last, now }));
            last = now;
            assert_eq!(nats[n].is_some(), n as u64 >= KEPT.0, "nothing is known before the first tables are kept");
        }
        assert_eq!(trivial.name(), "bigram");
        let mean = |part: &[Option<f64>]| part.iter().flatten().sum::<f64>() / part.len() as f64;
        // Type for sure; a quarter of a nat wide at 1 s and at 1 h.
        let sure = 0.5 * (0.25_f64.ln() + (0.25_f64 * 3600.0).ln());
        assert!((mean(&nats[5000..]) - sure).abs() < 0.1, "{} {sure}", mean(&nats[5000..]));
        // Now each comes after itself: the old tables are wrong, and are forgotten.
        let mut after = Vec::new();
        for _ in 0..12_000 {
            time_ms += 1000;
            after.push(trivial.take(&Arrival { before: last, now: (last.0, time_ms) }));
            last.1 = time_ms;
        }
        assert!(mean(&after[..200]) > mean(&after[11_000..]) + 2.0);
    }

    #[test]
    fn densities_sum_to_one_and_memory_is_bounded() {
        let mut trivial = Trivial::default();
        for n in 0..40_000_i64 {
            let kind = format!("k{}", n % 90);
            trivial.take(&Arrival { before: (&kind, n * 10), now: (&kind, n * 10 + 1 + n % 5000) });
        }
        assert_eq!((trivial.kept.len(), trivial.vocabulary.places()), (KEPT.1, TYPES_MAX));
        assert!(trivial.tables.after.len() <= TYPES_MAX);
        let step = BIN_WIDTH / 4.0;
        let density = |n: i32| {
            let log_gap = LOG_LEAST + (f64::from(n) + 0.5) * step;
            let all = |kind| (-trivial.tables.all.nats(kind, log_gap, TYPES_MAX)).exp();
            (0..TYPES_MAX).map(all).sum::<f64>() * log_gap.exp() * step
        };
        let sum: f64 = (0..BINS as i32 * 4).map(density).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }
}
