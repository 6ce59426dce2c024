//! Who has a row of the embedding: items that were candidates often enough, and of late.
//!
//! An item gets a row with its n-th labeled candidate. Where all rows are taken it gets the one that was touched longest ago,
//! if no candidate has touched that while these n came; if one has, the item is counted anew. So a row belongs to whoever is
//! asked for more often, and what it was is forgotten only when somebody needs the room.

use std::collections::{BTreeSet, HashMap};

use shaders::ops::tensors::{Entry, Named};

use crate::rank::version::Rows;

const NAMES: &str = "admission.names";
const COUNTS: &str = "admission.counts";
const TOUCHED: &str = "admission.touched";

/// Counts of items without a row, in two generations: when the newer one is full, the older one is forgotten; and when each
/// row was touched last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    after: u32,
    rows_max: usize,
    /// Whether nobody gets a row any more.
    closed: bool,
    /// Labeled candidates so far: the clock of all this.
    candidates: u64,
    newer: HashMap<Box<str>, Count>,
    older: HashMap<Box<str>, Count>,
    /// Of each row from 1 on, the candidate that touched it last.
    touched: Vec<u64>,
    /// The same, the one that was touched longest ago first.
    order: BTreeSet<(u64, u32)>,
}

/// Candidates of an item without a row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Count {
    seen: u32,
    /// The first of them.
    since: u64,
}

impl Admission {
    /// Nobody was seen; an item is admitted with its `after`-th candidate, and as many are counted as there may be rows.
    pub fn new(after: u32, rows_max: usize, rows: &Rows) -> Self {
        let mut admission = Self { after, rows_max, ..Self::default() };
        rows.names().for_each(|_| admission.touched.push(0));
        admission.order = admission.in_order();
        admission
    }

    fn in_order(&self) -> BTreeSet<(u64, u32)> {
        self.touched.iter().copied().zip(1..).collect()
    }

    /// From here on nobody gets a row.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Takes a labeled candidate of an item, who may get a row by it; gives that row where it was another's before.
    pub fn see(&mut self, item_id: &str, rows: &mut Rows) -> Option<u32> {
        if !Rows::takes(item_id) || self.closed {
            return None;
        }
        self.candidates += 1;
        let row = rows.find(item_id);
        if row > 0 {
            self.touch(row);
            return None;
        }
        let counted = self.newer.remove(item_id).or_else(|| self.older.remove(item_id));
        let mut count = counted.unwrap_or(Count { seen: 0, since: self.candidates });
        count.seen += 1;
        if count.seen < self.after {
            if self.newer.len() >= self.rows_max.max(2) / 2 {
                self.older = std::mem::take(&mut self.newer);
            }
            self.newer.insert(item_id.into(), count);
            return None;
        }
        if rows.len() < self.rows_max {
            self.touch(rows.add(item_id, self.rows_max));
            return None;
        }
        let (_, row) = self.order.first().copied().filter(|&(touched, _)| touched < count.since)?;
        rows.give(row, item_id);
        self.touch(row);
        Some(row)
    }

    fn touch(&mut self, row: u32) {
        let at = row as usize - 1;
        match self.touched.get_mut(at) {
            Some(touched) => _ = self.order.remove(&(std::mem::replace(touched, self.candidates), row)),
            None => self.touched.push(self.candidates),
        }
        self.order.insert((self.candidates, row));
    }

    /// Puts all of it beside the tensors, the same bytes for the same candidates.
    pub fn save(&self, tensors: &mut Named) {
        let (mut names, mut counts) = (Rows::default(), vec![self.candidates, self.older.len() as u64]);
        for generation in [&self.older, &self.newer] {
            let mut sorted: Vec<_> = generation.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            for (name, Count { seen, since }) in sorted {
                names.add(name, usize::MAX);
                counts.extend([u64::from(*seen), *since]);
            }
        }
        tensors.insert(NAMES.into(), names.entry());
        tensors.insert(COUNTS.into(), Entry::integers(&counts));
        tensors.insert(TOUCHED.into(), Entry::integers(&self.touched));
    }

    /// Takes it from beside the tensors; none where it is not there.
    pub fn take(after: u32, rows_max: usize, rows: &Rows, tensors: &mut Named) -> Option<Self> {
        let names = Rows::of(&tensors.remove(NAMES)?)?;
        let counts = tensors.remove(COUNTS)?.to_integers(2 + 2 * (names.len() - 1)).ok()?;
        let touched = tensors.remove(TOUCHED)?.to_integers(rows.len() - 1).ok()?;
        let ([candidates, older], counts) = counts.split_first_chunk::<2>()?;
        let count = |pair: &[u64]| Count { seen: pair[0] as u32, since: pair[1] };
        let mut all = names.names().zip(counts.chunks_exact(2)).map(|(name, pair)| (name.into(), count(pair)));
        let mut admission = Self { after, rows_max, candidates: *candidates, touched, ..Self::default() };
        admission.older = all.by_ref().take(usize::try_from(*older).ok()?).collect();
        admission.newer = all.collect();
        admission.order = admission.in_order();
        Some(admission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sees an item; its row, and whether that was another's.
    fn see(admission: &mut Admission, rows: &mut Rows, name: &str) -> (u32, bool) {
        let given = admission.see(name, rows);
        assert!(given.is_none_or(|row| row == rows.find(name)));
        // Whoever takes over knows the same.
        let mut tensors = Named::new();
        admission.save(&mut tensors);
        assert_eq!(
            Admission::take(admission.after, admission.rows_max, rows, &mut tensors).as_ref(),
            Some(&*admission)
        );
        assert!(tensors.is_empty());
        (rows.find(name), given.is_some())
    }

    #[test]
    fn an_item_that_comes_often_enough_is_admitted_once() {
        let mut rows = Rows::default();
        let mut admission = Admission::new(3, 4, &rows);
        let mut see = |name: &str| see(&mut admission, &mut rows, name).0;
        assert_eq!([0; 4].map(|_| see("a")), [0, 0, 1, 1]);
        assert_eq!(["b", "b", "c", "d", "e", "f"].map(&mut see), [0; 6]);
        assert_eq!(see("b"), 0, "as many others came as are counted: it begins again");
        assert_eq!([see("f"), see("f")], [0, 2]);
    }

    #[test]
    fn a_row_goes_to_who_is_asked_for_more_often() {
        let mut rows = Rows::default();
        let mut admission = Admission::new(2, 3, &rows);
        let mut see = |name: &str| see(&mut admission, &mut rows, name);
        assert_eq!(["a", "b", "a", "b"].map(&mut see), [(0, false), (0, false), (1, false), (2, false)]);
        // All rows are taken, and both were touched while c came.
        assert_eq!(["c", "a", "b", "c"].map(&mut see), [(0, false), (1, false), (2, false), (0, false)]);
        assert_eq!(["c", "b", "c"].map(&mut see), [(0, false), (2, false), (1, true)], "a was touched longest ago");
        assert_eq!(["a", "a"].map(&mut see), [(0, false), (2, true)], "then b, who stands where c does not");
        assert_eq!(rows.names().collect::<Vec<_>>(), ["c", "a"]);
        // A model that was given: nobody has touched its rows yet.
        let mut later = Admission::new(1, 3, &rows);
        assert_eq!(later.see("d", &mut rows), Some(1));
        later.close();
        assert_eq!((later.see("e", &mut rows), rows.find("e")), (None, 0));
    }
}
