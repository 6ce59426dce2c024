//! Functions of one number, element by element, with something added: the nonlinearities.

use super::block::Block;
use super::kernels::{UnaryGradientParams, UnaryParams};
use super::launch::Launch;
use super::launch::groups;
use super::real::{Real, madd, sigmoid, softplus};
use super::tape::{Tape, Value};
use super::vectorized::vectorized;
use crate::Error;

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// x sigmoid(x).
    Silu,
    /// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), the form of GPT-2.
    Gelu,
    /// ln(1 + e^x).
    Softplus,
    /// The larger of x and 0; its slope at 0 is 0.
    Relu,
}

/// See [`Tape::apply`].
#[derive(Debug)]
pub(crate) struct Unary {
    pub function: Function,
    pub x: Value,
    pub addend: Option<Value>,
    pub y: Value,
}

impl Tape {
    /// f(x), plus `addend` where there is one: a residual step.
    pub fn apply(&mut self, function: Function, x: Value, addend: Option<Value>) -> Value {
        let (axis, columns) = (self.axis_of(x), self.columns_of(x));
        assert!(addend.is_none_or(|a| self.columns_of(a) == columns && self.axis_of(a) == axis), "an addend is like x");
        let inputs: Vec<Value> = [x].into_iter().chain(addend).collect();
        let y = self.result(axis, columns, &inputs);
        self.operations.push(super::Operation::Unary(Unary { function, x, addend, y }));
        y
    }
}

impl Unary {
    pub fn forward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let mut slope = block.take_saved(place, y.len());
        unary(self.function, block.data(self.x), &mut y, &mut slope);
        if let Some(addend) = self.addend {
            super::linear::add(block.data(addend), &mut y);
        }
        block.put(self.y, y);
        block.work.saved[place] = slope;
    }

    pub fn backward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let mut d_x = block.take_gradient(self.x);
        let mut d_addend = self.addend.and_then(|addend| block.take_gradient(addend));
        if let Some(d_x) = &mut d_x {
            unary_gradient(block.gradient(self.y), &block.work.saved[place], d_x);
        }
        if let Some(d_addend) = &mut d_addend {
            super::linear::add(block.gradient(self.y), d_addend);
        }
        block.put_gradient(d_x);
        block.put_gradient(d_addend);
    }
}

vectorized! {
    /// y = f(x), slope = f'(x).
    pub(crate) fn unary<T, I>(function: Function, x: &[T], y: &mut [T], slope: &mut [T]) {
        let both = x.iter().zip(y.iter_mut().zip(slope));
        match function {
            Function::Tanh => both.for_each(|(&x, (y, slope))| {
                *y = x.fast_tanh::<I>();
                *slope = T::ONE - *y * *y;
            }),
            Function::Sigmoid => both.for_each(|(&x, (y, slope))| {
                *y = sigmoid::<T, I>(x);
                *slope = *y * (T::ONE - *y);
            }),
            Function::Silu => both.for_each(|(&x, (y, slope))| {
                let s = sigmoid::<T, I>(x);
                *y = x * s;
                *slope = s + *y * (T::ONE - s);
            }),
            Function::Gelu => both.for_each(|(&x, (y, slope))| {
                let (root, cubic) = (T::of((2.0 / std::f64::consts::PI).sqrt()), T::of(0.044715));
                let t = (root * madd::<T, I>(cubic * x, x * x, x)).fast_tanh::<I>();
                let half = T::of(0.5);
                *y = half * x * (T::ONE + t);
                let inner = root * (T::ONE + T::of(3.0) * cubic * x * x);
                *slope = half * (T::ONE + t) + half * x * (T::ONE - t * t) * inner;
            }),
            Function::Softplus => both.for_each(|(&x, (y, slope))| {
                *y = softplus::<T, I>(x);
                *slope = sigmoid::<T, I>(x);
            }),
            Function::Relu => both.for_each(|(&x, (y, slope))| {
                // A NaN stays one.
                *y = if x <= T::ZERO { T::ZERO } else { x };
                *slope = if x <= T::ZERO { T::ZERO } else { T::ONE };
            }),
        }
    }
}

vectorized! {
    /// d_x += d_y slope.
    fn unary_gradient<T, I>(d_y: &[T], slope: &[T], d_x: &mut [T]) {
        for ((d_x, &d_y), &slope) in d_x.iter_mut().zip(d_y).zip(slope) {
            *d_x = madd::<T, I>(d_y, slope, *d_x);
        }
    }
}

impl Unary {
    pub fn launch(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let len = on.len(self.y);
        let kind = match self.function {
            Function::Tanh => 0,
            Function::Sigmoid => 1,
            Function::Silu => 2,
            Function::Gelu => 3,
            Function::Softplus => 4,
            Function::Relu => 5,
        };
        let slope = on.saved(place, len)?;
        let params = UnaryParams { len: len as u32, kind, has_addend: self.addend.is_some().into() };
        let buffers = [&on.data(self.x), &on.optional(self.addend), &on.data(self.y), &slope];
        on.pass.dispatch(&k.unary, &params, &buffers, groups(len))
    }

    pub fn launch_gradient(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (len, d_y) = (on.len(self.y), on.gradient(self.y));
        if self.x.trained {
            let slope = on.saved(place, len)?;
            let (params, d_x) = (UnaryGradientParams { len: len as u32 }, on.gradient(self.x));
            on.pass.dispatch(&k.unary_gradient, &params, &[&d_y, &slope, &d_x], groups(len))?;
        }
        self.addend.map_or(Ok(()), |addend| on.add(&d_y, addend))
    }
}
