//! Rows of length 1.

use super::block::Block;
use super::kernels::{UnitGradientParams, UnitParams};
use super::launch::{Launch, groups};
use super::real::{Real, madd};
use super::tape::{Tape, Value};
use super::vectorized::{Isa, vectorized};
use crate::Error;

/// Squared lengths below this count as zero.
pub(super) const SQUARE_MIN: f64 = 1e-12;

/// See [`Tape::unit`].
#[derive(Debug)]
pub(crate) struct Unit {
    pub x: Value,
    pub y: Value,
}

impl Tape {
    /// x / |x|, by row; a row shorter than 1e-6 becomes zero, and no gradient flows into it.
    pub fn unit(&mut self, x: Value) -> Value {
        let y = self.result(self.axis_of(x), self.columns_of(x), &[x]);
        self.operations.push(super::Operation::Unit(Unit { x, y }));
        y
    }
}

impl Unit {
    pub fn forward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let columns = block.columns(self.y);
        let mut inverses = block.take_saved(place, y.len() / columns);
        unit(block.data(self.x), columns, &mut y, &mut inverses);
        block.put(self.y, y);
        block.work.saved[place] = inverses;
    }

    pub fn backward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let mut d_x = block.take_gradient(self.x);
        if let Some(d_x) = &mut d_x {
            let (y, d_y) = (block.data(self.y), block.gradient(self.y));
            unit_gradient(y, d_y, &block.work.saved[place], block.columns(self.y), d_x);
        }
        block.put_gradient(d_x);
    }
}

/// Sums have so many partial sums, whatever the machine.
pub(super) const LANES: usize = 16;

/// a . b, in the order that [`LANES`] partial sums give.
#[inline(always)]
pub(super) fn dot<T: Real, I: Isa>(a: &[T], b: &[T]) -> T {
    finish_dot::<T, I>(&partial_sums::<T, I>(a, b), a, b)
}

/// The partial sums of a . b, without what is left of the last of them.
#[inline(always)]
pub(super) fn partial_sums<T: Real, I: Isa>(a: &[T], b: &[T]) -> [T; LANES] {
    let mut sums = [T::ZERO; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] = madd::<T, I>(a[lane], b[lane], sums[lane]);
        }
    }
    sums
}

/// a . b from its partial sums.
#[inline(always)]
pub(super) fn finish_dot<T: Real, I: Isa>(sums: &[T; LANES], a: &[T], b: &[T]) -> T {
    let rest = a.as_chunks::<LANES>().1.iter().zip(b.as_chunks::<LANES>().1);
    rest.fold(sum_lanes(sums), |sum, (&a, &b)| madd::<T, I>(a, b, sum))
}

/// The sum of partial sums, as a tree.
#[inline(always)]
pub(super) fn sum_lanes<T: Real>(sums: &[T; LANES]) -> T {
    let eight: [T; 8] = std::array::from_fn(|lane| sums[lane] + sums[lane + 8]);
    let four: [T; 4] = std::array::from_fn(|lane| eight[lane] + eight[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// 1 / length, 0 of a row that counts as zero.
#[inline(always)]
pub(super) fn inverse_length<T: Real, I: Isa>(x: &[T]) -> T {
    let square = dot::<T, I>(x, x);
    // A NaN goes on.
    if square < T::of(SQUARE_MIN) { T::ZERO } else { T::ONE / square.sqrt() }
}

vectorized! {
    /// y = x / |x|; keeps 1 / |x|.
    fn unit<T, I>(x: &[T], columns: usize, y: &mut [T], inverses: &mut [T]) {
        let rows = x.chunks_exact(columns).zip(y.chunks_exact_mut(columns));
        for ((x, y), inverse) in rows.zip(inverses) {
            *inverse = inverse_length::<T, I>(x);
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * *inverse);
        }
    }
}

vectorized! {
    /// d_x += (d_y - (d_y . y) y) / |x|.
    fn unit_gradient<T, I>(y: &[T], d_y: &[T], inverses: &[T], columns: usize, d_x: &mut [T]) {
        let rows = y.chunks_exact(columns).zip(d_y.chunks_exact(columns));
        for ((d_x, (y, d_y)), &inverse) in d_x.chunks_exact_mut(columns).zip(rows).zip(inverses) {
            let along = dot::<T, I>(y, d_y);
            for (d_x, (&y, &d_y)) in d_x.iter_mut().zip(y.iter().zip(d_y)) {
                *d_x = madd::<T, I>(d_y - along * y, inverse, *d_x);
            }
        }
    }
}

impl Unit {
    pub fn launch(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (rows, columns) = (on.rows(self.y), on.columns(self.y));
        let inverses = on.saved(place, rows)?;
        let params = UnitParams { rows: rows as u32, columns: columns as u32 };
        let buffers = [&on.data(self.x), &on.data(self.y), &inverses];
        on.pass.dispatch(&on.kernels.unit, &params, &buffers, groups(rows))
    }

    pub fn launch_gradient(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.x.trained {
            return Ok(());
        }
        let (rows, columns) = (on.rows(self.y), on.columns(self.y));
        let inverses = on.saved(place, rows)?;
        let params = UnitGradientParams { rows: rows as u32, columns: columns as u32 };
        let buffers = [&on.data(self.y), &on.gradient(self.y), &inverses, &on.gradient(self.x)];
        on.pass.dispatch(&on.kernels.unit_gradient, &params, &buffers, groups(rows))
    }
}
