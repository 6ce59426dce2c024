//! y = x W + b + a: a weight matrix (inputs, outputs), a bias, and something of the same rows to be added.

use super::block::Block;
use super::kernels::{LinearInputGradientParams, LinearParams};
use super::launch::LINEAR_ROWS;
use super::launch::Launch;
use super::launch::groups;
use super::product::{Extent, Left, add_product};
use super::real::Real;
use super::tape::{Tape, Value};
use crate::Error;

/// See [`Tape::linear`].
#[derive(Debug)]
pub(crate) struct Linear {
    pub x: Value,
    pub weight: Value,
    pub bias: Option<Value>,
    pub addend: Option<Value>,
    pub y: Value,
}

impl Tape {
    /// x (rows, inputs) times `weight` (inputs, outputs), plus `bias` (1, outputs), plus `addend` (rows, outputs).
    pub fn linear(&mut self, x: Value, weight: Value, bias: Option<Value>, addend: Option<Value>) -> Value {
        let (axis, outputs) = (self.axis_of(x), self.columns_of(weight));
        assert_eq!(self.columns_of(x), self.rows_in(weight), "inputs of a linear map");
        assert!(bias.is_none_or(|bias| self.columns_of(bias) == outputs), "a bias has one number per output");
        assert!(addend.is_none_or(|a| self.columns_of(a) == outputs && self.axis_of(a) == axis), "an addend is like y");
        let inputs: Vec<Value> = [x, weight].into_iter().chain(bias).chain(addend).collect();
        let y = self.result(axis, outputs, &inputs);
        self.operations.push(super::Operation::Linear(Linear { x, weight, bias, addend, y }));
        y
    }
}

impl Linear {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        linear(
            block.data(self.x),
            (block.data(self.weight), block.columns(self.x)),
            self.bias.map(|bias| block.data(bias)),
            self.addend.map(|addend| block.data(addend)),
            &mut y,
        );
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let (inputs, outputs) = (block.columns(self.x), block.columns(self.y));
        let mut d_bias = self.bias.and_then(|bias| block.take_gradient(bias));
        let mut d_weight = block.take_gradient(self.weight);
        let mut d_addend = self.addend.and_then(|addend| block.take_gradient(addend));
        let mut d_x = block.take_gradient(self.x);
        let d_y = block.gradient(self.y);
        let rows = d_y.len() / outputs;
        if let Some(d_bias) = &mut d_bias {
            let ones = vec![T::ONE; rows];
            let extent = Extent { rows: 1, depth: rows, columns: outputs };
            add_product(extent, Left::rows(&ones, rows), d_y, outputs, d_bias, outputs);
        }
        if let Some(d_weight) = &mut d_weight {
            linear_weight_gradient(block.data(self.x), d_y, (inputs, outputs), d_weight);
        }
        if let Some(d_addend) = &mut d_addend {
            add(d_y, d_addend);
        }
        if let Some(d_x) = &mut d_x {
            linear_input_gradient(d_y, &block.shared.transposes[place], (inputs, outputs), d_x);
        }
        for taken in [d_bias, d_weight, d_addend, d_x] {
            block.put_gradient(taken);
        }
    }
}

/// y (rows, outputs) = x (rows, inputs) weight (inputs, outputs) + bias (outputs) + addend (rows, outputs).
pub(crate) fn linear<T: Real>(
    x: &[T],
    (weight, inputs): (&[T], usize),
    bias: Option<&[T]>,
    addend: Option<&[T]>,
    y: &mut [T],
) {
    let outputs = weight.len() / inputs;
    match addend {
        Some(addend) => y.copy_from_slice(addend),
        None => y.fill(T::ZERO),
    }
    if let Some(bias) = bias {
        y.chunks_exact_mut(outputs).for_each(|row| add(bias, row));
    }
    let extent = Extent { rows: y.len() / outputs, depth: inputs, columns: outputs };
    add_product(extent, Left::rows(x, inputs), weight, outputs, y, outputs);
}

/// d_weight += x^T d_y.
fn linear_weight_gradient<T: Real>(x: &[T], d_y: &[T], (inputs, outputs): (usize, usize), d_weight: &mut [T]) {
    let extent = Extent { rows: inputs, depth: d_y.len() / outputs, columns: outputs };
    add_product(extent, Left::transposed(x, inputs), d_y, outputs, d_weight, outputs);
}

/// d_x += d_y W^T, of which the transpose (outputs, inputs) is given.
fn linear_input_gradient<T: Real>(d_y: &[T], transpose: &[T], (inputs, outputs): (usize, usize), d_x: &mut [T]) {
    let extent = Extent { rows: d_y.len() / outputs, depth: outputs, columns: inputs };
    add_product(extent, Left::rows(d_y, outputs), transpose, inputs, d_x, inputs);
}

/// target += source.
pub(crate) fn add<T: Real>(source: &[T], target: &mut [T]) {
    target.iter_mut().zip(source).for_each(|(target, &source)| *target += source);
}

impl Linear {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (rows, outputs) = (on.rows(self.y), on.columns(self.y));
        let params = LinearParams {
            rows: rows as u32,
            inputs: on.columns(self.x) as u32,
            outputs: outputs as u32,
            weight: on.place(self.weight).1,
            has_bias: self.bias.is_some().into(),
            has_addend: self.addend.is_some().into(),
        };
        let buffers = [
            &on.data(self.x),
            &on.data(self.weight),
            &on.optional(self.bias),
            &on.optional(self.addend),
            &on.data(self.y),
        ];
        on.pass.dispatch(&on.kernels.linear, &params, &buffers, groups(rows.div_ceil(LINEAR_ROWS) * outputs))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (rows, inputs, outputs) = (on.rows(self.y), on.columns(self.x), on.columns(self.y));
        let d_y = on.gradient(self.y);
        if self.x.trained {
            let params = LinearInputGradientParams {
                rows: rows as u32,
                inputs: inputs as u32,
                outputs: outputs as u32,
                weight: on.place(self.weight).1,
            };
            let buffers = [&d_y, &on.data(self.weight), &on.gradient(self.x)];
            let lanes = rows.div_ceil(LINEAR_ROWS) * inputs;
            on.pass.dispatch(&on.kernels.linear_input_gradient, &params, &buffers, groups(lanes))?;
        }
        if self.weight.trained || self.bias.is_some_and(|bias| bias.trained) {
            let x = on.data(self.x);
            on.weight_gradient(Some((&x, inputs)), &d_y, (rows, outputs), Some(self.weight), self.bias)?;
        }
        self.addend.map_or(Ok(()), |addend| on.add(&d_y, addend))
    }
}
