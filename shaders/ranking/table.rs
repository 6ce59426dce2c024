//! A large embedding beside the tape, as it learns: only rows that a batch touches are read, changed, and count a step.

use std::ops::Range;

use super::embedding::Embedding;
use crate::Error;
use crate::ops::tensors::{Entry, Named};
use crate::ops::{AdamStep, Rates, adam};
use crate::random::{GAUSSIAN_WORDS, gaussian, generator};

/// Deviation of the rows before they learn.
const SPREAD: f64 = 0.1;

/// Rows with Adam's moments, each row on its own clock. Row 0 is zero and never learns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub embedding: Embedding,
    /// Its stream of random numbers.
    stream: u64,
    first: Vec<f32>,
    second: Vec<f32>,
    clocks: Vec<u64>,
}

impl Table {
    /// Rows that have learned nothing.
    pub fn new(name: &'static str, (rows, width): (usize, usize), seed: u64, stream: u64) -> Table {
        let mut table = Table::of(Embedding::new(name, width), 0, stream);
        table.grow(rows, seed);
        table
    }

    /// So many rows that have learned, with an optimizer that has seen nothing.
    pub fn of(embedding: Embedding, rows: usize, stream: u64) -> Table {
        let moments = || vec![0.0; embedding.values.len()];
        Table { stream, first: moments(), second: moments(), clocks: vec![0; rows], embedding }
    }

    pub fn rows(&self) -> usize {
        self.clocks.len()
    }

    /// Makes room for more rows: they begin as they would have in a table that was so large from the beginning.
    pub fn grow(&mut self, rows: usize, seed: u64) {
        let width = self.embedding.width();
        let fresh = self.fresh(self.rows() * width..rows * width, seed);
        let values = &mut self.embedding.values;
        values.extend(fresh);
        let unknown = width.min(values.len());
        values[..unknown].fill(0.0);
        self.first.resize(values.len(), 0.0);
        self.second.resize(values.len(), 0.0);
        self.clocks.resize(rows, 0);
    }

    /// A row begins anew, as it would in a new table: its values, moments and clock.
    pub fn renew(&mut self, row: u32, seed: u64) {
        assert!(row > 0 && (row as usize) < self.rows(), "row {row} of {} cannot begin anew", self.rows());
        let width = self.embedding.width();
        let range = row as usize * width..(row as usize + 1) * width;
        let fresh = self.fresh(range.clone(), seed);
        self.embedding.values[range.clone()].copy_from_slice(&fresh);
        self.first[range.clone()].fill(0.0);
        self.second[range].fill(0.0);
        self.clocks[row as usize] = 0;
    }

    /// Values at these places before they learn; a place has the same in a table of any size.
    fn fresh(&self, places: Range<usize>, seed: u64) -> Vec<f32> {
        let mut random = generator(seed, self.stream);
        random.set_word_pos(GAUSSIAN_WORDS * places.start as u128);
        places.map(|_| (SPREAD * gaussian(&mut random)) as f32).collect()
    }

    /// One update of every row that `ids` names, by the sum of its gradients in the order of `ids`.
    pub fn step(&mut self, ids: &[u32], gradient: &[f32], rates: Rates) {
        let width = self.embedding.width();
        if rates.learning_rate == 0.0 || width == 0 {
            return;
        }
        let mut order: Vec<(u32, usize)> = ids.iter().copied().zip(0..).filter(|(id, _)| *id != 0).collect();
        order.sort_unstable();
        let mut sum = vec![0.0; width];
        for of_row in order.chunk_by(|a, b| a.0 == b.0) {
            let row = of_row[0].0 as usize;
            sum.fill(0.0);
            for &(_, place) in of_row {
                let gradient = &gradient[place * width..][..width];
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
            self.clocks[row] += 1;
            let step = AdamStep::at(rates, self.clocks[row], 1.0);
            let range = row * width..(row + 1) * width;
            let moments = (&mut self.first[range.clone()], &mut self.second[range.clone()]);
            adam(&step, &sum, moments.0, moments.1, &mut self.embedding.values[range]);
        }
    }

    /// All that is known of a row: values, both moments, clock.
    #[cfg(test)]
    pub fn row(&self, row: u32) -> ([&[f32]; 3], u64) {
        let width = self.embedding.width();
        let range = row as usize * width..(row as usize + 1) * width;
        ([&self.embedding.values, &self.first, &self.second].map(|of| &of[range.clone()]), self.clocks[row as usize])
    }

    /// Puts rows, moments and clocks beside the named tensors.
    pub fn save(&self, into: &mut Named) {
        let parts = [("", &self.embedding.values), ("adam.first.", &self.first), ("adam.second.", &self.second)];
        parts.iter().for_each(|(part, values)| self.embedding.save_part(part, self.rows(), values, into));
        into.insert(self.embedding.entry("adam.clocks."), Entry::integers(&self.clocks));
    }

    /// # Errors
    /// [`Error::Tensors`] that names what is missing or misshapen.
    pub fn take_moments(&mut self, from: &mut Named) -> Result<(), Error> {
        self.first = self.embedding.take_part("adam.first.", self.rows(), from)?;
        self.second = self.embedding.take_part("adam.second.", self.rows(), from)?;
        self.clocks = super::state::integers(from, &self.embedding.entry("adam.clocks."), self.rows())?;
        Ok(())
    }
}
