//! A large embedding beside the tape: only rows that a batch touches are read, changed, and count a step.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::Error;
use crate::ops::tensors::{Entry, Named};
use crate::ops::{AdamStep, Rates, adam};
use crate::random::{GAUSSIAN_WORDS, gaussian, generator};

/// Deviation of the rows before they learn.
const SPREAD: f64 = 0.1;

/// Rows of one width with Adam's moments, each row on its own clock. Row 0 is zero and never learns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    name: &'static str,
    width: usize,
    /// Its stream of random numbers.
    stream: u64,
    pub values: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    clocks: Vec<u64>,
    /// Rows that changed since they were last taken.
    changed: BTreeSet<u32>,
}

impl Table {
    pub fn new(name: &'static str, rows: usize, width: usize, seed: u64, stream: u64) -> Table {
        let mut table = Table {
            name,
            width,
            stream,
            values: Vec::new(),
            first: Vec::new(),
            second: Vec::new(),
            clocks: Vec::new(),
            changed: BTreeSet::new(),
        };
        table.grow(rows, seed);
        table
    }

    pub fn rows(&self) -> usize {
        self.clocks.len()
    }

    /// Makes room for more rows: they begin as they would have in a table that was so large from the beginning.
    pub fn grow(&mut self, rows: usize, seed: u64) {
        let fresh = self.fresh(self.values.len()..rows * self.width, seed);
        self.values.extend(fresh);
        let unknown = self.width.min(self.values.len());
        self.values[..unknown].fill(0.0);
        self.first.resize(self.values.len(), 0.0);
        self.second.resize(self.values.len(), 0.0);
        self.clocks.resize(rows, 0);
    }

    /// A row begins anew, as it would in a new table: its values, moments and clock.
    pub fn renew(&mut self, row: u32, seed: u64) {
        assert!(row > 0 && (row as usize) < self.rows(), "row {row} of {} cannot begin anew", self.rows());
        let range = row as usize * self.width..(row as usize + 1) * self.width;
        let fresh = self.fresh(range.clone(), seed);
        self.values[range.clone()].copy_from_slice(&fresh);
        self.first[range.clone()].fill(0.0);
        self.second[range].fill(0.0);
        self.clocks[row as usize] = 0;
        self.changed.insert(row);
    }

    /// Values at these places before they learn; a place has the same in a table of any size.
    fn fresh(&self, places: Range<usize>, seed: u64) -> Vec<f32> {
        let mut random = generator(seed, self.stream);
        random.set_word_pos(GAUSSIAN_WORDS * places.start as u128);
        places.map(|_| (SPREAD * gaussian(&mut random)) as f32).collect()
    }

    /// The rows of these numbers, one after the other.
    pub fn gather(&self, ids: &[u32]) -> Vec<f32> {
        let mut rows = Vec::with_capacity(ids.len() * self.width);
        for &id in ids {
            rows.extend_from_slice(&self.values[id as usize * self.width..][..self.width]);
        }
        rows
    }

    /// One update of every row that `ids` names, by the sum of its gradients in the order of `ids`.
    pub fn step(&mut self, ids: &[u32], gradient: &[f32], rates: Rates) {
        if rates.learning_rate == 0.0 || self.width == 0 {
            return;
        }
        let mut order: Vec<(u32, usize)> = ids.iter().copied().zip(0..).filter(|(id, _)| *id != 0).collect();
        order.sort_unstable();
        let mut sum = vec![0.0; self.width];
        for of_row in order.chunk_by(|a, b| a.0 == b.0) {
            let row = of_row[0].0 as usize;
            sum.fill(0.0);
            for &(_, place) in of_row {
                let gradient = &gradient[place * self.width..][..self.width];
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
            self.clocks[row] += 1;
            let step = AdamStep::at(rates, self.clocks[row], 1.0);
            let range = row * self.width..(row + 1) * self.width;
            let moments = (&mut self.first[range.clone()], &mut self.second[range.clone()]);
            adam(&step, &sum, moments.0, moments.1, &mut self.values[range]);
            self.changed.insert(row as u32);
        }
    }

    /// The rows that changed since the last call, in order.
    pub fn take_changed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    /// Writes rows over those of these numbers.
    pub fn put(&mut self, ids: &[u32], values: &[f32]) {
        for (&id, row) in ids.iter().zip(values.chunks_exact(self.width.max(1))) {
            self.values[id as usize * self.width..][..self.width].copy_from_slice(row);
        }
    }

    /// All that is known of a row: values, both moments, clock.
    #[cfg(test)]
    pub fn row(&self, row: u32) -> ([&[f32]; 3], u64) {
        let range = row as usize * self.width..(row as usize + 1) * self.width;
        ([&self.values, &self.first, &self.second].map(|of| &of[range.clone()]), self.clocks[row as usize])
    }

    pub fn save_weights(&self, into: &mut Named) {
        into.insert(self.entry(""), Entry::floats(vec![self.rows(), self.width], &self.values));
    }

    pub fn save(&self, into: &mut Named) {
        self.save_weights(into);
        for (part, values) in [("adam.first.", &self.first), ("adam.second.", &self.second)] {
            into.insert(self.entry(part), Entry::floats(vec![self.rows(), self.width], values));
        }
        into.insert(self.entry("adam.clocks."), Entry::integers(&self.clocks));
    }

    /// # Errors
    /// [`Error::Tensors`] that names what is missing or misshapen.
    pub fn take_weights(&mut self, from: &mut Named) -> Result<(), Error> {
        self.values = self.take_floats("", from)?;
        Ok(())
    }

    /// # Errors
    /// [`Error::Tensors`] that names what is missing or misshapen.
    pub fn take_moments(&mut self, from: &mut Named) -> Result<(), Error> {
        self.first = self.take_floats("adam.first.", from)?;
        self.second = self.take_floats("adam.second.", from)?;
        self.clocks = super::state::integers(from, &self.entry("adam.clocks."), self.rows())?;
        Ok(())
    }

    fn take_floats(&self, part: &str, from: &mut Named) -> Result<Vec<f32>, Error> {
        let name = self.entry(part);
        let entry = from.remove(&name).ok_or_else(|| Error::Tensors(format!("{name} is missing")))?;
        entry.to_floats(&[self.rows(), self.width]).map_err(|fault| Error::Tensors(format!("{name} {fault}")))
    }

    fn entry(&self, part: &str) -> String {
        format!("{part}{}.embedding", self.name)
    }
}
