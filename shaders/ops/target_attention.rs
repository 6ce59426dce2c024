//! Target attention (DIN, Zhou et al. 2018): candidates ask the behaviors of their own request.
//!
//! A candidate asks all rows of its sequence, or those that were chosen for it. The score is query . key + bias; chosen
//! rows may bring a similarity r of their own, and the score is then b1 dot + b2 m + b3 dot m + bias with m = r / t1
//! (SA-TA of MUSE, spec muse 2.4). Keys and values are computed once per row, whoever asks.
//!
//! Nothing of the size candidates times rows is kept: scores live in a tile, and the backward pass makes them anew.

use super::block::Block;
use super::gpu::Buffers;
use super::kernels::{TargetAttentionParams, TargetAttentionQueryGradientParams, TargetAttentionRowGradientParams};
use super::launch::Launch;
use super::real::Real;
use super::tape::{Axis, Ids, Tape, Value};
use crate::buffers::Scratch;
use crate::{Error, Gpu};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Rows {
    /// (rows, d)
    pub key: Value,
    /// Side by side they are what is summed: (rows, any).
    pub values: Vec<Value>,
    /// Added to the scores: (rows, 1).
    pub bias: Option<Value>,
}

/// The rows that were chosen for each query.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    /// (queries, 2), on the queries' axis: the first of the query's pairs in its sequence, and how many.
    pub ranges: Ids,
    /// (pairs, 1): the row of the sequence.
    pub rows: Ids,
    /// What scores are made of beside query and key.
    pub similarities: Option<Similarities>,
    /// Added to every weight after the softmax.
    pub floor: f64,
}

/// Similarities that come with the chosen rows.
#[derive(Debug, Clone, Copy)]
pub struct Similarities {
    /// (pairs, 1), an input without gradient.
    pub values: Value,
    /// (1, 3) or (1, 4): b1, b2, b3 and the temperature t1, 1 where there is none.
    pub coefficients: Value,
}

/// See [`Tape::target_attention`].
#[derive(Debug)]
pub(crate) struct TargetAttention {
    pub query: Value,
    pub rows: Rows,
    pub chosen: Option<Chosen>,
    /// What query . key is multiplied by.
    pub scale: f64,
    pub y: Value,
}

/// Columns of a key, and of all values together, on a GPU.
const GPU_COLUMNS_MAX: usize = 256;
/// Turns that the loops of one lane of a kernel may make.
const TURNS_MAX: u64 = 65_000;

impl Tape {
    /// The values of the rows asked, weighted by the softmax of the scores: (queries, columns of all values). Where no
    /// row is asked, zero.
    pub fn target_attention(&mut self, query: Value, rows: Rows, chosen: Option<Chosen>, scale: f64) -> Value {
        let axis = self.axis_of(rows.key);
        assert_eq!(self.columns_of(query), self.columns_of(rows.key), "queries and keys are of one width");
        assert!(rows.values.iter().all(|&value| self.axis_of(value) == axis), "rows of values");
        assert!(
            rows.bias.is_none_or(|bias| self.axis_of(bias) == axis && self.columns_of(bias) == 1),
            "a bias per row"
        );
        let columns = rows.values.iter().map(|&value| self.columns_of(value)).sum();
        let mut inputs: Vec<Value> = [query, rows.key].into_iter().chain(rows.bias).collect();
        inputs.extend(&rows.values);
        if let Some(chosen) = chosen {
            let ranges = &self.ids[chosen.ranges.index];
            assert!(ranges.axis == self.axis_of(query) && ranges.columns == 2, "a range of pairs per query");
            let pairs = self.ids[chosen.rows.index].axis;
            if let Some(Similarities { values, coefficients }) = chosen.similarities {
                assert!(self.axis_of(values) == pairs && self.columns_of(values) == 1, "a similarity per pair");
                assert!(!values.trained, "similarities have no gradient");
                assert!(self.rows_in(coefficients) == 1 && (3..=4).contains(&self.columns_of(coefficients)));
                inputs.push(coefficients);
            }
        }
        let y = self.result(self.axis_of(query), columns, &inputs);
        self.operations.push(super::Operation::TargetAttention(TargetAttention { query, rows, chosen, scale, y }));
        y
    }
}

impl TargetAttention {
    pub fn forward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        match &self.chosen {
            Some(chosen) => self.forward_chosen(chosen, place, block),
            None => self.forward_all(place, block),
        }
    }

    pub fn backward<T: Real>(&self, place: usize, block: &mut Block<'_, T>) {
        match &self.chosen {
            Some(chosen) => self.backward_chosen(chosen, place, block),
            None => self.backward_all(place, block),
        }
    }

    pub(super) fn similarities(&self) -> Option<Similarities> {
        self.chosen.and_then(|chosen| chosen.similarities)
    }
}

/// On a GPU: who asks whom, and by whom each row is asked.
#[derive(Debug)]
pub(crate) struct Reach {
    /// (queries, 2): the first row, or pair, and how many.
    ranges: Scratch,
    /// (pairs, 2): row, bits of the similarity.
    links: Scratch,
    /// (rows, 2): the first query, or place in `inverse`, and how many.
    asked: Scratch,
    /// (pairs, 2), row by row: query, pair.
    inverse: Scratch,
    /// (rows), in place of a bias.
    zeros: Scratch,
}

impl Reach {
    fn new(gpu: &Gpu) -> Result<Reach, Error> {
        let new = || Scratch::new(gpu, "bytes of what is asked");
        Ok(Reach { ranges: new()?, links: new()?, asked: new()?, inverse: new()?, zeros: new()? })
    }
}

impl TargetAttention {
    /// Writes who asks whom.
    fn reach(&self, place: usize, on: &mut Launch<'_>) -> Result<[wgpu::Buffer; 4], Error> {
        let (feed, tape) = (on.feed, on.tape);
        let offsets = |axis: Axis| match axis {
            Axis::Ragged(axis) => &feed.offsets[axis][..],
            Axis::Table(_) => panic!("attention is over sequences"),
        };
        let (queries, rows) = (offsets(tape.axis_of(self.query)), offsets(tape.axis_of(self.rows.key)));
        let mut ranges = Vec::new();
        let (mut links, mut asked, mut inverse) = (Vec::new(), Vec::new(), Vec::new());
        let ids = |ids: Ids| &feed.ids[tape.ids[ids.index].slot.expect("what is chosen comes with the batch")][..];
        for b in 0..feed.sequences {
            let Some(chosen) = &self.chosen else {
                ranges.extend((queries[b]..queries[b + 1]).map(|_| [rows[b], rows[b + 1] - rows[b]]));
                asked.extend((rows[b]..rows[b + 1]).map(|_| [queries[b], queries[b + 1] - queries[b]]));
                continue;
            };
            let pairs = offsets(tape.ids[chosen.rows.index].axis);
            let mut by_row = vec![Vec::new(); (rows[b + 1] - rows[b]) as usize];
            for i in queries[b]..queries[b + 1] {
                let range = &ids(chosen.ranges)[2 * i as usize..];
                let first = pairs[b] + range[0];
                ranges.push([first, range[1]]);
                for pair in first..first + range[1] {
                    by_row[ids(chosen.rows)[pair as usize] as usize].push([i, pair]);
                }
            }
            for pair in pairs[b]..pairs[b + 1] {
                let similarity = self.similarities().map_or(0.0, |similarities| {
                    let super::tape::Storage::Input { slot } = tape.values[similarities.values.index].storage else {
                        panic!("similarities come with the batch")
                    };
                    feed.floats[slot][pair as usize]
                });
                links.push([rows[b] + ids(chosen.rows)[pair as usize], similarity.to_bits()]);
            }
            for of_row in by_row {
                asked.push([inverse.len() as u32, of_row.len() as u32]);
                inverse.extend(of_row);
            }
        }
        self.check_turns(on, &ranges, &asked)?;
        let gpu = on.gpu;
        let Buffers { reaches, .. } = on.buffers;
        let reach = match reaches.entry(place) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Reach::new(gpu)?),
        };
        if self.rows.bias.is_none() {
            reach.zeros.write(gpu, &vec![0f32; asked.len()])?;
        }
        let mut buffers = Vec::new();
        for (scratch, values) in [
            (&mut reach.ranges, &ranges),
            (&mut reach.links, &links),
            (&mut reach.asked, &asked),
            (&mut reach.inverse, &inverse),
        ] {
            scratch.write(gpu, values.as_flattened())?;
            buffers.push(scratch.buffer().clone());
        }
        Ok(buffers.try_into().expect("four buffers"))
    }

    fn check_turns(&self, on: &Launch<'_>, ranges: &[[u32; 2]], asked: &[[u32; 2]]) -> Result<(), Error> {
        let (d, value) = (on.columns(self.query), on.columns(self.y));
        for (what, needed) in [("columns of a key", d), ("columns of values", value)] {
            if needed > GPU_COLUMNS_MAX {
                let (needed, limit) = (needed as u64, GPU_COLUMNS_MAX as u64);
                return Err(Error::Limit { what, needed, limit, remedy: "use narrower vectors or device = \"cpu\"" });
            }
        }
        let most = |counts: &[[u32; 2]]| counts.iter().map(|count| u64::from(count[1])).max().unwrap_or(0);
        let of_chunk = |columns: usize| (2 * (d + value) + 64 * columns.div_ceil(64)) as u64;
        let remedy = "ask for fewer behaviors or candidates at once, or use device = \"cpu\"";
        for (what, count, columns) in [
            ("behaviors of a candidate", most(ranges), d.max(value)),
            ("candidates of a behavior", most(asked), d + value + 1),
        ] {
            let limit = TURNS_MAX / of_chunk(columns) * 64;
            if count > limit {
                return Err(Error::Limit { what, needed: count, limit, remedy });
            }
        }
        Ok(())
    }

    /// Key, values and bias side by side.
    fn pack_rows(&self, place: usize, on: &mut Launch<'_>) -> Result<wgpu::Buffer, Error> {
        let mut parts = vec![(on.data(self.rows.key), on.columns(self.rows.key))];
        parts.extend(self.rows.values.iter().map(|&value| (on.data(value), on.columns(value))));
        let rows = on.rows(self.rows.key);
        let zeros = || on.buffers.reaches[&place].zeros.buffer().clone();
        let bias = self.rows.bias.map_or_else(zeros, |bias| on.data(bias));
        parts.push((bias, 1));
        on.pack(0, &parts, rows)
    }

    fn coefficients(&self, on: &Launch<'_>) -> (u32, wgpu::Buffer) {
        match self.similarities() {
            Some(similarities) => (on.columns(similarities.coefficients) as u32, on.data(similarities.coefficients)),
            None => (0, on.nothing()),
        }
    }

    pub fn launch(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let queries = on.rows(self.query);
        let [ranges, links, ..] = self.reach(place, on)?;
        let rows = self.pack_rows(place, on)?;
        let scales = on.saved(place, 3 * queries)?;
        let (coefficients, buffer) = self.coefficients(on);
        let params = TargetAttentionParams {
            queries: queries as u32,
            d: on.columns(self.query) as u32,
            value: on.columns(self.y) as u32,
            has_links: self.chosen.is_some().into(),
            coefficients,
            scale: (self.scale as f32).to_bits(),
            floor: (self.floor() as f32).to_bits(),
        };
        let buffers = [&on.data(self.query), &rows, &ranges, &links, &buffer, &on.data(self.y), &scales];
        on.pass.dispatch(&on.kernels.target_attention, &params, &buffers, queries as u64)
    }

    pub(super) fn floor(&self) -> f64 {
        self.chosen.map_or(0.0, |chosen| chosen.floor)
    }

    pub fn launch_gradient(&self, place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (queries, rows_count) = (on.rows(self.query), on.rows(self.rows.key));
        let (d, value) = (on.columns(self.query), on.columns(self.y));
        let [ranges, links, asked, inverse] = self.reach(place, on)?;
        let pairs = self.chosen.map_or(0, |chosen| on.tape.rows(on.feed, on.tape.ids[chosen.rows.index].axis));
        let rows = self.pack_rows(place, on)?;
        let query = on.pack(1, &[(on.data(self.query), d), (on.gradient(self.y), value)], queries)?;
        let scales = on.saved(place, 3 * queries)?;
        let (coefficients, buffer) = self.coefficients(on);
        let (scale, floor) = ((self.scale as f32).to_bits(), (self.floor() as f32).to_bits());
        let has_links = self.chosen.is_some().into();
        let d_query = on.packed(3, queries * d)?;
        let d_pairs = on.packed(4, 4 * pairs)?;
        let params = TargetAttentionQueryGradientParams {
            queries: queries as u32,
            d: d as u32,
            value: value as u32,
            has_links,
            coefficients,
            scale,
            floor,
        };
        let buffers = [&query, &rows, &ranges, &links, &buffer, &scales, &d_query, &d_pairs];
        on.pass.dispatch(&on.kernels.target_attention_query_gradient, &params, &buffers, queries as u64)?;
        on.unpack(&d_query, self.query, 0, d)?;
        if let Some(similarities) = self.similarities() {
            let shape = (pairs, coefficients as usize);
            on.weight_gradient(None, &d_pairs, shape, None, Some(similarities.coefficients))?;
        }
        let d_rows = on.packed(3, rows_count * (d + value + 1))?;
        let params = TargetAttentionRowGradientParams {
            rows: rows_count as u32,
            d: d as u32,
            value: value as u32,
            has_links,
            coefficients,
            scale,
            floor,
        };
        let buffers = [&query, &rows, &asked, &inverse, &links, &buffer, &scales, &d_rows];
        on.pass.dispatch(&on.kernels.target_attention_row_gradient, &params, &buffers, rows_count as u64)?;
        let (all, mut start) = (d + value + 1, 0);
        let parts = [self.rows.key].into_iter().chain(self.rows.values.iter().copied()).chain(self.rows.bias);
        for part in parts {
            on.unpack(&d_rows, part, start, all)?;
            start += on.columns(part);
        }
        Ok(())
    }
}
