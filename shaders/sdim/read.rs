//! What a user's buckets say of candidates: the twin of `bucket_read.wgsl`, and the sums of a window without a kept table.

use super::cpu::{row_scale, scale_row, vectorized};
use super::{Config, Shape};
use crate::Error;

/// The items of a user's window; items without a vector are left out by the caller.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// (items) Each item's vector, (dim), as [`quantize`](fn@super::quantize) makes it.
    pub vectors: &'a [&'a [i16]],
    /// (items, words) Each item's signature, as [`Sdim::simhash`](super::Sdim::simhash) gives it.
    pub signatures: &'a [u64],
}

impl Window<'_> {
    /// # Errors
    /// [`Error::Shape`] that names the misfit.
    pub(super) fn check(&self, shape: &Shape) -> Result<(), Error> {
        let (items, words) = (self.vectors.len(), shape.signature_words());
        if items > super::WINDOW_MAX {
            return Err(Error::Shape(format!("a window of {items} items, but it may have {}", super::WINDOW_MAX)));
        }
        if self.signatures.len() != items * words {
            let found = self.signatures.len();
            return Err(Error::Shape(format!("{items} items need as many signatures of {words} words, not {found}")));
        }
        if let Some(vector) = self.vectors.iter().find(|vector| vector.len() != shape.dim) {
            let (found, dim) = (vector.len(), shape.dim);
            return Err(Error::Shape(format!("an item vector has {found} components, not {dim}")));
        }
        Ok(())
    }
}

/// Reads one user's buckets; its memory is kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// (candidates, groups) Where the bucket's units stand.
    rows: Vec<u32>,
    /// The rows of the table that are asked for, each once.
    asked: Vec<u32>,
    /// (rows of a table) One more than the row's place in `asked`; 0 where it is not asked for.
    places: Vec<u32>,
    /// (asked, dim) Rows of length 1, in units of 2^-24.
    units: Vec<i32>,
    /// (asked) How many items lie in the bucket, where a window is summed.
    counts: Vec<u32>,
}

impl Reader {
    /// Finds the buckets that candidates with `signatures` ask for.
    pub fn begin(&mut self, shape: &Shape, signatures: &[u64]) {
        let (groups, words) = (shape.groups(), shape.signature_words());
        self.rows.clear();
        self.rows.reserve(signatures.len() / words * groups);
        for signature in signatures.chunks_exact(words) {
            self.rows
                .extend((0..groups).map(|group| (group * shape.buckets() + shape.bucket_of(signature, group)) as u32));
        }
        self.places.clear();
        self.places.resize(shape.rows(), 0);
        self.asked.clear();
        for row in &mut self.rows {
            let place = &mut self.places[*row as usize];
            if *place == 0 {
                self.asked.push(*row);
                *place = self.asked.len() as u32;
            }
            *row = *place - 1;
        }
    }

    /// The rows of the table that are asked for, and (candidates, groups) which of them each candidate asks for.
    pub fn asked(&self) -> (&[u32], &[u32]) {
        (&self.asked, &self.rows)
    }

    /// Takes the buckets from a table: sums (groups, buckets, dim) and counts (groups, buckets), or nothing.
    pub fn take_table(&mut self, config: &Config, (sums, counts): (&[i32], &[u32])) {
        let dim = config.dim;
        self.units.resize(self.asked.len() * dim, 0);
        for (units, &row) in self.units.chunks_exact_mut(dim).zip(&self.asked) {
            let row = row as usize;
            let count = counts.get(row).copied().unwrap_or(0);
            let sums = if count == 0 { &[] } else { &sums[row * dim..][..dim] };
            match row_scale(sums, count) {
                Some(scale) => scale_row(sums, scale, units),
                None => units.fill(0),
            }
        }
    }

    /// Sums the buckets from a window that was checked.
    pub fn take_window(&mut self, shape: &Shape, window: &Window<'_>) {
        let dim = shape.dim;
        self.units.clear();
        self.units.resize(self.asked.len() * dim, 0);
        self.counts.clear();
        self.counts.resize(self.asked.len(), 0);
        fold_asked(shape, window, &self.places, &mut self.units, &mut self.counts);
        let mut sums = vec![0; dim];
        for (units, &count) in self.units.chunks_exact_mut(dim).zip(&self.counts) {
            sums.copy_from_slice(units);
            match row_scale(&sums, count) {
                Some(scale) => scale_row(&sums, scale, units),
                None => units.fill(0),
            }
        }
    }

    /// Fills `reads` (candidates, dim).
    pub fn read(&self, config: &Config, reads: &mut Vec<f32>) {
        reads.resize(self.rows.len() / config.groups() * config.dim, 0.0);
        bucket_read(config.dim, config.groups(), &self.rows, &self.units, reads);
    }
}

/// The mean of `groups` rows of length 1 is so many times the sum of their units.
pub(super) fn mean_of(groups: usize) -> f32 {
    1.0 / (groups as f32 * 16_777_216.0)
}

/// Columns that are summed in registers.
const COLUMNS: usize = 64;

vectorized! {
    /// Each candidate's mean (candidates, dim) of the rows (asked, dim) that it asks for (candidates, groups).
    fn bucket_read(dim: usize, groups: usize, rows: &[u32], units: &[i32], reads: &mut [f32]) {
        let mean = mean_of(groups);
        for (rows, reads) in rows.chunks_exact(groups).zip(reads.chunks_exact_mut(dim)) {
            let (blocks, rest) = reads.as_chunks_mut::<COLUMNS>();
            let whole = blocks.len() * COLUMNS;
            for (block, reads) in blocks.iter_mut().enumerate() {
                let mut sums = [0; COLUMNS];
                for &row in rows {
                    let units: &[i32; COLUMNS] = units[row as usize * dim + block * COLUMNS..].first_chunk().expect("a row");
                    for (sum, &units) in sums.iter_mut().zip(units) {
                        *sum += units;
                    }
                }
                for (read, sum) in reads.iter_mut().zip(sums) {
                    *read = sum as f32 * mean;
                }
            }
            for (column, read) in (whole..).zip(rest) {
                let sum: i32 = rows.iter().map(|&row| units[row as usize * dim + column]).sum();
                *read = sum as f32 * mean;
            }
        }
    }
}

vectorized! {
    /// Adds the items of `window` to those of their buckets that have a place: sums (asked, dim), counts (asked).
    fn fold_asked(shape: &Shape, window: &Window<'_>, places: &[u32], sums: &mut [i32], counts: &mut [u32]) {
        let items = window.vectors.iter().zip(window.signatures.chunks_exact(shape.signature_words()));
        for (vector, signature) in items {
            for group in 0..shape.groups() {
                let place = places[group * shape.buckets() + shape.bucket_of(signature, group)] as usize;
                if place > 0 {
                    counts[place - 1] += 1;
                    let sums = &mut sums[(place - 1) * shape.dim..][..shape.dim];
                    sums.iter_mut().zip(*vector).for_each(|(sum, &x)| *sum += i32::from(x));
                }
            }
        }
    }
}
