//! Choosing from a pool: cosines of queries and keys, the largest of them, and the loss that draws the chosen keys
//! nearer (spec 3.2, 3.4, 6.3).

use super::block::Block;
use super::kernels::{CosineGradientParams, CosineParams, KeyDistanceGradientParams, KeyDistanceParams, TopParams};
use super::launch::Launch;
use super::launch::groups;
use super::real::Real;
use super::tape::{Ids, Tape, Value};
use crate::Error;

/// Squared lengths below this count as this.
const SQUARE_MIN: f64 = 1e-12;

/// See [`Tape::cosine`].
#[derive(Debug)]
pub(crate) struct Cosine {
    pub query: Value,
    pub keys: Value,
    pub y: Value,
}

/// See [`Tape::top`].
#[derive(Debug)]
pub(crate) struct Top {
    pub scores: Value,
    /// (columns, 1), subtracted before the choice.
    pub penalty: Option<Value>,
    /// Per row: whether its scores say anything.
    pub counts: Ids,
    pub chosen: Ids,
}

/// See [`Tape::distance`].
#[derive(Debug)]
pub(crate) struct Distance {
    pub cosines: Value,
    pub chosen: Ids,
    pub y: Value,
}

impl Tape {
    /// query . key / (|query| |key|) of each row of `query` and each row of the table `keys`: (rows, keys).
    pub fn cosine(&mut self, query: Value, keys: Value) -> Value {
        assert_eq!(self.columns_of(query), self.columns_of(keys), "columns of query and key");
        let y = self.result(self.axis_of(query), self.rows_in(keys), &[query, keys]);
        self.operations.push(super::Operation::Cosine(Cosine { query, keys, y }));
        y
    }

    /// The columns of the `n` largest scores less `penalty` (columns, 1), largest first, ties to the lower; 0, 1, ...
    /// where `counts` is 0.
    pub fn top(&mut self, scores: Value, penalty: Option<Value>, counts: Ids, n: usize) -> Ids {
        assert!(n <= self.columns_of(scores), "more are to be chosen than there are");
        let chosen = self.result_ids(self.axis_of(scores), n);
        self.operations.push(super::Operation::Top(Top { scores, penalty, counts, chosen }));
        chosen
    }

    /// Per row the sum of 1 - cosine over the chosen columns: (rows, 1).
    pub fn distance(&mut self, cosines: Value, chosen: Ids) -> Value {
        let y = self.result(self.axis_of(cosines), 1, &[cosines]);
        self.operations.push(super::Operation::Distance(Distance { cosines, chosen, y }));
        y
    }
}

fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

/// 1 / length.
fn inverse_length<T: Real>(x: &[T]) -> T {
    let square = dot(x, x);
    let least = T::of(SQUARE_MIN);
    T::ONE / (if square < least { least } else { square }).sqrt()
}

impl Cosine {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        cosine(block.data(self.query), block.data(self.keys), block.columns(self.query), &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_query = block.take_gradient(self.query);
        let mut d_keys = block.take_gradient(self.keys);
        let columns = block.columns(self.query);
        let (query, keys) = (block.data(self.query), block.data(self.keys));
        let targets = (d_query.as_deref_mut(), d_keys.as_deref_mut());
        cosine_gradient((query, keys, columns), block.data(self.y), block.gradient(self.y), targets);
        block.put_gradient(d_query);
        block.put_gradient(d_keys);
    }
}

/// Spec 6.3; either side may be left out.
fn cosine_gradient<T: Real>(
    (query, keys, columns): (&[T], &[T], usize),
    y: &[T],
    d_y: &[T],
    (mut d_query, mut d_keys): (Option<&mut [T]>, Option<&mut [T]>),
) {
    let pool = keys.len() / columns;
    let key_scales: Vec<T> = keys.chunks_exact(columns).map(inverse_length).collect();
    for (b, query) in query.chunks_exact(columns).enumerate() {
        let query_scale = inverse_length(query);
        for (m, key) in keys.chunks_exact(columns).enumerate() {
            let (cos, d_cos, key_scale) = (y[b * pool + m], d_y[b * pool + m], key_scales[m]);
            if d_cos == T::ZERO {
                continue;
            }
            for j in 0..columns {
                let (unit_query, unit_key) = (query[j] * query_scale, key[j] * key_scale);
                if let Some(d_keys) = &mut d_keys {
                    d_keys[m * columns + j] += d_cos * (unit_query - cos * unit_key) * key_scale;
                }
                if let Some(d_query) = &mut d_query {
                    d_query[b * columns + j] += d_cos * (unit_key - cos * unit_query) * query_scale;
                }
            }
        }
    }
}

fn cosine<T: Real>(query: &[T], keys: &[T], columns: usize, y: &mut [T]) {
    let pool = keys.len() / columns;
    let scales: Vec<T> = keys.chunks_exact(columns).map(inverse_length).collect();
    for (query, y) in query.chunks_exact(columns).zip(y.chunks_exact_mut(pool)) {
        let query_scale = inverse_length(query);
        for ((key, &key_scale), y) in keys.chunks_exact(columns).zip(&scales).zip(y) {
            *y = dot(query, key) * query_scale * key_scale;
        }
    }
}

impl Top {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let rows = block.rows(block.shared.tape.ids[self.chosen.index].axis);
        let n = block.shared.tape.ids[self.chosen.index].columns;
        let mut chosen = std::mem::take(&mut block.work.ids[self.chosen.index]);
        chosen.resize(rows * n, 0);
        let (scores, pool) = (block.data(self.scores), block.columns(self.scores));
        let penalty = self.penalty.map(|penalty| block.data(penalty));
        top(scores, pool, penalty, block.ids(self.counts), n, &mut chosen);
        block.work.ids[self.chosen.index] = chosen;
    }

    pub fn backward<T: Real>(&self, _place: usize, _block: &mut Block<'_, T>) {}
}

fn top<T: Real>(scores: &[T], pool: usize, penalty: Option<&[T]>, counts: &[u32], n: usize, chosen: &mut [u32]) {
    for ((scores, &count), chosen) in scores.chunks_exact(pool).zip(counts).zip(chosen.chunks_exact_mut(n)) {
        if count == 0 {
            chosen.iter_mut().zip(0..).for_each(|(chosen, m)| *chosen = m);
            continue;
        }
        let score = |m: usize| penalty.map_or(scores[m], |penalty| scores[m] - penalty[m]);
        for place in 0..n {
            let taken = &chosen[..place];
            let mut best = None;
            for m in (0..pool).filter(|&m| !taken.contains(&(m as u32))) {
                if best.is_none_or(|best| score(m) > score(best)) {
                    best = Some(m);
                }
            }
            chosen[place] = best.expect("the pool has n columns") as u32;
        }
    }
}

impl Distance {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        key_distance(block.data(self.cosines), block.columns(self.cosines), block.ids(self.chosen), &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_cosines = block.take_gradient(self.cosines);
        if let Some(d_cosines) = &mut d_cosines {
            let d_y = block.gradient(self.y);
            let (chosen, pool) = (block.ids(self.chosen), block.columns(self.cosines));
            key_distance_gradient(d_y, chosen, pool, d_cosines);
        }
        block.put_gradient(d_cosines);
    }
}

fn key_distance<T: Real>(cosines: &[T], pool: usize, chosen: &[u32], y: &mut [T]) {
    let n = chosen.len() / y.len().max(1);
    for ((cosines, chosen), y) in cosines.chunks_exact(pool).zip(chosen.chunks_exact(n)).zip(y) {
        *y = chosen.iter().map(|&m| T::ONE - cosines[m as usize]).sum();
    }
}

/// d_cosines -= d_y at the chosen columns.
fn key_distance_gradient<T: Real>(d_y: &[T], chosen: &[u32], pool: usize, d_cosines: &mut [T]) {
    let n = chosen.len() / d_y.len().max(1);
    for (i, &m) in chosen.iter().enumerate() {
        d_cosines[i / n * pool + m as usize] -= d_y[i / n];
    }
}

impl Cosine {
    pub fn launch(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (queries, keys) = (on.rows(self.query), on.rows(self.keys));
        let inverses = on.saved(place, queries + keys)?;
        let columns = on.columns(self.query) as u32;
        let params = CosineParams { queries: queries as u32, keys: keys as u32, columns };
        let buffers = [&on.data(self.query), &on.data(self.keys), &on.data(self.y), &inverses];
        on.pass.dispatch(&k.cosine, &params, &buffers, groups(queries * keys))
    }

    pub fn launch_gradient(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (queries, keys) = (on.rows(self.query), on.rows(self.keys));
        let inverses = on.saved(place, queries + keys)?;
        for (target, of_keys) in [(self.keys, 1), (self.query, 0)] {
            if !target.trained {
                continue;
            }
            let columns = on.columns(target) as u32;
            let params = CosineGradientParams { queries: queries as u32, keys: keys as u32, columns, of_keys };
            let (query, key, y) = (on.data(self.query), on.data(self.keys), on.data(self.y));
            let (d_y, gradient) = (on.gradient(self.y), on.gradient(target));
            let buffers = [&query, &key, &y, &d_y, &inverses, &gradient];
            on.pass.dispatch(&on.kernels.cosine_gradient, &params, &buffers, groups(on.len(target)))?;
        }
        Ok(())
    }
}

impl Top {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let rows = on.rows(self.scores);
        let params = TopParams {
            rows: rows as u32,
            columns: on.columns(self.scores) as u32,
            n: on.tape.ids[self.chosen.index].columns as u32,
            has_penalty: self.penalty.is_some().into(),
        };
        let penalty = on.optional(self.penalty);
        let buffers = [&on.data(self.scores), &penalty, &on.ids(self.counts), &on.ids(self.chosen)];
        on.pass.dispatch(&k.top, &params, &buffers, groups(rows))
    }

    pub fn launch_gradient(&self, _place: usize, _on: &mut Launch<'_>) -> Result<(), Error> {
        Ok(())
    }
}

impl Distance {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (rows, columns, n) = self.choice(on);
        let params = KeyDistanceParams { rows: rows as u32, columns, n };
        let buffers = [&on.data(self.cosines), &on.ids(self.chosen), &on.data(self.y)];
        on.pass.dispatch(&k.key_distance, &params, &buffers, groups(rows))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.cosines.trained {
            return Ok(());
        }
        let k = on.kernels;
        let (rows, columns, n) = self.choice(on);
        let params = KeyDistanceGradientParams { rows: rows as u32, columns, n };
        let (d_y, d_cosines) = (on.gradient(self.y), on.gradient(self.cosines));
        let buffers = [&d_y, &on.ids(self.chosen), &d_cosines];
        on.pass.dispatch(&k.key_distance_gradient, &params, &buffers, groups(rows))
    }

    fn choice(&self, on: &Launch<'_>) -> (usize, u32, u32) {
        let n = on.tape.ids[self.chosen.index].columns;
        (on.rows(self.y), on.columns(self.cosines) as u32, n as u32)
    }
}
