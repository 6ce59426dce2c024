//! Masked attention of query rows over their own sequence's rows and a prefix that all of them see (spec 2.4, 6.1).
//!
//! Query row i sees the prefix and the first `visible[i]` rows of its sequence. Under [`Form::OnePlus`] it may also
//! attend to nothing: the weights are e^s_j / (1 + sum e^s_j). Under [`Form::SelfToken`] it sees one more row, its own,
//! where there is one.

use std::ops::Range;

use super::attention_gradient::Gradient;
use super::block::Block;
use super::gpu::sight;
use super::kernels::{AttentionKeyGradientParams, AttentionParams, AttentionQueryGradientParams};
use super::launch::Launch;
use super::linear::add;
use super::product::{Extent, Left, add_product, transpose};
use super::real::{Real, larger, madd};
use super::tape::{Ids, Tape, Value};
use super::vectorized::{Isa, vectorized};
use crate::Error;

/// What the weights are normalized by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 1 + the sum over what is visible: attending to nothing is possible.
    OnePlus,
    /// The sum over what is visible, the query's own key and value among it.
    SelfToken,
}

/// Keys and values, rows alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyValue {
    /// (rows, d)
    pub key: Value,
    /// (rows, d)
    pub value: Value,
}

/// See [`Tape::attention`].
#[derive(Debug)]
pub(crate) struct Attention {
    pub form: Form,
    pub query: Value,
    pub rows: KeyValue,
    pub prefix: KeyValue,
    /// The query rows' own keys and values.
    pub own: Option<KeyValue>,
    pub visible: Ids,
    pub y: Value,
}

impl Tape {
    /// softmax(query . key / sqrt(d)) value, over the prefix and the first `visible` rows of the query's sequence.
    pub fn attention(
        &mut self,
        form: Form,
        query: Value,
        rows: KeyValue,
        prefix: KeyValue,
        own: Option<KeyValue>,
        visible: Ids,
    ) -> Value {
        let (axis, d) = (self.axis_of(query), self.columns_of(query));
        let mut inputs = vec![query];
        for (pair, of) in [(Some(rows), None), (Some(prefix), None), (own, Some(axis))] {
            let Some(KeyValue { key, value }) = pair else { continue };
            assert!(
                self.columns_of(key) == d && self.columns_of(value) == d,
                "queries, keys and values are of one width"
            );
            assert!(
                self.axis_of(key) == self.axis_of(value) && of.is_none_or(|of| of == self.axis_of(key)),
                "rows of keys"
            );
            inputs.extend([key, value]);
        }
        assert!(own.is_none() || form == Form::SelfToken, "own keys are for the self token");
        let y = self.result(axis, d, &inputs);
        self.operations.push(super::Operation::Attention(Attention { form, query, rows, prefix, own, visible, y }));
        y
    }
}

/// Rows of one sequence in the block.
struct Rows {
    queries: Range<usize>,
    prefix: Range<usize>,
    events: Range<usize>,
    /// Width of a row of weights: prefix and events, rounded up to [`LANES`].
    stride: usize,
}

/// Columns are handled so many at a time.
pub(super) const LANES: usize = 16;
/// Query rows are handled so many at a time, with the columns that the last of them sees.
pub(super) const TILE: usize = 8;

impl Attention {
    fn sequence<T: Real>(&self, block: &Block<'_, T>, n: usize) -> Rows {
        let queries = block.segment(block.axis(self.query), n);
        let prefix = block.segment(block.axis(self.prefix.key), n);
        let events = block.segment(block.axis(self.rows.key), n);
        let stride = (prefix.len() + events.len()).next_multiple_of(LANES);
        Rows { queries, prefix, events, stride }
    }

    /// Prefix and rows of keys or values under each other, zero rows up to the stride.
    fn collect<T: Real>(&self, block: &Block<'_, T>, rows: &Rows, prefix: Value, events: Value, into: &mut Vec<T>) {
        let d = block.columns(self.query);
        into.clear();
        into.extend_from_slice(&block.data(prefix)[rows.prefix.start * d..rows.prefix.end * d]);
        into.extend_from_slice(&block.data(events)[rows.events.start * d..rows.events.end * d]);
        into.resize(rows.stride * d, T::ZERO);
    }

    pub fn forward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let d = block.columns(self.query);
        let mut y = block.take(self.y);
        let mut weights = block.take_saved(place, 0);
        let (mut keys, mut turned, mut values) = (block.take_scratch(), block.take_scratch(), block.take_scratch());
        y.fill(T::ZERO);
        weights.clear();
        for n in 0..block.sequences.len() {
            let rows = self.sequence(block, n);
            self.collect(block, &rows, self.prefix.key, self.rows.key, &mut keys);
            self.collect(block, &rows, self.prefix.value, self.rows.value, &mut values);
            turned.clear();
            turned.resize(d * rows.stride, T::ZERO);
            transpose(&keys, d, &mut turned, rows.stride);
            let start = weights.len();
            // A row of weights, and the own row's weight behind all.
            weights.resize(start + rows.queries.len() * (rows.stride + 1), T::ZERO);
            let own = self.own.map(|own| {
                let range = rows.queries.start * d..rows.queries.end * d;
                (&block.data(own.key)[range.clone()], &block.data(own.value)[range])
            });
            attention(
                self.form,
                &block.data(self.query)[rows.queries.start * d..rows.queries.end * d],
                (&turned, &values, own),
                &block.ids(self.visible)[rows.queries.clone()],
                (d, rows.prefix.len(), rows.stride),
                &mut weights[start..],
                &mut y[rows.queries.start * d..rows.queries.end * d],
            );
        }
        block.put(self.y, y);
        block.work.saved[place] = weights;
        [keys, turned, values].into_iter().for_each(|scratch| block.put_scratch(scratch));
    }

    pub fn backward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        let d = block.columns(self.query);
        let pairs = [Some(self.rows), Some(self.prefix), self.own];
        let mut taken =
            pairs.map(|pair| pair.map(|pair| (block.take_gradient(pair.key), block.take_gradient(pair.value))));
        let mut d_query = block.take_gradient(self.query);
        let weights = std::mem::take(&mut block.work.saved[place]);
        let mut scratch: [Vec<T>; 6] = std::array::from_fn(|_| block.take_scratch());
        let mut start = 0;
        for n in 0..block.sequences.len() {
            let rows = self.sequence(block, n);
            let [keys, values, turned, d_scores, d_keys, d_values] = &mut scratch;
            self.collect(block, &rows, self.prefix.key, self.rows.key, keys);
            self.collect(block, &rows, self.prefix.value, self.rows.value, values);
            for (scratch, len) in [
                (&mut *turned, d * rows.stride),
                (&mut *d_scores, rows.queries.len() * rows.stride),
                (&mut *d_keys, keys.len()),
                (&mut *d_values, values.len()),
            ] {
                scratch.clear();
                scratch.resize(len, T::ZERO);
            }
            transpose(values, d, turned, rows.stride);
            let queries = rows.queries.start * d..rows.queries.end * d;
            let saved = rows.queries.len() * (rows.stride + 1);
            let mut place = Gradient {
                shape: (d, rows.prefix.len(), rows.stride),
                visible: &block.ids(self.visible)[rows.queries.clone()],
                query: &block.data(self.query)[queries.clone()],
                y: &block.data(self.y)[queries.clone()],
                d_y: &block.gradient(self.y)[queries.clone()],
                weights: &weights[start..start + saved],
                d_scores,
            };
            start += saved;
            place.scores(turned);
            place.attention_key_gradient(d_keys, d_values);
            if let Some(d_query) = &mut d_query {
                place.attention_query_gradient(keys, &mut d_query[queries.clone()]);
            }
            if let (Some(own), Some((d_key, d_value))) = (self.own, &mut taken[2]) {
                let own = (&block.data(own.key)[queries.clone()], &block.data(own.value)[queries.clone()]);
                let d_query = d_query.as_mut().map(|d_query| &mut d_query[queries.clone()]);
                let d_key = d_key.as_mut().map(|d_key| &mut d_key[queries.clone()]);
                let d_value = d_value.as_mut().map(|d_value| &mut d_value[queries.clone()]);
                place.own(own, d_query, d_key, d_value);
            }
            let border = rows.prefix.len() * d;
            for (pair, part, range) in [
                (0, border..border + rows.events.len() * d, rows.events.start * d..rows.events.end * d),
                (1, 0..border, rows.prefix.start * d..rows.prefix.end * d),
            ] {
                let Some((d_key, d_value)) = &mut taken[pair] else { continue };
                for (target, source) in [(d_key, &*d_keys), (d_value, &*d_values)] {
                    if let Some(target) = target {
                        add(&source[part.clone()], &mut target[range.clone()]);
                    }
                }
            }
        }
        block.work.saved[place] = weights;
        scratch.into_iter().for_each(|scratch| block.put_scratch(scratch));
        block.put_gradient(d_query);
        for (d_key, d_value) in taken.into_iter().flatten() {
            block.put_gradient(d_key);
            block.put_gradient(d_value);
        }
    }
}

/// One sequence's forward. `turned` (d, stride): keys; `values` (stride, d); `own` keys and values (queries, d);
/// `weights` (queries, stride), then (queries); `y` (queries, d), zero.
#[expect(clippy::type_complexity, reason = "three views of memory, named in the line above")]
fn attention<T: Real>(
    form: Form,
    query: &[T],
    (turned, values, own): (&[T], &[T], Option<(&[T], &[T])>),
    visible: &[u32],
    (d, prefix, stride): (usize, usize, usize),
    weights: &mut [T],
    y: &mut [T],
) {
    let queries = visible.len();
    let (weights, own_weights) = weights.split_at_mut(queries * stride);
    if let Some((keys, _)) = own {
        for (i, score) in own_weights.iter_mut().enumerate() {
            *score = dot(&query[i * d..][..d], &keys[i * d..][..d]);
        }
    }
    for first in (0..queries).step_by(TILE) {
        let tile = first..(first + TILE).min(queries);
        let columns = columns_seen(&visible[tile.clone()], prefix, stride);
        let part = &mut weights[tile.start * stride..tile.end * stride];
        let extent = Extent { rows: tile.len(), depth: d, columns };
        add_product(extent, Left::rows(&query[tile.start * d..], d), turned, stride, part, stride);
        let own_part = if own.is_some() { &mut own_weights[tile.clone()] } else { &mut [][..] };
        let scale = T::ONE / T::of(d as f64).sqrt();
        normalize(part, (prefix, stride, columns), &visible[tile.clone()], scale, form, own_part);
        let extent = Extent { rows: tile.len(), depth: columns, columns: d };
        add_product(extent, Left::rows(part, stride), values, d, &mut y[tile.start * d..], d);
    }
    if let Some((_, values)) = own {
        for (i, &weight) in own_weights.iter().enumerate() {
            let row = y[i * d..][..d].iter_mut().zip(&values[i * d..][..d]);
            row.for_each(|(y, &value)| *y += weight * value);
        }
    }
}

/// Columns that any of the rows sees, rounded up.
pub(super) fn columns_seen(visible: &[u32], prefix: usize, stride: usize) -> usize {
    let most = visible.iter().max().map_or(0, |&most| most as usize);
    (prefix + most).next_multiple_of(LANES).min(stride)
}

pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

vectorized! {
    /// Turns a tile of scores (rows, stride) into weights, zero where nothing is to be seen; `own` holds the own rows'
    /// scores and takes their weights.
    fn normalize<T, I>(
        weights: &mut [T], shape: (usize, usize, usize), visible: &[u32], scale: T, form: Form, own: &mut [T],
    ) {
        let (prefix, stride, columns) = shape;
        for (i, (row, &visible)) in weights.chunks_exact_mut(stride).zip(visible).enumerate() {
            let own = own.get_mut(i);
            normalize_row::<T, I>(&mut row[..columns], prefix + visible as usize, scale, form, own);
        }
    }
}

#[inline(always)]
fn normalize_row<T: Real, I: Isa>(row: &mut [T], seen: usize, scale: T, form: Form, own: Option<&mut T>) {
    let floor = match (&own, form) {
        (_, Form::OnePlus) => T::ZERO,
        (Some(own), _) => **own * scale,
        (None, _) => T::of(f64::from(f32::MIN)),
    };
    let mut most = [floor; LANES];
    for (n, chunk) in row.chunks_exact(LANES).enumerate() {
        for (lane, (most, &score)) in most.iter_mut().zip(chunk).enumerate() {
            let score = if n * LANES + lane < seen { score * scale } else { floor };
            *most = larger(score, *most);
        }
    }
    let most = most.into_iter().fold(floor, larger);
    let mut sums = [T::ZERO; LANES];
    for (n, chunk) in row.chunks_exact_mut(LANES).enumerate() {
        for (lane, (sum, score)) in sums.iter_mut().zip(chunk).enumerate() {
            let weight = madd::<T, I>(*score, scale, -most).fast_exp::<I>();
            *score = if n * LANES + lane < seen { weight } else { T::ZERO };
            *sum += *score;
        }
    }
    let nothing = if form == Form::OnePlus { (-most).fast_exp::<I>() } else { T::ZERO };
    let own_weight = own.as_ref().map_or(T::ZERO, |own| madd::<T, I>(**own, scale, -most).fast_exp::<I>());
    let total = sums.into_iter().fold(nothing + own_weight, |total, sum| total + sum);
    // Zero only where nothing at all is visible: then the row stays zero.
    let inverse = if total == T::ZERO { T::ZERO } else { T::ONE / total };
    row.iter_mut().for_each(|weight| *weight *= inverse);
    if let Some(own) = own {
        *own = own_weight * inverse;
    }
}

impl Attention {
    pub fn launch(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (queries, d) = (on.rows(self.query), on.columns(self.query));
        let [rows, prefix, own] = self.pack_keys(on)?;
        let scales = on.saved(place, 3 * queries)?;
        let params = AttentionParams {
            queries: queries as u32,
            d: d as u32,
            one_plus: (self.form == Form::OnePlus).into(),
            has_own: self.own.is_some().into(),
        };
        let seen = on.buffers.sights[&sight(on.tape, self)].seen.buffer().clone();
        let buffers = [&on.data(self.query), &rows, &prefix, &own, &seen, &on.data(self.y), &scales];
        on.pass.dispatch(&on.kernels.attention, &params, &buffers, queries as u64)
    }

    pub fn launch_gradient(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (queries, d) = (on.rows(self.query), on.columns(self.query));
        let [rows, prefix, own] = self.pack_keys(on)?;
        let parts = [on.data(self.query), on.data(self.y), on.gradient(self.y)];
        let query = on.pack(3, &parts.map(|part| (part, d)), queries)?;
        let scales = on.saved(place, 3 * queries)?;
        let sight = &on.buffers.sights[&sight(on.tape, self)];
        let seen = sight.seen.buffer().clone();
        let asked = [sight.by_rows.buffer().clone(), sight.by_prefix.buffer().clone()];
        let d_query = on.packed(4, 3 * queries * d)?;
        let has_own = self.own.is_some().into();
        let params = AttentionQueryGradientParams { queries: queries as u32, d: d as u32, has_own };
        let buffers = [&query, &rows, &prefix, &own, &seen, &scales, &d_query];
        on.pass.dispatch(&on.kernels.attention_query_gradient, &params, &buffers, queries as u64)?;
        on.unpack(&d_query, self.query, 0, 3 * d)?;
        if let Some(own) = self.own {
            on.unpack(&d_query, own.key, d, 3 * d)?;
            on.unpack(&d_query, own.value, 2 * d, 3 * d)?;
        }
        for ((pair, keys), asked) in [(self.rows, &rows), (self.prefix, &prefix)].into_iter().zip(&asked) {
            let count = on.rows(pair.key);
            let d_rows = on.packed(4, 2 * count * d)?;
            let params = AttentionKeyGradientParams { keys: count as u32, d: d as u32 };
            let buffers = [&query, keys, asked, &seen, &scales, &d_rows];
            on.pass.dispatch(&on.kernels.attention_key_gradient, &params, &buffers, count as u64)?;
            on.unpack(&d_rows, pair.key, 0, 2 * d)?;
            on.unpack(&d_rows, pair.value, d, 2 * d)?;
        }
        Ok(())
    }

    fn pack_keys(&self, on: &mut Launch<'_>) -> Result<[wgpu::Buffer; 3], Error> {
        let mut pairs = [on.nothing(), on.nothing(), on.nothing()];
        let kinds = [Some(self.rows), Some(self.prefix), self.own];
        for (n, pair) in kinds.into_iter().enumerate() {
            let Some(KeyValue { key, value }) = pair else { continue };
            let parts = [key, value].map(|part| (on.data(part), on.columns(part)));
            pairs[n] = on.pack(n, &parts, on.rows(key))?;
        }
        Ok(pairs)
    }
}
