//! A block: a few whole sequences on which the CPU runs the tape from end to end, so that all it touches stays in the
//! core's cache.

use std::ops::{Deref, DerefMut, Range};

use super::tape::{Axis, Feed, Ids, Storage, Tape, Value};

/// Memory of a thread's current block, kept from block to block. All vectors are indexed as the tape's lists.
#[derive(Debug, Default)]
pub(crate) struct Work<T> {
    pub data: Vec<Vec<T>>,
    /// Of tables, the sum over all blocks so far; of rows, this block's.
    pub gradients: Vec<Vec<T>>,
    pub ids: Vec<Vec<u32>>,
    /// Per operation: what its backward needs.
    pub saved: Vec<Vec<T>>,
    pub scratch: Vec<Vec<T>>,
    pub losses: Vec<f64>,
}

impl<T: Clone> Work<T> {
    pub fn new(tape: &Tape) -> Work<T> {
        Work {
            data: vec![Vec::new(); tape.values.len()],
            gradients: vec![Vec::new(); tape.values.len()],
            ids: vec![Vec::new(); tape.ids.len()],
            saved: vec![Vec::new(); tape.operations.len()],
            scratch: Vec::new(),
            losses: vec![0.0; tape.losses],
        }
    }
}

/// What all blocks read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a, T> {
    pub tape: &'a Tape,
    pub feed: &'a Feed<T>,
    /// The flat buffer of parameters.
    pub parameters: &'a [T],
    /// Tables that were computed from parameters, by value; none while they are being computed.
    pub tables: Option<&'a [Vec<T>]>,
    /// Per linear operation: the transpose of its weights.
    pub transposes: &'a [Vec<T>],
}

/// Sequences `sequences` of the feed and the memory to work on them.
#[derive(Debug)]
pub(crate) struct Block<'a, T> {
    pub shared: Shared<'a, T>,
    pub sequences: Range<usize>,
    pub work: &'a mut Work<T>,
}

/// A gradient taken out of its block while an operation adds to it.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    whole: Vec<T>,
    range: Range<usize>,
    place: usize,
}

impl<T> Deref for Taken<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.whole[self.range.clone()]
    }
}

impl<T> DerefMut for Taken<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.whole[self.range.clone()]
    }
}

impl<'a, T: super::real::Real> Block<'a, T> {
    /// How many rows of the axis the block has.
    pub fn rows(&self, axis: Axis) -> usize {
        self.span(axis).len()
    }

    /// The block's rows of the axis among all.
    pub fn span(&self, axis: Axis) -> Range<usize> {
        match axis {
            Axis::Table(rows) => 0..rows,
            Axis::Ragged(axis) => {
                let offsets = &self.shared.feed.offsets[axis];
                offsets[self.sequences.start] as usize..offsets[self.sequences.end] as usize
            }
        }
    }

    /// The rows of the `n`-th sequence of this block, counted from the block's first row of that axis.
    pub fn segment(&self, axis: Axis, n: usize) -> Range<usize> {
        let Axis::Ragged(axis) = axis else { panic!("a table has no sequences") };
        let offsets = &self.shared.feed.offsets[axis][self.sequences.start..];
        (offsets[n] - offsets[0]) as usize..(offsets[n + 1] - offsets[0]) as usize
    }

    pub fn columns(&self, value: Value) -> usize {
        self.shared.tape.values[value.index].columns
    }

    pub fn axis(&self, value: Value) -> Axis {
        self.shared.tape.values[value.index].axis
    }

    /// The value's numbers (the block's rows, columns).
    pub fn data(&self, value: Value) -> &[T] {
        self.data_of(value.index)
    }

    fn data_of(&self, index: usize) -> &[T] {
        let spec = &self.shared.tape.values[index];
        let rows = self.span(spec.axis);
        match spec.storage {
            Storage::Tensor { offset } => &self.shared.parameters[offset..][..rows.len() * spec.columns],
            Storage::View { base, row } => &self.data_of(base)[row * spec.columns..][..rows.len() * spec.columns],
            Storage::Input { slot } => {
                &self.shared.feed.floats[slot][rows.start * spec.columns..rows.end * spec.columns]
            }
            Storage::Computed => match (spec.axis, self.shared.tables) {
                (Axis::Table(_), Some(tables)) => &tables[index],
                _ => &self.work.data[index],
            },
        }
    }

    /// Memory for a result, of its length; what stands in it is left over.
    pub fn take(&mut self, value: Value) -> Vec<T> {
        let len = self.rows(self.axis(value)) * self.columns(value);
        let mut data = std::mem::take(&mut self.work.data[value.index]);
        data.resize(len, T::ZERO);
        data
    }

    pub fn put(&mut self, value: Value, data: Vec<T>) {
        self.work.data[value.index] = data;
    }

    /// The gradient of a result.
    pub fn gradient(&self, value: Value) -> &[T] {
        &self.work.gradients[value.index]
    }

    /// The gradient of an argument, to be added to; none where no gradient flows.
    pub fn take_gradient(&mut self, value: Value) -> Option<Taken<T>> {
        if !value.trained {
            return None;
        }
        let spec = &self.shared.tape.values[value.index];
        let len = self.rows(spec.axis) * spec.columns;
        let (place, start) = match spec.storage {
            Storage::View { base, row } => (base, row * spec.columns),
            _ => (value.index, 0),
        };
        Some(Taken { whole: std::mem::take(&mut self.work.gradients[place]), range: start..start + len, place })
    }

    pub fn put_gradient(&mut self, taken: Option<Taken<T>>) {
        if let Some(taken) = taken {
            self.work.gradients[taken.place] = taken.whole;
        }
    }

    /// The indexes (the block's rows, columns).
    pub fn ids(&self, ids: Ids) -> &[u32] {
        let spec = &self.shared.tape.ids[ids.index];
        let rows = self.span(spec.axis);
        match spec.slot {
            Some(slot) => &self.shared.feed.ids[slot][rows.start * spec.columns..rows.end * spec.columns],
            None => &self.work.ids[ids.index],
        }
    }

    /// What the operation at `place` keeps for its backward, of length `len`; what stands in it is left over.
    pub fn take_saved(&mut self, place: usize, len: usize) -> Vec<T> {
        let mut saved = std::mem::take(&mut self.work.saved[place]);
        saved.resize(len, T::ZERO);
        saved
    }

    pub fn take_scratch(&mut self) -> Vec<T> {
        self.work.scratch.pop().unwrap_or_default()
    }

    pub fn put_scratch(&mut self, scratch: Vec<T>) {
        self.work.scratch.push(scratch);
    }
}
