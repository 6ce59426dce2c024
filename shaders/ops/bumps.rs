//! A number as smooth features of it.

use super::block::Block;
use super::kernels::BumpsParams;
use super::launch::{Launch, groups};
use super::real::Real;
use super::tape::{Tape, Value};
use super::vectorized::vectorized;
use crate::Error;

/// See [`Tape::bumps`].
#[derive(Debug)]
pub(crate) struct Bumps {
    pub x: Value,
    pub y: Value,
}

/// Columns of [`Tape::bumps`].
pub const BUMPS: usize = 14;

impl Tape {
    /// x / 3 and thirteen bumps e^(-2 (x - c)^2), c = -3, -2.5, ... 3, of a column x (rows, 1). No gradient.
    pub fn bumps(&mut self, x: Value) -> Value {
        let y = self.result(self.axis_of(x), BUMPS, &[]);
        self.operations.push(super::Operation::Bumps(Bumps { x, y }));
        y
    }
}

impl Bumps {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        bumps(block.data(self.x), &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, _block: &mut Block<'_, T>) {}
}

vectorized! {
    fn bumps<T, I>(x: &[T], y: &mut [T]) {
        for (&x, y) in x.iter().zip(y.chunks_exact_mut(BUMPS)) {
            // Beyond the last bump its height stays.
            let limit = T::of(3.5);
            let near = if x > limit { limit } else if x < -limit { -limit } else { x };
            y[0] = x * T::of(1.0 / 3.0);
            for (n, y) in y[1..].iter_mut().enumerate() {
                let off = near - T::of(0.5 * n as f64 - 3.0);
                *y = (T::of(-2.0) * off * off).fast_exp::<I>();
            }
        }
    }
}

impl Bumps {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let params = BumpsParams { rows: on.rows(self.y) as u32 };
        let buffers = [&on.data(self.x), &on.data(self.y)];
        on.pass.dispatch(&k.bumps, &params, &buffers, groups(on.len(self.y)))
    }

    pub fn launch_gradient(&self, _place: usize, _on: &mut Launch<'_>) -> Result<(), Error> {
        Ok(())
    }
}
