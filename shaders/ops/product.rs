//! The product of two matrices, the only place where most of the time goes.
//!
//! Each element of the result is one sum, over the depth, in order, starting from what stood there: its bits do not
//! depend on its row's neighbors, on tiles, or on the width of registers.

use super::real::{Real, madd};
use super::vectorized::{Isa, vectorized};

/// A matrix of (rows, depth), or the transpose of one stored as (depth, rows): element (i, k) is at
/// `i * row + k * column`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a, T> {
    pub data: &'a [T],
    pub row: usize,
    pub column: usize,
}

impl<'a, T> Left<'a, T> {
    /// Rows of `width`.
    pub fn rows(data: &'a [T], width: usize) -> Left<'a, T> {
        Left { data, row: width, column: 1 }
    }

    /// The transpose of rows of `width`.
    pub fn transposed(data: &'a [T], width: usize) -> Left<'a, T> {
        Left { data, row: 1, column: width }
    }
}

/// (rows, depth, columns) of a product.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub rows: usize,
    pub depth: usize,
    pub columns: usize,
}

vectorized! {
    /// c (rows, columns; rows `c_stride` apart) += a (rows, depth) b (depth, columns; rows `b_stride` apart).
    pub(crate) fn add_product<T, I>(
        extent: Extent, a: Left<'_, T>, b: &[T], b_stride: usize, c: &mut [T], c_stride: usize,
    ) {
        let Extent { rows, depth, columns } = extent;
        if rows == 0 || columns == 0 || depth == 0 {
            return;
        }
        assert!((rows - 1) * a.row + (depth - 1) * a.column < a.data.len(), "the left matrix is too short");
        assert!((depth - 1) * b_stride + columns <= b.len(), "the right matrix is too short");
        assert!((rows - 1) * c_stride + columns <= c.len(), "the result is too short");
        let mut place = Place { extent, a, b, b_stride, c, c_stride };
        let mut column = 0;
        if I::WIDE {
            while columns - column >= 32 {
                place.column_of_tiles::<I, 32>(column);
                column += 32;
            }
        }
        while columns - column >= 16 {
            place.column_of_tiles::<I, 16>(column);
            column += 16;
        }
        if columns - column >= 8 {
            place.column_of_tiles::<I, 8>(column);
            column += 8;
        }
        if columns - column >= 4 {
            place.column_of_tiles::<I, 4>(column);
            column += 4;
        }
        while column < columns {
            place.column_of_tiles::<I, 1>(column);
            column += 1;
        }
    }
}

/// Arguments of a product that were found to lie within their slices.
struct Place<'a, T> {
    extent: Extent,
    a: Left<'a, T>,
    b: &'a [T],
    b_stride: usize,
    c: &'a mut [T],
    c_stride: usize,
}

impl<T: Real> Place<'_, T> {
    #[inline(always)]
    fn column_of_tiles<I: Isa, const W: usize>(&mut self, column: usize) {
        let rows = self.extent.rows;
        let mut row = 0;
        if I::WIDE {
            while rows - row >= 8 {
                self.tile::<I, 8, W>(row, column);
                row += 8;
            }
        }
        while rows - row >= 4 {
            self.tile::<I, 4, W>(row, column);
            row += 4;
        }
        if rows - row >= 2 {
            self.tile::<I, 2, W>(row, column);
            row += 2;
        }
        if rows > row {
            self.tile::<I, 1, W>(row, column);
        }
    }

    /// A tile of R rows and W columns, kept in registers.
    #[inline(always)]
    #[expect(unsafe_code, reason = "the extent was compared with the slices before the first tile")]
    fn tile<I: Isa, const R: usize, const W: usize>(&mut self, row: usize, column: usize) {
        let mut sums = [[T::ZERO; W]; R];
        for (r, sums) in sums.iter_mut().enumerate() {
            sums.copy_from_slice(&self.c[(row + r) * self.c_stride + column..][..W]);
        }
        for k in 0..self.extent.depth {
            // SAFETY: row + R <= rows, column + W <= columns and k < depth.
            let b: &[T; W] = unsafe { &*self.b.as_ptr().add(k * self.b_stride + column).cast() };
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let a = unsafe { *self.a.data.get_unchecked((row + r) * self.a.row + k * self.a.column) };
                for (sum, &b) in sums.iter_mut().zip(b) {
                    *sum = madd::<T, I>(a, b, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            self.c[(row + r) * self.c_stride + column..][..W].copy_from_slice(sums);
        }
    }
}

/// Writes the transpose of `source` (rows, columns) to `target` (columns, stride).
pub(crate) fn transpose<T: Real>(source: &[T], columns: usize, target: &mut [T], stride: usize) {
    for (i, row) in source.chunks_exact(columns).enumerate() {
        for (j, &value) in row.iter().enumerate() {
            target[j * stride + i] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_every_shape_and_the_same_bits_at_every_place() {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0;
        for (rows, depth, columns) in [(1, 1, 1), (3, 5, 17), (8, 32, 32), (13, 48, 61), (64, 16, 40), (9, 3, 7)] {
            let a: Vec<f32> = (0..rows * depth).map(value).collect();
            let b: Vec<f32> = (0..depth * columns).map(|i| value(i + 77)).collect();
            let mut c = vec![0.5; rows * columns];
            add_product(Extent { rows, depth, columns }, Left::rows(&a, depth), &b, columns, &mut c, columns);
            let mut turned = vec![0.0; rows * depth];
            transpose(&a, depth, &mut turned, rows);
            let mut again = vec![0.5; rows * columns];
            let left = Left::transposed(&turned, rows);
            add_product(Extent { rows, depth, columns }, left, &b, columns, &mut again, columns);
            assert_eq!(c, again);
            for i in 0..rows {
                let mut row = vec![0.5; columns];
                let one = Extent { rows: 1, depth, columns };
                add_product(one, Left::rows(&a[i * depth..], depth), &b, columns, &mut row, columns);
                assert_eq!(c[i * columns..][..columns], row);
                for j in 0..columns {
                    let exact: f64 =
                        0.5 + (0..depth).map(|k| f64::from(a[i * depth + k] * b[k * columns + j])).sum::<f64>();
                    assert!((f64::from(row[j]) - exact).abs() < 1e-5);
                    let mut single = vec![0.5];
                    let extent = Extent { rows: 1, depth, columns: 1 };
                    add_product(extent, Left::rows(&a[i * depth..], depth), &b[j..], columns, &mut single, 1);
                    assert_eq!(single[0], row[j]);
                }
            }
        }
    }

    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        for (rows, depth, columns) in [(64, 48, 32), (1000, 290, 128), (1000, 128, 64), (32, 64, 256), (32, 256, 64)] {
            speed_of(rows, depth, columns);
        }
    }

    fn speed_of(rows: usize, depth: usize, columns: usize) {
        let a = vec![1.0f32; rows * depth];
        let b = vec![1.0f32; depth * columns];
        let mut c = vec![0.0f32; rows * columns];
        let times = 100_000_000 / (rows * depth * columns);
        for (name, left) in [("rows", Left::rows(&a, depth)), ("transposed", Left::transposed(&a, rows))] {
            let mut best = f64::MAX;
            for _ in 0..20 {
                let start = std::time::Instant::now();
                for _ in 0..times {
                    add_product(Extent { rows, depth, columns }, left, &b, columns, &mut c, columns);
                }
                best = best.min(start.elapsed().as_secs_f64());
            }
            let products = (rows * depth * columns * times) as f64;
            println!("{rows} x {depth} x {columns}, {name}: {:.1} GMAC/s", products / best * 1e-9);
        }
    }
}
