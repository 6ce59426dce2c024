//! The backward pass of one sequence's attention (spec 6.1).

use super::attention::{LANES, TILE, columns_seen, dot};
use super::product::{Extent, Left, add_product};
use super::real::{Real, madd};
use super::vectorized::vectorized;

/// One sequence's backward (spec 6.1).
pub(super) struct Gradient<'a, T> {
    /// (d, prefix, stride)
    pub shape: (usize, usize, usize),
    pub visible: &'a [u32],
    pub query: &'a [T],
    pub y: &'a [T],
    pub d_y: &'a [T],
    pub weights: &'a [T],
    /// (queries, stride), zero where nothing is seen
    pub d_scores: &'a mut Vec<T>,
}

impl<T: Real> Gradient<'_, T> {
    /// d_scores = weights (d_y . value - d_y . y) / sqrt(d), with `turned` (d, stride) the values.
    pub fn scores(&mut self, turned: &[T]) {
        let (d, prefix, stride) = self.shape;
        let queries = self.visible.len();
        for first in (0..queries).step_by(TILE) {
            let tile = first..(first + TILE).min(queries);
            let columns = columns_seen(&self.visible[tile.clone()], prefix, stride);
            let part = &mut self.d_scores[tile.start * stride..tile.end * stride];
            let extent = Extent { rows: tile.len(), depth: d, columns };
            let range = tile.start * d..tile.end * d;
            add_product(extent, Left::rows(&self.d_y[range.clone()], d), turned, stride, part, stride);
            let weights = &self.weights[tile.start * stride..tile.end * stride];
            scores_gradient(part, weights, &self.y[range.clone()], &self.d_y[range], (d, stride, columns));
        }
    }

    /// d_query += d_scores keys.
    pub fn attention_query_gradient(&self, keys: &[T], d_query: &mut [T]) {
        let (d, prefix, stride) = self.shape;
        let queries = self.visible.len();
        for first in (0..queries).step_by(TILE) {
            let tile = first..(first + TILE).min(queries);
            let columns = columns_seen(&self.visible[tile.clone()], prefix, stride);
            let extent = Extent { rows: tile.len(), depth: columns, columns: d };
            let left = Left::rows(&self.d_scores[tile.start * stride..], stride);
            add_product(extent, left, keys, d, &mut d_query[tile.start * d..], d);
        }
    }

    /// Each key's gradient is gathered from the queries that see it; those before the first need not be asked.
    pub fn attention_key_gradient(&self, d_keys: &mut [T], d_values: &mut [T]) {
        let (d, prefix, stride) = self.shape;
        let queries = self.visible.len();
        let mut start = 0;
        for first in (0..stride).step_by(LANES) {
            while start < queries && prefix + self.visible[start] as usize <= first {
                start += 1;
            }
            let extent = Extent { rows: LANES, depth: queries - start, columns: d };
            let from = (start * stride + first).min(queries * stride);
            for (left, right, target) in [
                (&self.d_scores[..], self.query, &mut *d_keys),
                (&self.weights[..queries * stride], self.d_y, &mut *d_values),
            ] {
                let left = Left { data: &left[from..queries * stride], row: 1, column: stride };
                add_product(extent, left, &right[start * d..], d, &mut target[first * d..], d);
            }
        }
    }

    /// The own row's part.
    pub fn own(
        &self,
        (keys, values): (&[T], &[T]),
        d_query: Option<&mut [T]>,
        d_key: Option<&mut [T]>,
        d_value: Option<&mut [T]>,
    ) {
        let (d, _, stride) = self.shape;
        let queries = self.visible.len();
        let scale = T::ONE / T::of(d as f64).sqrt();
        let weights = &self.weights[queries * stride..];
        let d_scores: Vec<T> = (0..queries)
            .map(|i| {
                let range = i * d..(i + 1) * d;
                let d_y = &self.d_y[range.clone()];
                weights[i] * (dot(d_y, &values[range.clone()]) - dot(d_y, &self.y[range])) * scale
            })
            .collect();
        let parts = [(d_query, &d_scores[..], keys), (d_key, &d_scores, self.query), (d_value, weights, self.d_y)];
        for (target, factors, rows) in parts {
            let Some(target) = target else { continue };
            for ((target, row), &factor) in target.chunks_exact_mut(d).zip(rows.chunks_exact(d)).zip(factors) {
                target.iter_mut().zip(row).for_each(|(target, &x)| *target += factor * x);
            }
        }
    }
}

vectorized! {
    /// On entry `d_scores` (rows, stride) holds d_y . value.
    fn scores_gradient<T, I>(d_scores: &mut [T], weights: &[T], y: &[T], d_y: &[T], shape: (usize, usize, usize)) {
        let (d, stride, columns) = shape;
        let scale = T::ONE / T::of(d as f64).sqrt();
        let rows = d_scores.chunks_exact_mut(stride).zip(weights.chunks_exact(stride));
        for ((d_scores, weights), (y, d_y)) in rows.zip(y.chunks_exact(d).zip(d_y.chunks_exact(d))) {
            let mut along = T::ZERO;
            for (&y, &d_y) in y.iter().zip(d_y) {
                along = madd::<T, I>(y, d_y, along);
            }
            for (d_score, &weight) in d_scores[..columns].iter_mut().zip(&weights[..columns]) {
                *d_score = weight * scale * (*d_score - along);
            }
        }
    }
}
