//! Products of numbers, element by element: of two values of the same rows, or of each row and one row or one number.

use super::block::Block;
use super::kernels::MultiplyParams;
use super::launch::{Launch, groups};
use super::real::{Real, madd};
use super::tape::{Axis, Tape, Value};
use super::vectorized::vectorized;
use crate::Error;

/// See [`Tape::multiply`].
#[derive(Debug)]
pub(crate) struct Multiply {
    pub x: Value,
    pub factor: Value,
    pub y: Value,
}

/// How far apart the rows of a matrix are, and its columns: 0 where there is one for all.
type Strides = (usize, usize);

impl Tape {
    /// x times `factor`. The factor has x's rows, and then the narrower of the two meets the other's first columns; or it
    /// is a table of one row, as wide as x or a single number.
    pub fn multiply(&mut self, x: Value, factor: Value) -> Value {
        let (of_x, of_factor) = (self.columns_of(x), self.columns_of(factor));
        let columns = match self.axis_of(factor) {
            axis if axis == self.axis_of(x) => of_x.min(of_factor),
            Axis::Table(1) if of_factor == of_x || of_factor == 1 => of_x,
            axis => panic!("a factor of {of_factor} columns on {axis:?} for {of_x} columns on {:?}", self.axis_of(x)),
        };
        let y = self.result(self.axis_of(x), columns, &[x, factor]);
        self.operations.push(super::Operation::Multiply(Multiply { x, factor, y }));
        y
    }

    /// Whether the factor has rows of its own for those of x.
    fn factor_strides(&self, multiply: &Multiply) -> Strides {
        let columns = self.columns_of(multiply.factor);
        if self.axis_of(multiply.factor) == self.axis_of(multiply.x) {
            (columns, 1)
        } else {
            (0, usize::from(columns > 1))
        }
    }
}

impl Multiply {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let columns = block.columns(self.y);
        let strides = block.shared.tape.factor_strides(self);
        y.fill(T::ZERO);
        let x = (block.data(self.x), (block.columns(self.x), 1));
        multiply(x, (block.data(self.factor), strides), (&mut y, (columns, 1)), columns);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let (columns, of_x) = (block.columns(self.y), (block.columns(self.x), 1));
        let strides = block.shared.tape.factor_strides(self);
        let mut d_x = block.take_gradient(self.x);
        if let Some(d_x) = &mut d_x {
            let d_y = (block.gradient(self.y), (columns, 1));
            multiply(d_y, (block.data(self.factor), strides), (d_x, of_x), columns);
        }
        block.put_gradient(d_x);
        let mut d_factor = block.take_gradient(self.factor);
        if let Some(d_factor) = &mut d_factor {
            let d_y = (block.gradient(self.y), (columns, 1));
            multiply(d_y, (block.data(self.x), of_x), (d_factor, strides), columns);
        }
        block.put_gradient(d_factor);
    }
}

vectorized! {
    /// target += a b, over rows of `columns`; where the target's strides are 0, a sum.
    fn multiply<T, I>(a: (&[T], Strides), b: (&[T], Strides), target: (&mut [T], Strides), columns: usize) {
        let ((a, of_a), (b, of_b), (target, of_target)) = (a, b, target);
        for row in 0..a.len() / of_a.0 {
            let a = &a[row * of_a.0..][..columns];
            let b = &b[row * of_b.0..];
            let target = &mut target[row * of_target.0..];
            match (of_b.1, of_target.1) {
                (1, 1) => {
                    for ((target, &a), &b) in target[..columns].iter_mut().zip(a).zip(&b[..columns]) {
                        *target = madd::<T, I>(a, b, *target);
                    }
                }
                (0, 1) => {
                    for (target, &a) in target[..columns].iter_mut().zip(a) {
                        *target = madd::<T, I>(a, b[0], *target);
                    }
                }
                _ => {
                    for (&a, &b) in a.iter().zip(&b[..columns]) {
                        target[0] = madd::<T, I>(a, b, target[0]);
                    }
                }
            }
        }
    }
}

impl Multiply {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let columns = on.columns(self.y);
        let strides = on.tape.factor_strides(self);
        let (x, factor, y) = (on.data(self.x), on.data(self.factor), on.data(self.y));
        let of_x = (on.columns(self.x), 1);
        self.dispatch(on, (&x, of_x), (&factor, strides), (&y, columns, false))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (rows, columns, of_x) = (on.rows(self.y), on.columns(self.y), (on.columns(self.x), 1));
        let strides = on.tape.factor_strides(self);
        let (d_y, x, factor) = (on.gradient(self.y), on.data(self.x), on.data(self.factor));
        if self.x.trained {
            let d_x = on.gradient(self.x);
            self.dispatch(on, (&d_y, (columns, 1)), (&factor, strides), (&d_x, of_x.0, true))?;
        }
        if !self.factor.trained {
            return Ok(());
        }
        if strides.0 > 0 {
            let d_factor = on.gradient(self.factor);
            return self.dispatch(on, (&d_y, (columns, 1)), (&x, of_x), (&d_factor, strides.0, true));
        }
        let products = on.packed(0, rows * columns)?;
        self.dispatch(on, (&d_y, (columns, 1)), (&x, of_x), (&products, columns, false))?;
        let shape = if strides.1 > 0 { (rows, columns) } else { (rows * columns, 1) };
        on.weight_gradient(None, &products, shape, None, Some(self.factor))
    }

    /// The target, its rows so far apart, is written or added to.
    fn dispatch(
        &self,
        on: &mut Launch<'_>,
        (a, of_a): (&wgpu::Buffer, Strides),
        (b, of_b): (&wgpu::Buffer, Strides),
        (target, target_stride, accumulate): (&wgpu::Buffer, usize, bool),
    ) -> Result<(), Error> {
        let len = on.len(self.y);
        let params = MultiplyParams {
            len: len as u32,
            columns: on.columns(self.y) as u32,
            target_stride: target_stride as u32,
            a_stride: of_a.0 as u32,
            b_stride: of_b.0 as u32,
            b_step: of_b.1 as u32,
            accumulate: accumulate.into(),
        };
        on.pass.dispatch(&on.kernels.multiply, &params, &[a, b, target], groups(len))
    }
}
