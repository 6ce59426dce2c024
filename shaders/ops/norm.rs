//! Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019) of rows.

use super::block::Block;
use super::kernels::{NormGradientParams, NormParams};
use super::launch::Launch;
use super::launch::groups;
use super::real::{Real, madd};
use super::tape::{Tape, Value};
use super::vectorized::vectorized;
use crate::Error;

/// Added to the variance, or to the mean square.
pub(crate) const EPSILON: f64 = 1e-5;

/// See [`Tape::layer_norm`], [`Tape::rms_norm`].
#[derive(Debug)]
pub(crate) struct Norm {
    pub x: Value,
    pub gain: Value,
    /// Of a layer norm; an RMS norm subtracts no mean and adds no bias.
    pub bias: Option<Value>,
    pub y: Value,
}

impl Tape {
    /// (x - mean) / sqrt(variance + 1e-5) * gain + bias, by row; gain and bias are (1, columns).
    pub fn layer_norm(&mut self, x: Value, gain: Value, bias: Value) -> Value {
        self.norm(x, gain, Some(bias))
    }

    /// x / sqrt(mean of x^2 + 1e-5) * gain, by row; gain is (1, columns).
    pub fn rms_norm(&mut self, x: Value, gain: Value) -> Value {
        self.norm(x, gain, None)
    }

    fn norm(&mut self, x: Value, gain: Value, bias: Option<Value>) -> Value {
        let columns = self.columns_of(x);
        assert_eq!(self.columns_of(gain), columns, "columns of the gain");
        let inputs: Vec<Value> = [x, gain].into_iter().chain(bias).collect();
        let y = self.result(self.axis_of(x), columns, &inputs);
        self.operations.push(super::Operation::Norm(Norm { x, gain, bias, y }));
        y
    }
}

impl Norm {
    pub fn forward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        // Per row: the normalized row, and what it was multiplied by.
        let rows = y.len() / block.columns(self.y);
        let mut saved = block.take_saved(place, y.len() + rows);
        let bias = self.bias.map(|bias| block.data(bias));
        norm(block.data(self.x), block.data(self.gain), bias, &mut y, &mut saved);
        block.put(self.y, y);
        block.work.saved[place] = saved;
    }

    pub fn backward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let mut d_bias = self.bias.and_then(|bias| block.take_gradient(bias));
        let mut d_gain = block.take_gradient(self.gain);
        let mut d_x = block.take_gradient(self.x);
        let (d_y, gain) = (block.gradient(self.y), block.data(self.gain));
        let (columns, saved) = (gain.len(), &block.work.saved[place]);
        if let Some(d_x) = &mut d_x {
            norm_gradient(d_y, gain, saved, self.bias.is_some(), d_x);
        }
        for (d_y, normal) in d_y.chunks_exact(columns).zip(saved.chunks_exact(columns)) {
            if let Some(d_gain) = &mut d_gain {
                d_gain.iter_mut().zip(d_y.iter().zip(normal)).for_each(|(gain, (&d_y, &normal))| *gain += d_y * normal);
            }
            if let Some(d_bias) = &mut d_bias {
                super::linear::add(d_y, d_bias);
            }
        }
        for taken in [d_bias, d_gain, d_x] {
            block.put_gradient(taken);
        }
    }
}

vectorized! {
    /// `saved`: the normalized rows (rows, columns), then what each was multiplied by (rows).
    fn norm<T, I>(x: &[T], gain: &[T], bias: Option<&[T]>, y: &mut [T], saved: &mut [T]) {
        let columns = gain.len();
        let count = T::of(columns as f64);
        let (normals, scales) = saved.split_at_mut(x.len());
        let rows = x.chunks_exact(columns).zip(normals.chunks_exact_mut(columns)).zip(scales);
        for (((x, normal), scale), y) in rows.zip(y.chunks_exact_mut(columns)) {
            let mean = if bias.is_some() { x.iter().copied().sum::<T>() / count } else { T::ZERO };
            let mut square = T::ZERO;
            for &x in x {
                square = madd::<T, I>(x - mean, x - mean, square);
            }
            *scale = T::ONE / (square / count + T::of(EPSILON)).sqrt();
            for (((y, normal), &x), (n, &gain)) in y.iter_mut().zip(normal).zip(x).zip(gain.iter().enumerate()) {
                *normal = (x - mean) * *scale;
                *y = madd::<T, I>(*normal, gain, bias.map_or(T::ZERO, |bias| bias[n]));
            }
        }
    }
}

vectorized! {
    /// d_x += scale (g - mean of g - normal * mean of g normal), g = d_y gain; without the first mean for an RMS norm.
    fn norm_gradient<T, I>(d_y: &[T], gain: &[T], saved: &[T], centered: bool, d_x: &mut [T]) {
        let columns = gain.len();
        let count = T::of(columns as f64);
        let (normals, scales) = saved.split_at(d_y.len());
        let rows = d_y.chunks_exact(columns).zip(normals.chunks_exact(columns)).zip(scales);
        for (((d_y, normal), &scale), d_x) in rows.zip(d_x.chunks_exact_mut(columns)) {
            let (mut mean, mut along) = (T::ZERO, T::ZERO);
            for ((&d_y, &gain), &normal) in d_y.iter().zip(gain).zip(normal) {
                mean += d_y * gain;
                along = madd::<T, I>(d_y * gain, normal, along);
            }
            let (mean, along) = (if centered { mean / count } else { T::ZERO }, along / count);
            for (((d_x, &d_y), &gain), &normal) in d_x.iter_mut().zip(d_y).zip(gain).zip(normal) {
                *d_x += scale * (d_y * gain - mean - normal * along);
            }
        }
    }
}

impl Norm {
    pub fn launch(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (rows, columns) = (on.rows(self.y), on.columns(self.y));
        let saved = on.saved(place, rows * (columns + 1))?;
        let params = NormParams { rows: rows as u32, columns: columns as u32, has_bias: self.bias.is_some().into() };
        let bias = on.optional(self.bias);
        let buffers = [&on.data(self.x), &on.data(self.gain), &bias, &on.data(self.y), &saved];
        on.pass.dispatch(&k.norm, &params, &buffers, groups(rows))
    }

    pub fn launch_gradient(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (rows, columns) = (on.rows(self.y), on.columns(self.y));
        let saved = on.saved(place, rows * (columns + 1))?;
        let (d_gains, d_y) = (on.packed(0, rows * columns)?, on.gradient(self.y));
        let params = NormGradientParams {
            rows: rows as u32,
            columns: columns as u32,
            centered: self.bias.is_some().into(),
            of_x: self.x.trained.into(),
        };
        let buffers = [&d_y, &on.data(self.gain), &saved, &on.gradient_or_nothing(self.x), &d_gains];
        on.pass.dispatch(&on.kernels.norm_gradient, &params, &buffers, groups(rows))?;
        on.weight_gradient(None, &d_gains, (rows, columns), None, Some(self.gain))?;
        match self.bias {
            Some(bias) => on.weight_gradient(None, &d_y, (rows, columns), None, Some(bias)),
            None => Ok(()),
        }
    }
}
