//! The CPU backend: the twins of the three kernels, and the tables they work on.
//!
//! Inner loops are plain Rust that the compiler vectorizes; each is compiled a second time for AVX2 and chosen at run
//! time. Users are independent, so large batches are spread over threads by user; results do not depend on it.

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use rayon::prelude::*;

use super::Shape;
use super::batch::{Batch, Change};

/// Fewer items, changes or tables than this stay on the calling thread: below it, waking others costs more.
const PARALLEL_MIN: usize = 64;

/// Every slot's table and counts.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Up to the last slot ever touched.
    slots: Vec<Table>,
}

/// One user's table; empty, taking no memory, until his slot is first touched.
#[derive(Debug, Default)]
struct Table {
    /// (groups, buckets, dim)
    sums: Vec<i32>,
    /// (groups, buckets)
    counts: Vec<u32>,
}

impl Tables {
    /// Folds `batch` and writes the published tables (published, groups, buckets, dim) as f16 bits.
    pub fn encode(&mut self, shape: &Shape, batch: &Batch<'_>, tables: &mut [u16]) {
        let needed = batch.slots.iter().max().map_or(0, |&slot| slot as usize + 1);
        if self.slots.len() < needed {
            self.slots.resize_with(needed, Table::default);
        }
        if batch.changes.len() < PARALLEL_MIN || batch.slots.len() < 2 {
            for (user, &slot) in batch.slots.iter().enumerate() {
                self.slots[slot as usize].update(shape, batch, user);
            }
        } else {
            self.jobs(batch.slots).par_iter_mut().for_each(|(user, table)| table.update(shape, batch, *user));
        }
        let publish = |(published, &user): (&mut [u16], &u32)| {
            let Table { sums, counts } = &self.slots[batch.slots[user as usize] as usize];
            normalize(shape.dim, sums, counts, published);
        };
        let cells = shape.rows() * shape.dim;
        if batch.publish.len() < PARALLEL_MIN {
            tables.chunks_mut(cells).zip(batch.publish).for_each(publish);
        } else {
            tables.par_chunks_mut(cells).zip(batch.publish).for_each(publish);
        }
    }

    /// The tables of `slots`, which differ, each with its user: disjoint, by walking them in the order of memory.
    fn jobs(&mut self, slots: &[u32]) -> Vec<(usize, &mut Table)> {
        let mut order: Vec<(usize, usize)> = slots.iter().map(|&slot| slot as usize).zip(0..).collect();
        order.sort_unstable();
        let (mut later, mut next) = (&mut self.slots[..], 0);
        let mut jobs = Vec::with_capacity(order.len());
        for (slot, user) in order {
            let (table, rest) = later[slot - next..].split_first_mut().expect("every slot was made room for");
            jobs.push((user, table));
            (later, next) = (rest, slot + 1);
        }
        jobs
    }

    /// Slot `slot`'s sums (groups, buckets, dim) and counts (groups, buckets); both empty before it was ever touched.
    pub fn of(&self, slot: u32) -> (&[i32], &[u32]) {
        self.slots.get(slot as usize).map_or((&[], &[]), |table| (&table.sums, &table.counts))
    }

    /// Slot `slot`'s table (groups, buckets, dim) and counts (groups, buckets).
    #[cfg(test)]
    pub fn table(&self, shape: &Shape, slot: usize) -> (Vec<i32>, Vec<u32>) {
        match self.slots.get(slot) {
            Some(table) if !table.counts.is_empty() => (table.sums.clone(), table.counts.clone()),
            _ => (vec![0; shape.rows() * shape.dim], vec![0; shape.rows()]),
        }
    }

    /// Overwrites slot `slot`.
    #[cfg(test)]
    pub fn load(&mut self, slot: usize, sums: &[i32], counts: &[u32]) {
        self.slots.resize_with(self.slots.len().max(slot + 1), Table::default);
        self.slots[slot] = Table { sums: sums.to_vec(), counts: counts.to_vec() };
    }
}

impl Table {
    /// Folds the changes of the batch's `user`, who owns this table.
    fn update(&mut self, shape: &Shape, batch: &Batch<'_>, user: usize) {
        if self.counts.is_empty() {
            self.sums = vec![0; shape.rows() * shape.dim];
            self.counts = vec![0; shape.rows()];
        } else if batch.fresh[user] {
            self.sums.fill(0);
            self.counts.fill(0);
        }
        bucket_fold(shape, batch, batch.changes_of(user), &mut self.sums, &mut self.counts);
        if cfg!(any(test, debug_assertions)) {
            let mut rows = self.counts.iter().zip(self.sums.chunks(shape.dim));
            let right = rows.all(|(&count, row)| count > 0 || row.iter().all(|&sum| sum == 0));
            assert!(right, "a row without items must be zero");
        }
    }
}

/// Compiles the body of a function for AVX-512 and AVX2 too, and calls the one that the machine can run.
macro_rules! vectorized {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[inline(always)]
            fn body($($argument: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2")]
                fn body_avx512($($argument: $kind),*) $(-> $result)? {
                    body($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn body_avx2($($argument: $kind),*) $(-> $result)? {
                    body($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                {
                    #[expect(unsafe_code, reason = "the features were just detected")]
                    return unsafe { body_avx512($($argument),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    #[expect(unsafe_code, reason = "the feature was just detected")]
                    return unsafe { body_avx2($($argument),*) };
                }
            }
            #[allow(unreachable_code)]
            body($($argument),*)
        }
    };
}
pub(crate) use vectorized;

vectorized! {
    /// Folds `changes` into one user's table (groups, buckets, dim) and counts (groups, buckets).
    fn bucket_fold(shape: &Shape, batch: &Batch<'_>, changes: &[Change], sums: &mut [i32], counts: &mut [u32]) {
        for change in changes {
            let vector = batch.vectors[change.item as usize];
            let signature = &batch.signatures[change.item as usize * shape.signature_words()..][..shape.signature_words()];
            for group in 0..shape.groups() {
                let row = group * shape.buckets() + shape.bucket_of(signature, group);
                counts[row] = counts[row].wrapping_add_signed(change.sign);
                let sums = &mut sums[row * shape.dim..][..shape.dim];
                if change.sign > 0 {
                    sums.iter_mut().zip(vector).for_each(|(sum, &x)| *sum = sum.wrapping_add(i32::from(x)));
                } else {
                    sums.iter_mut().zip(vector).for_each(|(sum, &x)| *sum = sum.wrapping_sub(i32::from(x)));
                }
            }
        }
    }
}

/// Scales the rows of one table (rows, dim) to length 1, as f16 bits; rows without items are zero.
pub(super) fn normalize(dim: usize, sums: &[i32], counts: &[u32], table: &mut [u16]) {
    let mut units = vec![0; dim];
    let mut fractions = vec![0.0; dim];
    for ((sums, &count), row) in sums.chunks_exact(dim).zip(counts).zip(table.chunks_exact_mut(dim)) {
        let Some(scale) = row_scale(sums, count) else {
            row.fill(0);
            continue;
        };
        scale_row(sums, scale, &mut units);
        // Exact, and a component of length 0 keeps its sign.
        for ((fraction, &units), &sum) in fractions.iter_mut().zip(&units).zip(sums) {
            *fraction = (units as f32 * (1.0 / 16_777_216.0)).copysign(sum as f32);
        }
        let row: &mut [f16] = row.reinterpret_cast_mut();
        row.convert_from_f32_slice(&fractions);
    }
}

/// What makes a row's length 1; the formula is in the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    half_shift: u32,
    inverse: u32,
}

/// None for a row without items, and for one whose items cancel.
pub(super) fn row_scale(sums: &[i32], count: u32) -> Option<Scale> {
    let square = if count == 0 { 0 } else { sum_of_squares(sums) };
    if square == 0 {
        return None;
    }
    let shift = square.leading_zeros() & 62;
    let root = square_root(square << shift);
    Some(Scale { half_shift: shift / 2, inverse: (i64::MAX as u64 / root) as u32 })
}

vectorized! {
    fn sum_of_squares(sums: &[i32]) -> u64 {
        let square = |sum: &i32| u64::from(sum.unsigned_abs()) * u64::from(sum.unsigned_abs());
        sums.iter().map(square).fold(0, u64::wrapping_add)
    }
}

/// The largest root with root * root <= square, for square >= 2^62. Rounding the square to a float moves its root by
/// less than half a unit of the float's last place there, so the float is never below the root, but may be one above.
fn square_root(square: u64) -> u64 {
    let root = ((square as f64).sqrt() as u64).min(u64::from(u32::MAX));
    root - u64::from(root * root > square)
}

vectorized! {
    /// sum -> sum * 2^half_shift * inverse * 2^-63, rounded to a multiple of 2^-24: how many of them.
    pub(super) fn scale_row(sums: &[i32], scale: Scale, units: &mut [i32]) {
        for (units, &sum) in units.iter_mut().zip(sums) {
            let magnitude = sum.unsigned_abs() << scale.half_shift;
            let product = (u64::from(magnitude) * u64::from(scale.inverse)) >> 32;
            let magnitude = ((product as u32 + 64) >> 7) as i32;
            *units = if sum < 0 { -magnitude } else { magnitude };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square_root_is_exact_around_squares() {
        let roots = [1 << 31, (1 << 31) + 1, 3_037_000_499, 3_037_000_500, u64::from(u32::MAX) - 1, u32::MAX.into()];
        for root in roots.into_iter().chain((0..1 << 31).step_by(5_003).map(|step| (1 << 31) + step)) {
            let square = root * root;
            for near in [square, square.wrapping_sub(1), square + 1, square + 2 * root, square + root] {
                if near >= 1 << 62 {
                    assert_eq!(square_root(near), near.isqrt(), "of {near}");
                }
            }
        }
        assert_eq!(square_root(u64::MAX), u64::from(u32::MAX));
    }
}
