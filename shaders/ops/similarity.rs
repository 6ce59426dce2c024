//! How alike two rows are: their inner product and their cosine.

use super::block::Block;
use super::kernels::{SimilarityGradientParams, SimilarityParams};
use super::launch::{Launch, groups};
use super::real::{Real, madd};
use super::tape::{Tape, Value};
use super::unit::{dot, inverse_length};
use super::vectorized::vectorized;
use crate::Error;

/// See [`Tape::similarity`].
#[derive(Debug)]
pub(crate) struct Similarity {
    pub a: Value,
    pub b: Value,
    /// What the cosine is multiplied by.
    pub scale: f64,
    pub y: Value,
}

/// Columns of a similarity.
const COLUMNS: usize = 2;
/// Numbers kept of a row for the backward pass: the cosine and both inverse lengths.
const KEPT: usize = 3;

impl Tape {
    /// Of each row of a and of b: [a . b, scale cos(a, b)]; of the wider one only the first columns. The cosine with a
    /// row shorter than 1e-6 is 0.
    pub fn similarity(&mut self, a: Value, b: Value, scale: f64) -> Value {
        assert_eq!(self.axis_of(a), self.axis_of(b), "rows that are compared");
        let y = self.result(self.axis_of(a), COLUMNS, &[a, b]);
        self.operations.push(super::Operation::Similarity(Similarity { a, b, scale, y }));
        y
    }
}

impl Similarity {
    pub fn forward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let mut saved = block.take_saved(place, y.len() / COLUMNS * KEPT);
        let (a, b) = (self.a, self.b);
        let (a, b) = ((block.data(a), block.columns(a)), (block.data(b), block.columns(b)));
        similarity(a, b, T::of(self.scale), &mut y, &mut saved);
        block.put(self.y, y);
        block.work.saved[place] = saved;
    }

    pub fn backward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        for (target, other, at) in [(self.a, self.b, 0), (self.b, self.a, 1)] {
            let mut d_target = block.take_gradient(target);
            if let Some(d_target) = &mut d_target {
                let x = (block.data(target), block.columns(target));
                let other = (block.data(other), block.columns(other));
                let (d_y, saved) = (block.gradient(self.y), &block.work.saved[place]);
                similarity_gradient(x, other, T::of(self.scale), d_y, saved, at, d_target);
            }
            block.put_gradient(d_target);
        }
    }
}

vectorized! {
    /// Rows and how far apart they are; keeps the cosine and both inverse lengths.
    fn similarity<T, I>(a: (&[T], usize), b: (&[T], usize), scale: T, y: &mut [T], saved: &mut [T]) {
        let columns = a.1.min(b.1);
        let rows = a.0.chunks_exact(a.1).zip(b.0.chunks_exact(b.1));
        let results = y.chunks_exact_mut(COLUMNS).zip(saved.chunks_exact_mut(KEPT));
        for ((a, b), (y, saved)) in rows.zip(results) {
            let (a, b) = (&a[..columns], &b[..columns]);
            let (of_a, of_b) = (inverse_length::<T, I>(a), inverse_length::<T, I>(b));
            let product = dot::<T, I>(a, b);
            let cosine = product * of_a * of_b;
            y.copy_from_slice(&[product, scale * cosine]);
            saved.copy_from_slice(&[cosine, of_a, of_b]);
        }
    }
}

vectorized! {
    /// d_x += d_dot other + d_cos (other / |other| - cos x / |x|) / |x|, where x is the first or the second (`at`).
    fn similarity_gradient<T, I>(
        x: (&[T], usize), other: (&[T], usize), scale: T, d_y: &[T], saved: &[T], at: usize, d_x: &mut [T],
    ) {
        let (columns, stride) = (x.1.min(other.1), x.1);
        let rows = x.0.chunks_exact(x.1).zip(other.0.chunks_exact(other.1));
        let about = d_y.chunks_exact(COLUMNS).zip(saved.chunks_exact(KEPT));
        for ((d_x, (x, other)), (d_y, saved)) in d_x.chunks_exact_mut(stride).zip(rows).zip(about) {
            let (cosine, own, others) = (saved[0], saved[1 + at], saved[2 - at]);
            let d_cosine = d_y[1] * scale * own;
            let (of_other, of_x) = (madd::<T, I>(d_cosine, others, d_y[0]), T::ZERO - d_cosine * cosine * own);
            for (d_x, (&x, &other)) in d_x[..columns].iter_mut().zip(x.iter().zip(other)) {
                *d_x = madd::<T, I>(of_other, other, madd::<T, I>(of_x, x, *d_x));
            }
        }
    }
}

impl Similarity {
    pub fn launch(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let rows = on.rows(self.y);
        let (columns, a_stride, b_stride) = self.strides(on);
        let saved = on.saved(place, KEPT * rows)?;
        let params =
            SimilarityParams { rows: rows as u32, columns, a_stride, b_stride, scale: (self.scale as f32).to_bits() };
        let buffers = [&on.data(self.a), &on.data(self.b), &on.data(self.y), &saved];
        on.pass.dispatch(&on.kernels.similarity, &params, &buffers, groups(rows))
    }

    pub fn launch_gradient(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let rows = on.rows(self.y);
        let (columns, a_stride, b_stride) = self.strides(on);
        let saved = on.saved(place, KEPT * rows)?;
        let params = SimilarityGradientParams {
            rows: rows as u32,
            columns,
            a_stride,
            b_stride,
            scale: (self.scale as f32).to_bits(),
            of_a: self.a.trained.into(),
            of_b: self.b.trained.into(),
        };
        let spare = [on.packed(0, 1)?, on.packed(1, 1)?];
        let d_a = if self.a.trained { on.gradient(self.a) } else { spare[0].clone() };
        let d_b = if self.b.trained { on.gradient(self.b) } else { spare[1].clone() };
        let buffers = [&on.data(self.a), &on.data(self.b), &on.gradient(self.y), &saved, &d_a, &d_b];
        on.pass.dispatch(&on.kernels.similarity_gradient, &params, &buffers, groups(rows))
    }

    fn strides(&self, on: &Launch<'_>) -> (u32, u32, u32) {
        let (a, b) = (on.columns(self.a) as u32, on.columns(self.b) as u32);
        (a.min(b), a, b)
    }
}
