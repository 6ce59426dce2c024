//! A coarse row added to each of its fine rows, and fine rows summed to their coarse one.

use std::ops::Range;

use super::block::Block;
use super::kernels::{ExpandParams, SegmentParams, WeightedSumGradientParams, WeightedSumParams};
use super::launch::{Launch, groups};
use super::linear::add;
use super::real::Real;
use super::tape::{Axis, Tape, Value};
use crate::Error;

/// Which coarse row a fine row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The one row of a table.
    Table,
    /// Its sequence's row.
    Sequence,
    /// So many neighbors share a row.
    Group(usize),
}

/// See [`Tape::expand`].
#[derive(Debug)]
pub(crate) struct Expand {
    pub x: Value,
    pub coarse: Value,
    pub owner: Owner,
    pub y: Value,
}

impl Tape {
    /// y = x + the row of `coarse` that owns the row.
    pub fn expand(&mut self, x: Value, coarse: Value, owner: Owner) -> Value {
        let columns = self.columns_of(x);
        assert_eq!(self.columns_of(coarse), columns, "columns of both");
        if owner == Owner::Table {
            assert_eq!(self.rows_in(coarse), 1, "rows of the table");
        }
        let y = self.result(self.axis_of(x), columns, &[x, coarse]);
        self.operations.push(super::Operation::Expand(Expand { x, coarse, owner, y }));
        y
    }

    /// y[i] = sum over the i-th `group` neighbors of weights (rows, 1) times x; `axis` has as many rows as groups.
    pub fn weighted_sum(&mut self, x: Value, weights: Value, group: usize, axis: Axis) -> Value {
        assert_eq!(self.columns_of(weights), 1, "columns of weights");
        let y = self.result(axis, self.columns_of(x), &[x, weights]);
        self.operations.push(super::Operation::WeightedSum(WeightedSum { x, weights, group, y }));
        y
    }
}

impl Expand {
    /// The fine rows of coarse row `n` of the block.
    fn owned<T: Real>(&self, block: &Block<'_, T>, n: usize) -> Range<usize> {
        match self.owner {
            Owner::Table => 0..block.rows(block.axis(self.x)),
            Owner::Sequence => block.segment(block.axis(self.x), n),
            Owner::Group(size) => n * size..(n + 1) * size,
        }
    }

    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let columns = block.columns(self.y);
        y.copy_from_slice(block.data(self.x));
        for (n, coarse) in block.data(self.coarse).chunks_exact(columns).enumerate() {
            let rows = self.owned(block, n);
            expand(coarse, &mut y[rows.start * columns..rows.end * columns]);
        }
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let columns = block.columns(self.y);
        let mut d_x = block.take_gradient(self.x);
        let mut d_coarse = block.take_gradient(self.coarse);
        let d_y = block.gradient(self.y);
        if let Some(d_x) = &mut d_x {
            add(d_y, d_x);
        }
        if let Some(d_coarse) = &mut d_coarse {
            for (n, coarse) in d_coarse.chunks_exact_mut(columns).enumerate() {
                let rows = self.owned(block, n);
                let rows = &d_y[rows.start * columns..rows.end * columns];
                rows.chunks_exact(columns).for_each(|row| add(row, coarse));
            }
        }
        block.put_gradient(d_x);
        block.put_gradient(d_coarse);
    }
}

/// Adds the coarse row to each of its fine rows.
fn expand<T: Real>(coarse: &[T], rows: &mut [T]) {
    rows.chunks_exact_mut(coarse.len()).for_each(|row| add(coarse, row));
}

/// See [`Tape::weighted_sum`].
#[derive(Debug)]
pub(crate) struct WeightedSum {
    pub x: Value,
    pub weights: Value,
    pub group: usize,
    pub y: Value,
}

impl WeightedSum {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        weighted_sum(block.data(self.x), block.data(self.weights), self.group, block.columns(self.y), &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let columns = block.columns(self.y);
        let mut d_x = block.take_gradient(self.x);
        let mut d_weights = block.take_gradient(self.weights);
        let (d_y, x, weights) = (block.gradient(self.y), block.data(self.x), block.data(self.weights));
        let targets = (d_x.as_deref_mut(), d_weights.as_deref_mut());
        weighted_sum_gradient(d_y, x, weights, (self.group, columns), targets);
        block.put_gradient(d_x);
        block.put_gradient(d_weights);
    }
}

fn weighted_sum<T: Real>(x: &[T], weights: &[T], group: usize, columns: usize, y: &mut [T]) {
    let groups = x.chunks_exact(group * columns).zip(weights.chunks_exact(group));
    for (y, (rows, weights)) in y.chunks_exact_mut(columns).zip(groups) {
        y.fill(T::ZERO);
        for (row, &weight) in rows.chunks_exact(columns).zip(weights) {
            y.iter_mut().zip(row).for_each(|(y, &x)| *y += weight * x);
        }
    }
}

/// d_x += weight d_y; d_weight += x . d_y.
fn weighted_sum_gradient<T: Real>(
    d_y: &[T],
    x: &[T],
    weights: &[T],
    (group, columns): (usize, usize),
    (mut d_x, mut d_weights): (Option<&mut [T]>, Option<&mut [T]>),
) {
    for i in 0..weights.len() {
        let d_y = &d_y[i / group * columns..][..columns];
        if let Some(d_x) = &mut d_x {
            let row = &mut d_x[i * columns..][..columns];
            row.iter_mut().zip(d_y).for_each(|(d_x, &d_y)| *d_x += weights[i] * d_y);
        }
        if let Some(d_weights) = &mut d_weights {
            d_weights[i] += x[i * columns..][..columns].iter().zip(d_y).map(|(&x, &d_y)| x * d_y).sum();
        }
    }
}

impl Expand {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (group, owners) = self.owner(on);
        let len = on.len(self.y);
        let params = ExpandParams { len: len as u32, columns: on.columns(self.y) as u32, group };
        let buffers = [&on.data(self.x), &on.data(self.coarse), &owners, &on.data(self.y)];
        on.pass.dispatch(&k.expand, &params, &buffers, groups(len))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let d_y = on.gradient(self.y);
        on.add(&d_y, self.x)?;
        if !self.coarse.trained {
            return Ok(());
        }
        let (rows, columns) = (on.rows(self.x), on.columns(self.x));
        let (group, offsets) = match self.owner {
            Owner::Table => {
                return on.weight_gradient(None, &d_y, (rows, columns), None, Some(self.coarse));
            }
            Owner::Group(size) => (size as u32, on.nothing()),
            Owner::Sequence => {
                let axis = on.axis(self.x).expect("rows of sequences");
                (0, on.buffers.offsets[axis].buffer().clone())
            }
        };
        let params = SegmentParams {
            rows: on.rows(self.coarse) as u32,
            columns: columns as u32,
            group,
            has_counts: 0,
            mean: 0,
            accumulate: 1,
        };
        let buffers = [&d_y, &offsets, &on.nothing(), &on.gradient(self.coarse)];
        on.pass.dispatch(&on.kernels.segment, &params, &buffers, groups(on.len(self.coarse)))
    }

    fn owner(&self, on: &Launch<'_>) -> (u32, wgpu::Buffer) {
        match self.owner {
            Owner::Table => (u32::MAX, on.nothing()),
            Owner::Group(size) => (size as u32, on.nothing()),
            Owner::Sequence => {
                let axis = on.axis(self.x).expect("rows of sequences");
                (0, on.buffers.owners[axis].buffer().clone())
            }
        }
    }
}

impl WeightedSum {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (rows, columns) = (on.rows(self.y) as u32, on.columns(self.y) as u32);
        let params = WeightedSumParams { rows, columns, group: self.group as u32 };
        let buffers = [&on.data(self.x), &on.data(self.weights), &on.data(self.y)];
        on.pass.dispatch(&k.weighted_sum, &params, &buffers, groups(on.len(self.y)))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let rows = on.rows(self.x);
        let params = WeightedSumGradientParams {
            rows: rows as u32,
            columns: on.columns(self.x) as u32,
            group: self.group as u32,
            of_x: self.x.trained.into(),
            of_weights: self.weights.trained.into(),
        };
        let spare = [on.packed(0, 1)?, on.packed(1, 1)?];
        let d_x = if self.x.trained { on.gradient(self.x) } else { spare[0].clone() };
        let d_weights = if self.weights.trained { on.gradient(self.weights) } else { spare[1].clone() };
        let d_y = on.gradient(self.y);
        let buffers = [&d_y, &on.data(self.x), &on.data(self.weights), &d_x, &d_weights];
        on.pass.dispatch(&k.weighted_sum_gradient, &params, &buffers, groups(rows))
    }
}
