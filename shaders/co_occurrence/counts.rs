//! Pairs of items and their weights.

use super::{Vectors, WINDOW, spectrum};

/// The least common multiple of 1 to [`WINDOW`]: weights 1 / distance are integers of this unit.
const UNIT: u32 = 60;
/// Pairs that wait for being sorted, at most.
const FRESH_MAX: usize = 1 << 22;

/// How heavily items stand together; see the [module](super).
#[derive(Clone, Debug)]
pub struct Counts {
    pairs_max: usize,
    /// Pair (smaller item, larger item) and weight, ascending.
    pairs: Vec<(u64, u32)>,
    /// The same, in the order they came.
    fresh: Vec<(u64, u32)>,
}

impl Counts {
    /// No pairs; about `pairs_max` are kept. Where there are more, the lightest are forgotten, all of a weight at once.
    pub fn new(pairs_max: usize) -> Self {
        Self { pairs_max: pairs_max.max(1), pairs: Vec::new(), fresh: Vec::new() }
    }

    /// A behavior with `item` after those `before` it, newest first; those beyond [`WINDOW`] do not count.
    pub fn add(&mut self, item: u32, before: impl IntoIterator<Item = u32>) {
        for (distance, other) in (1..).zip(before.into_iter().take(WINDOW)) {
            if other != item {
                let pair = u64::from(item.min(other)) << 32 | u64::from(item.max(other));
                self.fresh.push((pair, UNIT / distance));
            }
        }
        if self.fresh.len() >= FRESH_MAX.min(self.pairs_max) {
            self.settle();
        }
    }

    /// The pairs that are known, ascending, each with its weight in units of 1/60.
    pub fn pairs(&mut self) -> &[(u64, u32)] {
        self.settle();
        &self.pairs
    }

    /// Unit vectors of length `dim`; equal counts and seeds give equal vectors.
    pub fn vectors(&mut self, dim: usize, seed: u64) -> Vectors {
        spectrum::vectors(self.pairs(), dim, seed)
    }

    /// Merges the fresh pairs, and forgets the lightest where there are too many.
    fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        self.fresh.sort_unstable_by_key(|(pair, _)| *pair);
        let mut merged: Vec<(u64, u32)> = Vec::with_capacity(self.pairs.len() + self.fresh.len());
        let (mut old, mut new) = (self.pairs.iter().peekable(), self.fresh.iter().peekable());
        loop {
            let from_old = match (old.peek(), new.peek()) {
                (Some(old), Some(new)) => old.0 <= new.0,
                (old, None) if old.is_none() => break,
                (old, _) => old.is_some(),
            };
            let Some(&(pair, weight)) = (if from_old { old.next() } else { new.next() }) else { break };
            match merged.last_mut() {
                Some((last, sum)) if *last == pair => *sum = sum.saturating_add(weight),
                _ => merged.push((pair, weight)),
            }
        }
        self.fresh.clear();
        if merged.len() > self.pairs_max {
            let mut weights: Vec<u32> = merged.iter().map(|(_, weight)| *weight).collect();
            let excess = merged.len() - self.pairs_max;
            let lightest = *weights.select_nth_unstable(excess - 1).1;
            merged.retain(|(_, weight)| *weight > lightest);
        }
        self.pairs = merged;
    }
}
