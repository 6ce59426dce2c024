//! Who gets a row of the embedding: items that were candidates often enough.

use std::collections::HashMap;

use shaders::ops::tensors::{Entry, Named};

use crate::rank::version::Rows;

const NAMES: &str = "admission.names";
const COUNTS: &str = "admission.counts";

/// Counts of items without a row, in two generations: when the newer one is full, the older one is forgotten.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    after: u32,
    newer: HashMap<Box<str>, u32>,
    older: HashMap<Box<str>, u32>,
    half: usize,
}

impl Admission {
    /// Nobody was seen; an item is admitted with its `after`-th candidate, and as many are counted as there may be rows.
    pub fn new(after: u32, rows_max: usize) -> Self {
        Self { after, half: rows_max.max(2) / 2, ..Self::default() }
    }

    /// Counts a candidate of an item; whether it is to have a row now.
    pub fn admits(&mut self, item_id: &str, rows: &Rows) -> bool {
        if item_id.is_empty() || rows.find(item_id) > 0 {
            return false;
        }
        let count = self.newer.get(item_id).copied().or_else(|| self.older.remove(item_id)).unwrap_or(0) + 1;
        if count >= self.after {
            self.newer.remove(item_id);
            return true;
        }
        if !self.newer.contains_key(item_id) && self.newer.len() >= self.half {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(item_id.into(), count);
        false
    }

    /// Puts the counts beside the tensors, the same bytes for the same counts.
    pub fn save(&self, tensors: &mut Named) {
        let (mut names, mut counts) = (Rows::default(), vec![self.older.len() as u64]);
        for generation in [&self.older, &self.newer] {
            let mut sorted: Vec<_> = generation.iter().collect();
            sorted.sort_unstable();
            for (name, count) in sorted {
                names.add(name, usize::MAX);
                counts.push(u64::from(*count));
            }
        }
        tensors.insert(NAMES.into(), names.entry());
        tensors.insert(COUNTS.into(), Entry::integers(&counts));
    }

    /// Takes the counts from beside the tensors; none where they are not there.
    pub fn take(after: u32, rows_max: usize, tensors: &mut Named) -> Option<Self> {
        let names = Rows::of(&tensors.remove(NAMES)?)?;
        let counts = tensors.remove(COUNTS)?.to_integers(names.len()).ok()?;
        let (older, counts) = counts.split_first()?;
        let mut all = names.names().zip(counts).map(|(name, count)| (name.into(), *count as u32));
        let mut admission = Self::new(after, rows_max);
        admission.older = all.by_ref().take(usize::try_from(*older).ok()?).collect();
        admission.newer = all.collect();
        Some(admission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_comes_often_enough_is_admitted_once() {
        let (mut admission, mut rows) = (Admission::new(3, 4), Rows::default());
        let mut see = |name: &str, rows: &mut Rows| {
            let admitted = admission.admits(name, rows);
            if admitted {
                rows.add(name, 10);
            }
            admitted
        };
        assert_eq!([0; 4].map(|_| see("a", &mut rows)), [false, false, true, false]);
        assert_eq!(["b", "b", "c", "d", "e", "f", "g"].map(|name| see(name, &mut rows)), [false; 7]);
        // As many others came as are counted: b begins again, f goes on.
        assert_eq!(["b", "f", "f"].map(|name| see(name, &mut rows)), [false, false, true]);
        let mut tensors = Named::new();
        admission.save(&mut tensors);
        assert_eq!(Admission::take(3, 4, &mut tensors), Some(admission));
        assert!(tensors.is_empty());
    }
}
