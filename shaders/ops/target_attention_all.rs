//! Target attention over all rows of a sequence, on the CPU: chunks of rows that stay in the cache, against tiles of
//! queries, the largest score so far and the sums carried along (online softmax, Milakov & Gimelshein 2018), so that no
//! more than a tile of scores exists. Chunks are cut by the rows' places alone: a query's bits do not depend on its
//! neighbors.

use std::ops::Range;

use super::block::{Block, Taken};
use super::product::{Extent, Left, add_product, transpose};
use super::real::{Real, larger};
use super::tape::Value;
use super::target_attention::TargetAttention;
use super::unit::{LANES, dot};
use super::vectorized::vectorized;

/// Queries of a tile.
const QUERIES: usize = 32;
/// Rows of a chunk, at most.
const ROWS: usize = 256;
/// The score of a row that is not there, and what the largest score begins with.
pub(super) const NEVER: f64 = -1e30;
/// Numbers kept of a query for the backward pass: its largest score, and 1 / the sum.
const KEPT: usize = 2;

/// A chunk of a sequence's rows, and how many scores stand for it: a multiple of [`LANES`].
struct Chunk {
    rows: Range<usize>,
    stride: usize,
}

fn chunks(rows: Range<usize>) -> impl Iterator<Item = Chunk> {
    rows.clone().step_by(ROWS).map(move |start| {
        let rows = start..(start + ROWS).min(rows.end);
        Chunk { stride: rows.len().next_multiple_of(LANES), rows }
    })
}

fn tiles(queries: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    queries.clone().step_by(QUERIES).map(move |start| start..(start + QUERIES).min(queries.end))
}

impl TargetAttention {
    /// The keys of a chunk, turned (d, stride), times the scale; biases (stride).
    fn turn_keys<T: Real>(&self, block: &Block<'_, T>, chunk: &Chunk, turned: &mut Vec<T>, biases: &mut Vec<T>) {
        let (d, rows) = (block.columns(self.query), chunk.rows.clone());
        turned.clear();
        turned.resize(d * chunk.stride, T::ZERO);
        transpose(&block.data(self.rows.key)[rows.start * d..rows.end * d], d, turned, chunk.stride);
        let scale = T::of(self.scale);
        if scale != T::ONE {
            turned.iter_mut().for_each(|key| *key *= scale);
        }
        biases.clear();
        match self.rows.bias {
            Some(bias) => biases.extend_from_slice(&block.data(bias)[rows]),
            None => biases.resize(rows.len(), T::ZERO),
        }
        biases.resize(chunk.stride, T::of(NEVER));
    }

    /// The values of a chunk, turned (columns of all, stride).
    fn turn_values<T: Real>(&self, block: &Block<'_, T>, chunk: &Chunk, turned: &mut Vec<T>) {
        turned.clear();
        for &value in &self.rows.values {
            let (columns, start) = (block.columns(value), turned.len());
            turned.resize(start + columns * chunk.stride, T::ZERO);
            let values = &block.data(value)[chunk.rows.start * columns..chunk.rows.end * columns];
            transpose(values, columns, &mut turned[start..], chunk.stride);
        }
    }

    pub(super) fn forward_all<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let (d, all) = (block.columns(self.query), block.columns(self.y));
        let mut y = block.take(self.y);
        let mut saved = block.take_saved(place, y.len() / all * KEPT);
        let mut scratch: [Vec<T>; 3] = std::array::from_fn(|_| block.take_scratch());
        y.fill(T::ZERO);
        for kept in saved.chunks_exact_mut(KEPT) {
            kept.copy_from_slice(&[T::of(NEVER), T::ZERO]);
        }
        let [turned, biases, scores] = &mut scratch;
        for n in 0..block.sequences.len() {
            let queries = block.segment(block.axis(self.query), n);
            for chunk in chunks(block.segment(block.axis(self.rows.key), n)) {
                self.turn_keys(block, &chunk, turned, biases);
                for tile in tiles(queries.clone()) {
                    let y = &mut y[tile.start * all..tile.end * all];
                    score(&block.data(self.query)[tile.start * d..tile.end * d], d, turned, biases, scores);
                    soften(scores, chunk.stride, &mut saved[tile.start * KEPT..tile.end * KEPT], y, all);
                    let mut column = 0;
                    for &value in &self.rows.values {
                        let columns = block.columns(value);
                        let values = &block.data(value)[chunk.rows.start * columns..chunk.rows.end * columns];
                        let extent = Extent { rows: tile.len(), depth: chunk.rows.len(), columns };
                        let left = Left::rows(scores, chunk.stride);
                        add_product(extent, left, values, columns, &mut y[column..], all);
                        column += columns;
                    }
                }
            }
        }
        finish(&mut saved, &mut y, all);
        block.put(self.y, y);
        block.work.saved[place] = saved;
        scratch.into_iter().for_each(|scratch| block.put_scratch(scratch));
    }

    pub(super) fn backward_all<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let (d, all) = (block.columns(self.query), block.columns(self.y));
        let saved = std::mem::take(&mut block.work.saved[place]);
        let mut scratch: [Vec<T>; 5] = std::array::from_fn(|_| block.take_scratch());
        let mut d_query = block.take_gradient(self.query);
        let mut d_rows = GradientOfRows::take(self, block);
        let [turned, biases, turned_values, weights, d_scores] = &mut scratch;
        for n in 0..block.sequences.len() {
            let queries = block.segment(block.axis(self.query), n);
            for chunk in chunks(block.segment(block.axis(self.rows.key), n)) {
                let stride = chunk.stride;
                self.turn_keys(block, &chunk, turned, biases);
                self.turn_values(block, &chunk, turned_values);
                for tile in tiles(queries.clone()) {
                    let query = &block.data(self.query)[tile.start * d..tile.end * d];
                    let range = tile.start * all..tile.end * all;
                    let (y, d_y) = (&block.data(self.y)[range.clone()], &block.gradient(self.y)[range]);
                    score(query, d, turned, biases, weights);
                    d_scores.clear();
                    d_scores.resize(tile.len() * stride, T::ZERO);
                    let extent = Extent { rows: tile.len(), depth: all, columns: stride };
                    add_product(extent, Left::rows(d_y, all), turned_values, stride, d_scores, stride);
                    let kept = &saved[tile.start * KEPT..tile.end * KEPT];
                    scores_gradient(weights, stride, kept, d_scores, y, d_y, all);
                    d_rows.add_sums(d_scores, &chunk);
                    let scale = T::of(self.scale);
                    if scale != T::ONE {
                        d_scores.iter_mut().for_each(|d_score| *d_score *= scale);
                    }
                    if let Some(d_query) = &mut d_query {
                        let key = &block.data(self.rows.key)[chunk.rows.start * d..chunk.rows.end * d];
                        let extent = Extent { rows: tile.len(), depth: chunk.rows.len(), columns: d };
                        add_product(extent, Left::rows(d_scores, stride), key, d, &mut d_query[tile.start * d..], d);
                    }
                    d_rows.add_products(&chunk, (d_scores, query, d), (weights, d_y, all));
                }
            }
        }
        block.work.saved[place] = saved;
        scratch.into_iter().for_each(|scratch| block.put_scratch(scratch));
        block.put_gradient(d_query);
        d_rows.put(block);
    }
}

/// The gradients of keys, values and biases, where one flows.
pub(super) struct GradientOfRows<T> {
    pub key: Option<Taken<T>>,
    /// With the first column and the number of columns of each.
    pub values: Vec<(Option<Taken<T>>, usize, usize)>,
    pub bias: Option<Taken<T>>,
}

impl<T: Real> GradientOfRows<T> {
    pub fn take(attention: &TargetAttention, block: &mut Block<'_, T>) -> GradientOfRows<T> {
        let rows = &attention.rows;
        let mut column = 0;
        let mut value = |value: &Value, block: &mut Block<'_, T>| {
            let columns = block.columns(*value);
            column += columns;
            (block.take_gradient(*value), column - columns, columns)
        };
        GradientOfRows {
            key: block.take_gradient(rows.key),
            values: rows.values.iter().map(|part| value(part, block)).collect(),
            bias: rows.bias.and_then(|bias| block.take_gradient(bias)),
        }
    }

    pub fn put(self, block: &mut Block<'_, T>) {
        block.put_gradient(self.key);
        self.values.into_iter().for_each(|(value, ..)| block.put_gradient(value));
        block.put_gradient(self.bias);
    }

    /// Biases: the sums of the tile's `d_scores` (queries, stride).
    fn add_sums(&mut self, d_scores: &[T], chunk: &Chunk) {
        let Some(d_bias) = &mut self.bias else { return };
        for d_scores in d_scores.chunks_exact(chunk.stride) {
            let d_bias = &mut d_bias[chunk.rows.clone()];
            d_bias.iter_mut().zip(d_scores).for_each(|(d_bias, &d_score)| *d_bias += d_score);
        }
    }

    /// Keys: `d_scores`^T query (queries, d); values: weights^T d_y (queries, all).
    fn add_products(
        &mut self,
        chunk: &Chunk,
        (d_scores, query, d): (&[T], &[T], usize),
        (weights, d_y, all): (&[T], &[T], usize),
    ) {
        let (rows, depth) = (chunk.rows.len(), query.len() / d);
        if let Some(d_key) = &mut self.key {
            let extent = Extent { rows, depth, columns: d };
            let left = Left::transposed(d_scores, chunk.stride);
            add_product(extent, left, query, d, &mut d_key[chunk.rows.start * d..], d);
        }
        for (d_value, column, columns) in &mut self.values {
            let Some(d_value) = d_value else { continue };
            let extent = Extent { rows, depth, columns: *columns };
            let left = Left::transposed(weights, chunk.stride);
            let target = &mut d_value[chunk.rows.start * *columns..];
            add_product(extent, left, &d_y[*column..], all, target, *columns);
        }
    }
}

/// Scores of a tile (queries, stride): query (queries, d) times `turned` (d, stride), plus the biases.
fn score<T: Real>(query: &[T], d: usize, turned: &[T], biases: &[T], scores: &mut Vec<T>) {
    let stride = biases.len();
    scores.clear();
    (0..query.len() / d).for_each(|_| scores.extend_from_slice(biases));
    let extent = Extent { rows: query.len() / d, depth: d, columns: stride };
    add_product(extent, Left::rows(query, d), turned, stride, scores, stride);
}

vectorized! {
    /// Turns scores into e^(score - largest so far), and what was summed so far to the new largest. `kept`: the largest
    /// score and the sum.
    fn soften<T, I>(scores: &mut [T], stride: usize, kept: &mut [T], y: &mut [T], columns: usize) {
        let rows = scores.chunks_exact_mut(stride).zip(kept.chunks_exact_mut(KEPT));
        for ((scores, kept), y) in rows.zip(y.chunks_exact_mut(columns)) {
            let mut most = [kept[0]; LANES];
            for chunk in scores.chunks_exact(LANES) {
                most.iter_mut().zip(chunk).for_each(|(most, &score)| *most = larger(score, *most));
            }
            let most = most.into_iter().fold(kept[0], larger);
            let mut sums = [T::ZERO; LANES];
            for chunk in scores.chunks_exact_mut(LANES) {
                for (sum, score) in sums.iter_mut().zip(chunk) {
                    *score = (*score - most).fast_exp::<I>();
                    *sum += *score;
                }
            }
            let keep = (kept[0] - most).fast_exp::<I>();
            kept[0] = most;
            kept[1] = sums.into_iter().fold(kept[1] * keep, |total, sum| total + sum);
            y.iter_mut().for_each(|y| *y *= keep);
        }
    }
}

vectorized! {
    /// Divides by the sums, of which the inverse is kept; zero where nothing was asked.
    fn finish<T, I>(kept: &mut [T], y: &mut [T], columns: usize) {
        for (kept, y) in kept.chunks_exact_mut(KEPT).zip(y.chunks_exact_mut(columns)) {
            kept[1] = if kept[1] == T::ZERO { T::ZERO } else { T::ONE / kept[1] };
            y.iter_mut().for_each(|y| *y *= kept[1]);
        }
    }
}

vectorized! {
    /// Scores become weights; d_scores, on entry d_y . value, becomes weight (d_y . value - d_y . y).
    fn scores_gradient<T, I>(
        scores: &mut [T], stride: usize, kept: &[T], d_scores: &mut [T], y: &[T], d_y: &[T], columns: usize,
    ) {
        let tile = scores.chunks_exact_mut(stride).zip(d_scores.chunks_exact_mut(stride));
        let rows = y.chunks_exact(columns).zip(d_y.chunks_exact(columns));
        for (((scores, d_scores), (y, d_y)), kept) in tile.zip(rows).zip(kept.chunks_exact(KEPT)) {
            let along = dot::<T, I>(y, d_y);
            for (score, d_score) in scores.iter_mut().zip(d_scores) {
                *score = (*score - kept[0]).fast_exp::<I>() * kept[1];
                *d_score = *score * (*d_score - along);
            }
        }
    }
}
