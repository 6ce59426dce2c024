//! Rows of a table by their numbers: embeddings, and prompts chosen from a pool.

use super::block::Block;
use super::linear::add;
use super::real::Real;
use super::tape::{Axis, Ids, Tape, Value};

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
