//! What a tape's gradient is the gradient of.

use super::block::Block;
use super::kernels::LossParams;
use super::launch::Launch;
use super::real::Real;
use super::tape::{Tape, Value};
use crate::Error;

/// See [`Tape::loss`].
#[derive(Debug)]
pub(crate) struct Loss {
    pub x: Value,
    pub weights: Value,
    pub slot: usize,
}

impl Tape {
    /// Adds the sum of weights (rows, 1) times x (rows, 1) to the loss; gives the place of this sum among the losses.
    pub fn loss(&mut self, x: Value, weights: Value) -> usize {
        assert!(self.columns_of(x) == 1 && self.columns_of(weights) == 1, "a loss has one column");
        self.operations.push(super::Operation::Loss(Loss { x, weights, slot: self.losses }));
        self.losses += 1;
        self.losses - 1
    }
}

impl Loss {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let sum = loss(block.data(self.x), block.data(self.weights));
        block.work.losses[self.slot] += sum;
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_x = block.take_gradient(self.x);
        if let Some(d_x) = &mut d_x {
            super::linear::add(block.data(self.weights), d_x);
        }
        block.put_gradient(d_x);
    }
}

/// The sum of weights times x; a weight of zero leaves its row out, whatever stands there.
fn loss<T: Real>(x: &[T], weights: &[T]) -> f64 {
    let rows = x.iter().zip(weights).filter(|(_, weight)| **weight != T::ZERO);
    rows.map(|(x, weight)| x.f64() * weight.f64()).sum()
}

impl Loss {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let params = LossParams { rows: on.rows(self.x) as u32, slot: self.slot as u32 };
        let sums = on.buffers.losses.buffer().clone();
        on.pass.dispatch(&k.loss, &params, &[&on.data(self.x), &on.data(self.weights), &sums], 1)
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let weights = on.data(self.weights);
        on.add(&weights, self.x)
    }
}
