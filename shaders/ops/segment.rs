//! The sum or the mean of each sequence's first rows.

use std::ops::Range;

use super::block::Block;
use super::kernels::{SegmentGradientParams, SegmentParams};
use super::launch::{Launch, groups};
use super::linear::add;
use super::real::Real;
use super::tape::{Axis, Ids, Tape, Value};
use crate::Error;

/// See [`Tape::segment`].
#[derive(Debug)]
pub(crate) struct Segment {
    pub x: Value,
    pub counts: Ids,
    pub mean: bool,
    pub y: Value,
}

impl Tape {
    /// Per sequence the sum or the mean of its first rows of x, as many as `counts` (per sequence) says; zero for none.
    /// `axis` has one row per sequence.
    pub fn segment(&mut self, x: Value, counts: Ids, mean: bool, axis: Axis) -> Value {
        let y = self.result(axis, self.columns_of(x), &[x]);
        self.operations.push(super::Operation::Segment(Segment { x, counts, mean, y }));
        y
    }
}

impl Segment {
    /// The rows that are summed for sequence `n` of the block, and what multiplies their sum.
    fn rows<T: Real>(&self, block: &Block<'_, T>, n: usize) -> (Range<usize>, T) {
        let rows = block.segment(block.axis(self.x), n);
        let count = (block.ids(self.counts)[n] as usize).min(rows.len());
        let scale = if self.mean && count > 0 { T::ONE / T::of(count as f64) } else { T::ONE };
        (rows.start..rows.start + count, scale)
    }

    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let columns = block.columns(self.y);
        for (n, y) in y.chunks_exact_mut(columns).enumerate() {
            let (rows, scale) = self.rows(block, n);
            segment(&block.data(self.x)[rows.start * columns..rows.end * columns], scale, y);
        }
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let columns = block.columns(self.y);
        let mut d_x = block.take_gradient(self.x);
        if let Some(d_x) = &mut d_x {
            for (n, d_y) in block.gradient(self.y).chunks_exact(columns).enumerate() {
                let (rows, scale) = self.rows(block, n);
                segment_gradient(d_y, scale, &mut d_x[rows.start * columns..rows.end * columns]);
            }
        }
        block.put_gradient(d_x);
    }
}

/// y = scale * sum of the rows of x.
fn segment<T: Real>(x: &[T], scale: T, y: &mut [T]) {
    y.fill(T::ZERO);
    x.chunks_exact(y.len()).for_each(|row| add(row, y));
    y.iter_mut().for_each(|y| *y *= scale);
}

/// Each row of d_x += scale * d_y.
fn segment_gradient<T: Real>(d_y: &[T], scale: T, d_x: &mut [T]) {
    for row in d_x.chunks_exact_mut(d_y.len()) {
        row.iter_mut().zip(d_y).for_each(|(d_x, &d_y)| *d_x += scale * d_y);
    }
}

impl Segment {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let axis = on.axis(self.x).expect("rows of sequences");
        let offsets = on.buffers.offsets[axis].buffer().clone();
        let params = SegmentParams {
            rows: on.rows(self.y) as u32,
            columns: on.columns(self.y) as u32,
            group: 0,
            has_counts: 1,
            mean: self.mean.into(),
            accumulate: 0,
        };
        let buffers = [&on.data(self.x), &offsets, &on.ids(self.counts), &on.data(self.y)];
        on.pass.dispatch(&k.segment, &params, &buffers, groups(on.len(self.y)))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.x.trained {
            return Ok(());
        }
        let k = on.kernels;
        let axis = on.axis(self.x).expect("rows of sequences");
        let (offsets, owners) = (&on.buffers.offsets[axis], &on.buffers.owners[axis]);
        let (offsets, owners) = (offsets.buffer().clone(), owners.buffer().clone());
        let len = on.len(self.x);
        let columns = on.columns(self.x) as u32;
        let params = SegmentGradientParams { len: len as u32, columns, mean: self.mean.into() };
        let (d_y, d_x) = (on.gradient(self.y), on.gradient(self.x));
        let buffers = [&d_y, &owners, &offsets, &on.ids(self.counts), &d_x];
        on.pass.dispatch(&k.segment_gradient, &params, &buffers, groups(len))
    }
}
