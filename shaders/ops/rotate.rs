//! Rotary encoding (Su et al. 2021): pairs of columns turned by angles of the row's time or place, so that products of
//! queries and keys depend on differences alone.

use super::block::Block;
use super::kernels::{RotateGradientParams, RotateParams};
use super::launch::Launch;
use super::launch::groups;
use super::real::Real;
use super::tape::{Tape, Value};
use crate::Error;

/// See [`Tape::rotate`].
#[derive(Debug)]
pub(crate) struct Rotate {
    pub x: Value,
    pub angles: Value,
    pub y: Value,
}

impl Tape {
    /// Turns the first columns of x (rows, columns), pair by pair, by `angles` (rows, sine and cosine of each pair); the
    /// other columns stay. No gradient flows into the angles.
    pub fn rotate(&mut self, x: Value, angles: Value) -> Value {
        let columns = self.columns_of(x);
        assert!(self.columns_of(angles) <= columns, "more angles than columns");
        let y = self.result(self.axis_of(x), columns, &[x]);
        self.operations.push(super::Operation::Rotate(Rotate { x, angles, y }));
        y
    }
}

impl Rotate {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        rotate(
            block.data(self.x),
            block.columns(self.x),
            (block.data(self.angles), block.columns(self.angles)),
            &mut y,
        );
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_x = block.take_gradient(self.x);
        if let Some(d_x) = &mut d_x {
            let angles = (block.data(self.angles), block.columns(self.angles));
            rotate_gradient(block.gradient(self.y), block.columns(self.x), angles, d_x);
        }
        block.put_gradient(d_x);
    }
}

fn rotate<T: Real>(x: &[T], columns: usize, (angles, width): (&[T], usize), y: &mut [T]) {
    y.copy_from_slice(x);
    for (y, angles) in y.chunks_exact_mut(columns).zip(angles.chunks_exact(width)) {
        for (pair, angle) in y.chunks_exact_mut(2).zip(angles.chunks_exact(2)) {
            let (sin, cos) = (angle[0], angle[1]);
            (pair[0], pair[1]) = (cos * pair[0] - sin * pair[1], sin * pair[0] + cos * pair[1]);
        }
    }
}

/// d_x += d_y, turned back.
fn rotate_gradient<T: Real>(d_y: &[T], columns: usize, (angles, width): (&[T], usize), d_x: &mut [T]) {
    let rows = d_y.chunks_exact(columns).zip(angles.chunks_exact(width));
    for ((d_y, angles), d_x) in rows.zip(d_x.chunks_exact_mut(columns)) {
        for ((pair, angle), d_x) in d_y.chunks_exact(2).zip(angles.chunks_exact(2)).zip(d_x.chunks_exact_mut(2)) {
            let (sin, cos) = (angle[0], angle[1]);
            d_x[0] += cos * pair[0] + sin * pair[1];
            d_x[1] += cos * pair[1] - sin * pair[0];
        }
        super::linear::add(&d_y[width..], &mut d_x[width..]);
    }
}

impl Rotate {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (len, columns, width) = (on.len(self.y), on.columns(self.y), on.columns(self.angles));
        let params = RotateParams { len: len as u32, columns: columns as u32, width: width as u32 };
        let buffers = [&on.data(self.x), &on.data(self.angles), &on.data(self.y)];
        on.pass.dispatch(&k.rotate, &params, &buffers, groups(len))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.x.trained {
            return Ok(());
        }
        let k = on.kernels;
        let (len, columns, width) = (on.len(self.y), on.columns(self.y), on.columns(self.angles));
        let params = RotateGradientParams { len: len as u32, columns: columns as u32, width: width as u32 };
        let buffers = [&on.gradient(self.y), &on.data(self.angles), &on.gradient(self.x)];
        on.pass.dispatch(&k.rotate_gradient, &params, &buffers, groups(len))
    }
}
