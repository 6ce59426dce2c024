//! Target attention over the rows that were chosen for each query, on the CPU.

use std::ops::Range;

use super::block::Block;
use super::real::{Real, larger, madd};
use super::target_attention::{Chosen, TargetAttention};
use super::target_attention_all::{GradientOfRows, NEVER};
use super::unit::{LANES, dot, finish_dot, partial_sums, sum_lanes};
use super::vectorized::{Isa, vectorized};

/// Numbers kept of a sequence's pairs for the backward pass: first the softmax of all, then the scaled products of query
/// and key of all.
const KEPT: usize = 2;
/// b1, b2, b3 and the temperature.
const PLAIN: [f64; 4] = [1.0, 0.0, 0.0, 1.0];

/// One sequence's queries and the pairs that they ask.
struct Pairs<'a, T> {
    /// (queries, d)
    query: &'a [T],
    /// (rows, d)
    key: &'a [T],
    /// (rows, columns) each.
    values: Vec<(&'a [T], usize)>,
    /// (rows)
    bias: Option<&'a [T]>,
    /// (queries, 2)
    ranges: &'a [u32],
    /// (pairs)
    rows: &'a [u32],
    /// (pairs)
    similarities: Option<&'a [T]>,
    coefficients: [T; 4],
    d: usize,
    scale: T,
    floor: T,
}

impl TargetAttention {
    /// The parts of sequence `n` of the block, and its rows of the axes: queries, rows, pairs.
    fn pairs<'b, T: Real>(
        &self,
        chosen: &Chosen,
        block: &'b Block<'_, T>,
        n: usize,
    ) -> (Pairs<'b, T>, [Range<usize>; 3]) {
        let queries = block.segment(block.axis(self.query), n);
        let rows = block.segment(block.axis(self.rows.key), n);
        let pairs = block.segment(block.shared.tape.ids[chosen.rows.index].axis, n);
        let d = block.columns(self.query);
        let mut coefficients = PLAIN.map(T::of);
        if let Some(similarities) = chosen.similarities {
            let given = block.data(similarities.coefficients);
            coefficients[..given.len()].copy_from_slice(given);
        }
        let value = |value: &super::tape::Value| {
            let columns = block.columns(*value);
            (&block.data(*value)[rows.start * columns..rows.end * columns], columns)
        };
        let parts = Pairs {
            query: &block.data(self.query)[queries.start * d..queries.end * d],
            key: &block.data(self.rows.key)[rows.start * d..rows.end * d],
            values: self.rows.values.iter().map(value).collect(),
            bias: self.rows.bias.map(|bias| &block.data(bias)[rows.clone()]),
            ranges: &block.ids(chosen.ranges)[2 * queries.start..2 * queries.end],
            rows: &block.ids(chosen.rows)[pairs.clone()],
            similarities: chosen.similarities.map(|similarities| &block.data(similarities.values)[pairs.clone()]),
            coefficients,
            d,
            scale: T::of(self.scale),
            floor: T::of(chosen.floor),
        };
        (parts, [queries, rows, pairs])
    }

    pub(super) fn forward_chosen<T: Real>(&self, chosen: &Chosen, place: usize, block: &mut Block<'_, T>) {
        let all = block.columns(self.y);
        let mut y = block.take(self.y);
        let pairs = block.rows(block.shared.tape.ids[chosen.rows.index].axis);
        let mut saved = block.take_saved(place, pairs * KEPT);
        y.fill(T::ZERO);
        for n in 0..block.sequences.len() {
            let (parts, [queries, _, pairs]) = self.pairs(chosen, block, n);
            let y = &mut y[queries.start * all..queries.end * all];
            target_attention(&parts, &mut saved[pairs.start * KEPT..pairs.end * KEPT], y, all);
        }
        block.put(self.y, y);
        block.work.saved[place] = saved;
    }

    pub(super) fn backward_chosen<T: Real>(&self, chosen: &Chosen, place: usize, block: &mut Block<'_, T>) {
        let all = block.columns(self.y);
        let saved = std::mem::take(&mut block.work.saved[place]);
        let mut d_query = block.take_gradient(self.query);
        let mut d_rows = GradientOfRows::take(self, block);
        let mut d_coefficients =
            chosen.similarities.and_then(|similarities| block.take_gradient(similarities.coefficients));
        let mut d_scores = block.take_scratch();
        for n in 0..block.sequences.len() {
            let (parts, [queries, rows, pairs]) = self.pairs(chosen, block, n);
            let saved = &saved[pairs.start * KEPT..pairs.end * KEPT];
            let d_y = &block.gradient(self.y)[queries.start * all..queries.end * all];
            d_scores.clear();
            d_scores.resize(pairs.len(), T::ZERO);
            let mut sums = [T::ZERO; 4];
            let d_query = d_query.as_mut().map(|d_query| &mut d_query[queries.start * parts.d..queries.end * parts.d]);
            target_attention_query_gradient(&parts, saved, (d_y, all), &mut d_scores, d_query, &mut sums);
            if let Some(d_coefficients) = &mut d_coefficients {
                d_coefficients.iter_mut().zip(sums).for_each(|(d_coefficient, sum)| *d_coefficient += sum);
            }
            target_attention_row_gradient(&parts, saved, (d_y, all), &d_scores, &mut d_rows, &rows);
        }
        block.work.saved[place] = saved;
        block.put_scratch(d_scores);
        block.put_gradient(d_query);
        block.put_gradient(d_coefficients);
        d_rows.put(block);
    }
}

impl<T: Real> Pairs<'_, T> {
    /// Each query's pairs.
    #[inline(always)]
    fn of_queries(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let ranges = self.ranges.chunks_exact(2).enumerate();
        ranges.map(|(i, range)| (i, range[0] as usize..(range[0] + range[1]) as usize))
    }

    /// r / t1 of a pair.
    #[inline(always)]
    fn m(&self, pair: usize) -> T {
        self.similarities.map_or(T::ZERO, |similarities| similarities[pair] / self.coefficients[3])
    }

    /// What a pair's product is multiplied by: b1 + b3 m.
    #[inline(always)]
    fn slope(&self, m: T) -> T {
        self.coefficients[0] + self.coefficients[2] * m
    }
}

#[inline(always)]
fn add_row<T: Real, I: Isa>(factor: T, row: &[T], target: &mut [T]) {
    for (target, &x) in target.iter_mut().zip(row) {
        *target = madd::<T, I>(factor, x, *target);
    }
}

vectorized! {
    fn target_attention<T, I>(parts: &Pairs<'_, T>, saved: &mut [T], y: &mut [T], all: usize) {
        let (weights, products) = saved.split_at_mut(parts.rows.len());
        let (mut scores, mut partials) = (Vec::new(), Vec::new());
        for (i, pairs) in parts.of_queries() {
            let (rows, products) = (&parts.rows[pairs.clone()], &mut products[pairs.clone()]);
            let query = &parts.query[i * parts.d..][..parts.d];
            multiply_keys::<T, I>(parts, query, rows, &mut partials, products);
            scores.clear();
            for ((pair, &product), &row) in pairs.clone().zip(&*products).zip(rows) {
                let (m, bias) = (parts.m(pair), parts.bias.map_or(T::ZERO, |bias| bias[row as usize]));
                scores.push(parts.slope(m) * product + parts.coefficients[1] * m + bias);
            }
            scores.resize(scores.len().next_multiple_of(LANES), T::of(NEVER));
            let weights = &mut weights[pairs];
            soften::<T, I>(&mut scores, weights);
            let mut column = 0;
            for &(values, columns) in &parts.values {
                let y = &mut y[i * all + column..][..columns];
                let (mut place, parts) = (0, (weights as &[T], parts.floor, rows));
                macro_rules! columns_of {
                    ($($width:literal)*) => {
                        $(while columns - place >= $width {
                            add_values::<T, I, $width>(parts, (values, columns, place), y);
                            place += $width;
                        })*
                    };
                }
                columns_of!(64 32 16 8 4 1);
                column += columns;
            }
        }
    }
}

/// The scaled product of the query and each chosen row's key. Partial sums of all come first: to the compiler one loop
/// over registers, and one that adds their lanes.
#[inline(always)]
fn multiply_keys<T: Real, I: Isa>(
    parts: &Pairs<'_, T>,
    query: &[T],
    rows: &[u32],
    partials: &mut Vec<[T; LANES]>,
    products: &mut [T],
) {
    let key = |row: u32| &parts.key[row as usize * parts.d..][..parts.d];
    partials.resize(rows.len(), [T::ZERO; LANES]);
    for (partials, &row) in partials.iter_mut().zip(rows) {
        *partials = partial_sums::<T, I>(query, key(row));
    }
    for ((product, partials), &row) in products.iter_mut().zip(&*partials).zip(rows) {
        *product = parts.scale * finish_dot::<T, I>(partials, query, key(row));
    }
}

/// The softmax of scores, of which those beyond the weights are [`NEVER`].
#[inline(always)]
fn soften<T: Real, I: Isa>(scores: &mut [T], weights: &mut [T]) {
    let mut most = [T::of(NEVER); LANES];
    for chunk in scores.chunks_exact(LANES) {
        most.iter_mut().zip(chunk).for_each(|(most, &score)| *most = larger(score, *most));
    }
    let most = most.into_iter().fold(T::of(NEVER), larger);
    let mut sums = [T::ZERO; LANES];
    for chunk in scores.chunks_exact_mut(LANES) {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = (*score - most).fast_exp::<I>();
            *sum += *score;
        }
    }
    let inverse = T::ONE / sum_lanes(&sums);
    weights.iter_mut().zip(scores).for_each(|(weight, score)| *weight = *score * inverse);
}

/// `W` columns from `place` on of the sum of the chosen rows' values, in registers.
#[inline(always)]
fn add_values<T: Real, I: Isa, const W: usize>(
    (weights, floor, rows): (&[T], T, &[u32]),
    (values, columns, place): (&[T], usize, usize),
    y: &mut [T],
) {
    let mut sums = [T::ZERO; W];
    for (&weight, &row) in weights.iter().zip(rows) {
        let values: &[T; W] = values[row as usize * columns + place..].first_chunk().expect("a whole row");
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum = madd::<T, I>(weight + floor, value, *sum);
        }
    }
    y[place..place + W].copy_from_slice(&sums);
}

vectorized! {
    /// The gradient of every pair's score, and of queries and coefficients.
    fn target_attention_query_gradient<T, I>(
        parts: &Pairs<'_, T>,
        saved: &[T],
        d_y: (&[T], usize),
        d_scores: &mut [T],
        d_query: Option<&mut [T]>,
        sums: &mut [T; 4],
    ) {
        let (d, (d_y, all)) = (parts.d, d_y);
        let (weights, products) = saved.split_at(parts.rows.len());
        let [b1, b2, b3, temperature] = parts.coefficients;
        let mut d_query = d_query;
        for (i, pairs) in parts.of_queries() {
            let d_y = &d_y[i * all..][..all];
            let mut along = T::ZERO;
            for pair in pairs.clone() {
                let (row, mut column) = (parts.rows[pair] as usize, 0);
                for &(values, columns) in &parts.values {
                    let with_value = dot::<T, I>(&d_y[column..][..columns], &values[row * columns..][..columns]);
                    d_scores[pair] += with_value;
                    column += columns;
                }
                along = madd::<T, I>(weights[pair], d_scores[pair], along);
            }
            for pair in pairs {
                let (weight, product, m) = (weights[pair], products[pair], parts.m(pair));
                let d_score = weight * (d_scores[pair] - along);
                d_scores[pair] = d_score;
                sums[0] += d_score * product;
                sums[1] += d_score * m;
                sums[2] += d_score * product * m;
                sums[3] += T::ZERO - d_score * (b2 + b3 * product) * m / temperature;
                if let Some(d_query) = &mut d_query {
                    let key = &parts.key[parts.rows[pair] as usize * d..][..d];
                    let d_product = d_score * (b1 + b3 * m) * parts.scale;
                    add_row::<T, I>(d_product, key, &mut d_query[i * d..][..d]);
                }
            }
        }
    }
}

vectorized! {
    /// The gradient of keys, values and biases.
    fn target_attention_row_gradient<T, I>(
        parts: &Pairs<'_, T>,
        saved: &[T],
        d_y: (&[T], usize),
        d_scores: &[T],
        d_rows: &mut GradientOfRows<T>,
        rows: &Range<usize>,
    ) {
        let (d, (d_y, all)) = (parts.d, d_y);
        for (i, pairs) in parts.of_queries() {
            for pair in pairs {
                let row = rows.start + parts.rows[pair] as usize;
                if let Some(d_key) = &mut d_rows.key {
                    let d_product = d_scores[pair] * parts.slope(parts.m(pair)) * parts.scale;
                    add_row::<T, I>(d_product, &parts.query[i * d..][..d], &mut d_key[row * d..][..d]);
                }
                for (d_value, column, columns) in &mut d_rows.values {
                    let Some(d_value) = d_value else { continue };
                    let d_y = &d_y[i * all + *column..][..*columns];
                    let target = &mut d_value[row * *columns..][..*columns];
                    add_row::<T, I>(saved[pair] + parts.floor, d_y, target);
                }
                if let Some(d_bias) = &mut d_rows.bias {
                    d_bias[row] += d_scores[pair];
                }
            }
        }
    }
}
