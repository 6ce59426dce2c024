//! The scaled softplus of an intensity, and the terms of its likelihood (spec 2.5, 2.6, 6.2).

use super::block::Block;
use super::kernels::{IntensityGradientParams, IntensityParams, IntensityTermGradientParams, IntensityTermParams};
use super::launch::Launch;
use super::launch::groups;
use super::real::{Real, sigmoid, softplus};
use super::tape::{Ids, Tape, Value};
use super::vectorized::vectorized;
use crate::Error;

/// See [`Tape::intensity`].
#[derive(Debug)]
pub(crate) struct Intensity {
    pub x: Value,
    pub log_scale: Value,
    pub y: Value,
}

/// See [`Tape::intensity_term`].
#[derive(Debug)]
pub(crate) struct IntensityTerm {
    pub intensity: Value,
    pub types: Ids,
    pub y: Value,
}

/// In place of a type: the row is a sample of the integral over all types.
pub const ALL_TYPES: u32 = u32::MAX;
/// Added to an intensity before its logarithm is taken.
const EPSILON: f64 = 1e-9;

impl Tape {
    /// scale * softplus(x / scale), scale = e^log_scale (1, columns).
    pub fn intensity(&mut self, x: Value, log_scale: Value) -> Value {
        let columns = self.columns_of(x);
        assert_eq!(self.columns_of(log_scale), columns, "a scale per type");
        let y = self.result(self.axis_of(x), columns, &[x, log_scale]);
        self.operations.push(super::Operation::Intensity(Intensity { x, log_scale, y }));
        y
    }

    /// Per row: -ln of the intensity of the type that came, or the sum of all where `types` says [`ALL_TYPES`].
    pub fn intensity_term(&mut self, intensity: Value, types: Ids) -> Value {
        let y = self.result(self.axis_of(intensity), 1, &[intensity]);
        self.operations.push(super::Operation::IntensityTerm(IntensityTerm { intensity, types, y }));
        y
    }
}

impl Intensity {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        intensity(block.data(self.x), block.data(self.log_scale), &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_x = block.take_gradient(self.x);
        let mut d_scale = block.take_gradient(self.log_scale);
        let (d_y, y, x) = (block.gradient(self.y), block.data(self.y), block.data(self.x));
        let log_scale = block.data(self.log_scale);
        let (d_x_all, d_scale_all) =
            (d_x.as_deref_mut().unwrap_or_default(), d_scale.as_deref_mut().unwrap_or_default());
        intensity_gradient(d_y, y, x, log_scale, d_x_all, d_scale_all);
        block.put_gradient(d_x);
        block.put_gradient(d_scale);
    }
}

vectorized! {
    fn intensity<T, I>(x: &[T], log_scale: &[T], y: &mut [T]) {
        for (x, y) in x.chunks_exact(log_scale.len()).zip(y.chunks_exact_mut(log_scale.len())) {
            for ((y, &x), &log_scale) in y.iter_mut().zip(x).zip(log_scale) {
                let scale = log_scale.fast_exp::<I>();
                *y = scale * softplus::<T, I>(x / scale);
            }
        }
    }
}

vectorized! {
    /// d_x += d_y sigmoid(x / scale); d_log_scale += d_y (y - x sigmoid(x / scale)). Either may be empty.
    fn intensity_gradient<T, I>(
        d_y: &[T], y: &[T], x: &[T], log_scale: &[T], d_x: &mut [T], d_log_scale: &mut [T],
    ) {
        let columns = log_scale.len();
        for i in 0..x.len() {
            let slope = sigmoid::<T, I>(x[i] / log_scale[i % columns].fast_exp::<I>());
            if let Some(d_x) = d_x.get_mut(i) {
                *d_x += d_y[i] * slope;
            }
            if let Some(d_log_scale) = d_log_scale.get_mut(i % columns) {
                *d_log_scale += d_y[i] * (y[i] - x[i] * slope);
            }
        }
    }
}

impl IntensityTerm {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        intensity_term(block.data(self.intensity), block.columns(self.intensity), block.ids(self.types), &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let columns = block.columns(self.intensity);
        let mut d_x = block.take_gradient(self.intensity);
        if let Some(d_x) = &mut d_x {
            intensity_term_gradient(
                block.gradient(self.y),
                block.data(self.intensity),
                columns,
                block.ids(self.types),
                d_x,
            );
        }
        block.put_gradient(d_x);
    }
}

vectorized! {
    fn intensity_term<T, I>(x: &[T], columns: usize, types: &[u32], y: &mut [T]) {
        for ((x, &kind), y) in x.chunks_exact(columns).zip(types).zip(y) {
            *y = if kind == ALL_TYPES {
                x.iter().copied().fold(T::ZERO, |sum, x| sum + x)
            } else {
                -(x[kind as usize] + T::of(EPSILON)).fast_ln::<I>()
            };
        }
    }
}

/// d_x -= d_y / x of the type that came, or += d_y of all.
fn intensity_term_gradient<T: Real>(d_y: &[T], x: &[T], columns: usize, types: &[u32], d_x: &mut [T]) {
    let rows = x.chunks_exact(columns).zip(d_y).zip(types);
    for (d_x, ((x, &d_y), &kind)) in d_x.chunks_exact_mut(columns).zip(rows) {
        if kind == ALL_TYPES {
            d_x.iter_mut().for_each(|d_x| *d_x += d_y);
        } else {
            d_x[kind as usize] -= d_y / (x[kind as usize] + T::of(EPSILON));
        }
    }
}

impl Intensity {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let len = on.len(self.y);
        let params = IntensityParams { len: len as u32, columns: on.columns(self.y) as u32 };
        let buffers = [&on.data(self.x), &on.data(self.log_scale), &on.data(self.y)];
        on.pass.dispatch(&k.intensity, &params, &buffers, groups(len))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (rows, columns) = (on.rows(self.y), on.columns(self.y));
        let d_scales = on.packed(0, rows * columns)?;
        let of_x = self.x.trained.into();
        let params = IntensityGradientParams { len: (rows * columns) as u32, columns: columns as u32, of_x };
        let (d_y, d_x) = (on.gradient(self.y), on.gradient_or_nothing(self.x));
        let (y, x, log_scale) = (on.data(self.y), on.data(self.x), on.data(self.log_scale));
        let buffers = [&d_y, &y, &x, &log_scale, &d_x, &d_scales];
        on.pass.dispatch(&on.kernels.intensity_gradient, &params, &buffers, groups(rows * columns))?;
        on.weight_gradient(None, &d_scales, (rows, columns), None, Some(self.log_scale))
    }
}

impl IntensityTerm {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let rows = on.rows(self.y);
        let params = IntensityTermParams { rows: rows as u32, columns: on.columns(self.intensity) as u32 };
        let buffers = [&on.data(self.intensity), &on.ids(self.types), &on.data(self.y)];
        on.pass.dispatch(&k.intensity_term, &params, &buffers, groups(rows))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.intensity.trained {
            return Ok(());
        }
        let k = on.kernels;
        let (len, columns) = (on.len(self.intensity), on.columns(self.intensity));
        let params = IntensityTermGradientParams { len: len as u32, columns: columns as u32 };
        let (d_y, d_x) = (on.gradient(self.y), on.gradient(self.intensity));
        let buffers = [&d_y, &on.data(self.intensity), &on.ids(self.types), &d_x];
        on.pass.dispatch(&k.intensity_term_gradient, &params, &buffers, groups(len))
    }
}
