//! Columns side by side.

use super::block::Block;
use super::kernels::ConcatParams;
use super::launch::{Launch, groups};
use super::linear::add;
use super::real::Real;
use super::tape::{Tape, Value};
use crate::Error;

/// See [`Tape::concat`].
#[derive(Debug)]
pub(crate) struct Concat {
    pub parts: Vec<Value>,
    pub y: Value,
}

impl Tape {
    /// The columns of `parts`, side by side.
    pub fn concat(&mut self, parts: &[Value]) -> Value {
        let axis = self.axis_of(parts[0]);
        assert!(parts.iter().all(|&part| self.axis_of(part) == axis), "parts of the same rows");
        let columns = parts.iter().map(|&part| self.columns_of(part)).sum();
        let y = self.result(axis, columns, parts);
        self.operations.push(super::Operation::Concat(Concat { parts: parts.to_vec(), y }));
        y
    }
}

impl Concat {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let (all, mut start) = (block.columns(self.y), 0);
        for &part in &self.parts {
            let columns = block.columns(part);
            concat(block.data(part), columns, &mut y, (start, all));
            start += columns;
        }
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let (all, mut start) = (block.columns(self.y), 0);
        for &part in &self.parts {
            let columns = block.columns(part);
            let mut d_part = block.take_gradient(part);
            if let Some(d_part) = &mut d_part {
                concat_gradient(block.gradient(self.y), (start, all), d_part, columns);
            }
            block.put_gradient(d_part);
            start += columns;
        }
    }
}

/// Puts the columns of one part among the columns of the whole.
fn concat<T: Real>(part: &[T], columns: usize, whole: &mut [T], (start, all): (usize, usize)) {
    for (row, part) in whole.chunks_exact_mut(all).zip(part.chunks_exact(columns)) {
        row[start..start + columns].copy_from_slice(part);
    }
}

/// Adds the columns of one part out of the columns of the whole.
fn concat_gradient<T: Real>(d_whole: &[T], (start, all): (usize, usize), d_part: &mut [T], columns: usize) {
    for (row, part) in d_whole.chunks_exact(all).zip(d_part.chunks_exact_mut(columns)) {
        add(&row[start..start + columns], part);
    }
}

impl Concat {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let (all, whole, mut start) = (on.columns(self.y), on.data(self.y), 0);
        for &part in &self.parts {
            let (len, columns) = (on.len(part), on.columns(part));
            let params =
                ConcatParams { len: len as u32, columns: columns as u32, all: all as u32, start: start as u32 };
            let part = on.data(part);
            on.pass.dispatch(&k.concat, &params, &[&part, &whole], groups(len))?;
            start += columns;
        }
        Ok(())
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (all, whole, mut start) = (on.columns(self.y), on.gradient(self.y), 0);
        for &part in &self.parts {
            on.unpack(&whole, part, start, all)?;
            start += on.columns(part);
        }
        Ok(())
    }
}
