//! Softmax of rows, and the cross entropy of a class under it.

use super::block::Block;
use super::kernels::{CrossEntropyGradientParams, CrossEntropyParams, SoftmaxGradientParams, SoftmaxParams};
use super::launch::Launch;
use super::launch::groups;
use super::real::{Real, larger};
use super::tape::{Ids, Tape, Value};
use super::vectorized::{Isa, vectorized};
use crate::Error;

/// See [`Tape::softmax`].
#[derive(Debug)]
pub(crate) struct Softmax {
    pub x: Value,
    pub y: Value,
}

/// See [`Tape::cross_entropy`].
#[derive(Debug)]
pub(crate) struct CrossEntropy {
    pub logits: Value,
    pub classes: Ids,
    pub y: Value,
}

impl Tape {
    /// e^x / sum of e^x, by row.
    pub fn softmax(&mut self, x: Value) -> Value {
        let y = self.result(self.axis_of(x), self.columns_of(x), &[x]);
        self.operations.push(super::Operation::Softmax(Softmax { x, y }));
        y
    }

    /// -ln softmax(logits)[class], by row: (rows, 1).
    pub fn cross_entropy(&mut self, logits: Value, classes: Ids) -> Value {
        let y = self.result(self.axis_of(logits), 1, &[logits]);
        self.operations.push(super::Operation::CrossEntropy(CrossEntropy { logits, classes, y }));
        y
    }
}

impl Softmax {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        softmax(block.data(self.x), block.columns(self.y), &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_x = block.take_gradient(self.x);
        if let Some(d_x) = &mut d_x {
            let columns = block.columns(self.y);
            softmax_gradient(block.data(self.y), block.gradient(self.y), columns, d_x);
        }
        block.put_gradient(d_x);
    }
}

impl CrossEntropy {
    pub fn forward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let columns = block.columns(self.logits);
        let mut shares = block.take_saved(place, y.len() * columns);
        softmax(block.data(self.logits), columns, &mut shares);
        cross_entropy(block.data(self.logits), columns, block.ids(self.classes), &mut y);
        block.put(self.y, y);
        block.work.saved[place] = shares;
    }

    pub fn backward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let columns = block.columns(self.logits);
        let mut d_logits = block.take_gradient(self.logits);
        if let Some(d_logits) = &mut d_logits {
            let shares = &block.work.saved[place];
            cross_entropy_gradient(block.gradient(self.y), shares, block.ids(self.classes), columns, d_logits);
        }
        block.put_gradient(d_logits);
    }
}

vectorized! {
    fn softmax<T, I>(x: &[T], columns: usize, y: &mut [T]) {
        for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
            softmax_row::<T, I>(x, y);
        }
    }
}

/// y = softmax(x).
#[inline(always)]
pub(crate) fn softmax_row<T: Real, I: Isa>(x: &[T], y: &mut [T]) {
    let most = x.iter().copied().fold(x[0], larger);
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - most).fast_exp::<I>());
    let total = y.iter().copied().fold(T::ZERO, |total, y| total + y);
    let inverse = T::ONE / total;
    y.iter_mut().for_each(|y| *y *= inverse);
}

/// d_x += y (d_y - y . d_y).
fn softmax_gradient<T: Real>(y: &[T], d_y: &[T], columns: usize, d_x: &mut [T]) {
    let rows = y.chunks_exact(columns).zip(d_y.chunks_exact(columns));
    for ((y, d_y), d_x) in rows.zip(d_x.chunks_exact_mut(columns)) {
        let along: T = y.iter().zip(d_y).map(|(&y, &d_y)| y * d_y).sum();
        d_x.iter_mut().zip(y.iter().zip(d_y)).for_each(|(d_x, (&y, &d_y))| *d_x += y * (d_y - along));
    }
}

/// d_logits += d_y (share - 1 of the class).
fn cross_entropy_gradient<T: Real>(d_y: &[T], shares: &[T], classes: &[u32], columns: usize, d_logits: &mut [T]) {
    let rows = d_y.iter().zip(classes).zip(shares.chunks_exact(columns));
    for (((&d_y, &class), shares), d_logits) in rows.zip(d_logits.chunks_exact_mut(columns)) {
        d_logits.iter_mut().zip(shares).for_each(|(d_logit, &share)| *d_logit += d_y * share);
        d_logits[class as usize] -= d_y;
    }
}

vectorized! {
    fn cross_entropy<T, I>(logits: &[T], columns: usize, classes: &[u32], y: &mut [T]) {
        for ((logits, &class), y) in logits.chunks_exact(columns).zip(classes).zip(y) {
            let most = logits.iter().copied().fold(logits[0], larger);
            let total = logits.iter().map(|&x| (x - most).fast_exp::<I>()).fold(T::ZERO, |total, y| total + y);
            *y = most + total.fast_ln::<I>() - logits[class as usize];
        }
    }
}

impl Softmax {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let params = SoftmaxParams { rows: on.rows(self.y) as u32, columns: on.columns(self.y) as u32 };
        let buffers = [&on.data(self.x), &on.data(self.y)];
        on.pass.dispatch(&k.softmax, &params, &buffers, groups(on.rows(self.y)))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.x.trained {
            return Ok(());
        }
        let k = on.kernels;
        let params = SoftmaxGradientParams { rows: on.rows(self.y) as u32, columns: on.columns(self.y) as u32 };
        let buffers = [&on.data(self.y), &on.gradient(self.y), &on.gradient(self.x)];
        on.pass.dispatch(&k.softmax_gradient, &params, &buffers, groups(on.rows(self.y)))
    }
}

impl CrossEntropy {
    pub fn launch(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (rows, columns) = (on.rows(self.y), on.columns(self.logits));
        let shares = on.saved(place, rows * columns)?;
        let params = CrossEntropyParams { rows: rows as u32, columns: columns as u32 };
        let buffers = [&on.data(self.logits), &on.ids(self.classes), &on.data(self.y), &shares];
        on.pass.dispatch(&k.cross_entropy, &params, &buffers, groups(rows))
    }

    pub fn launch_gradient(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.logits.trained {
            return Ok(());
        }
        let k = on.kernels;
        let (len, columns) = (on.len(self.logits), on.columns(self.logits));
        let shares = on.saved(place, len)?;
        let params = CrossEntropyGradientParams { len: len as u32, columns: columns as u32 };
        let (d_y, d_logits) = (on.gradient(self.y), on.gradient(self.logits));
        let buffers = [&d_y, &shares, &on.ids(self.classes), &d_logits];
        on.pass.dispatch(&k.cross_entropy_gradient, &params, &buffers, groups(len))
    }
}
