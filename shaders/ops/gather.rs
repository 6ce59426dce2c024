//! Rows of a table by their numbers: embeddings, and prompts chosen from a pool.

use super::block::Block;
use super::kernels::{GatherGradientParams, GatherParams};
use super::launch::CHUNK_MIN;
use super::launch::CHUNKS_MAX;
use super::launch::Launch;
use super::launch::groups;
use super::linear::add;
use super::real::Real;
use super::tape::{Axis, Ids, Tape, Value};
use crate::Error;

/// See [`Tape::gather`].
#[derive(Debug)]
pub(crate) struct Gather {
    pub table: Value,
    pub ids: Ids,
    /// Neighboring rows of the table that one index names.
    pub rows_per_id: usize,
    pub y: Value,
}

impl Tape {
    /// For each index n the rows `n * rows_per_id ..` of `table`, one after the other, on `axis`. Where this is the
    /// indexes' own axis, the rows that one row of indexes names stand side by side.
    pub fn gather(&mut self, table: Value, ids: Ids, rows_per_id: usize, axis: Axis) -> Value {
        assert!(self.rows_in(table).is_multiple_of(rows_per_id), "a table of whole groups of rows");
        let side_by_side = if self.ids[ids.index].axis == axis { self.ids[ids.index].columns * rows_per_id } else { 1 };
        let y = self.result(axis, self.columns_of(table) * side_by_side, &[table]);
        self.operations.push(super::Operation::Gather(Gather { table, ids, rows_per_id, y }));
        y
    }
}

impl Gather {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        gather(block.data(self.table), block.ids(self.ids), self.rows_per_id * block.columns(self.table), &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_table = block.take_gradient(self.table);
        if let Some(d_table) = &mut d_table {
            let width = self.rows_per_id * block.columns(self.table);
            gather_gradient(block.gradient(self.y), block.ids(self.ids), width, d_table);
        }
        block.put_gradient(d_table);
    }
}

/// y[i] = table[ids[i]], in pieces of `width` numbers.
fn gather<T: Real>(table: &[T], ids: &[u32], width: usize, y: &mut [T]) {
    assert_eq!(ids.len() * width, y.len(), "one index per piece");
    for (row, &id) in y.chunks_exact_mut(width).zip(ids) {
        row.copy_from_slice(&table[id as usize * width..][..width]);
    }
}

/// d_table[ids[i]] += d_y[i].
fn gather_gradient<T: Real>(d_y: &[T], ids: &[u32], width: usize, d_table: &mut [T]) {
    for (row, &id) in d_y.chunks_exact(width).zip(ids) {
        add(row, &mut d_table[id as usize * width..][..width]);
    }
}

impl Gather {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let len = on.len(self.y);
        let width = (self.rows_per_id * on.columns(self.table)) as u32;
        let buffers = [&on.data(self.table), &on.ids(self.ids), &on.data(self.y)];
        on.pass.dispatch(&k.gather, &GatherParams { len: len as u32, width }, &buffers, groups(len))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.table.trained {
            return Ok(());
        }
        let (width, len) = (self.rows_per_id * on.columns(self.table), on.len(self.table));
        let ids = on.len(self.y) / width;
        let chunk = ids.div_ceil(CHUNKS_MAX).max(CHUNK_MIN);
        let chunks = ids.div_ceil(chunk);
        on.buffers.partials.reserve(on.gpu, 4 * (chunks * len) as u64)?;
        let params = GatherGradientParams {
            ids: ids as u32,
            width: width as u32,
            len: len as u32,
            chunk: chunk as u32,
            chunks: chunks as u32,
        };
        let partials = on.buffers.partials.buffer().clone();
        let buffers = [&on.gradient(self.y), &on.ids(self.ids), &partials];
        on.pass.dispatch(&on.kernels.gather_gradient, &params, &buffers, groups(chunks * len))?;
        on.sum_partials(self.table, (chunks, len), 0, len)
    }
}
