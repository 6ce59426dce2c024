//! The launchers: each operation's dispatches, forward and backward, recorded on a pass.

use super::gpu::Buffers;
use super::kernels::*;
use super::tape::{Axis, Feed, Storage, Tape, Value};
use crate::pass::Pass;
use crate::{Error, Gpu};

/// A pass that is being recorded.
pub(crate) struct Launch<'a> {
    pub gpu: &'a Gpu,
    pub tape: &'a Tape,
    pub kernels: &'a Kernels,
    pub buffers: &'a mut Buffers,
    pub feed: &'a Feed<f32>,
    pub pass: Pass<'a>,
}

/// Chunks that a long sum is cut into, at most.
pub(super) const CHUNKS_MAX: usize = 1024;
/// Rows of a chunk, at least.
pub(super) const CHUNK_MIN: usize = 64;
/// Rows that one lane of the linear kernels works on.
pub(super) const LINEAR_ROWS: usize = 4;

/// Workgroups of 64 lanes.
pub(super) fn groups(lanes: usize) -> u64 {
    lanes.div_ceil(64) as u64
}

impl Launch<'_> {
    pub fn rows(&self, value: Value) -> usize {
        self.tape.rows(self.feed, self.tape.axis_of(value))
    }

    pub fn columns(&self, value: Value) -> usize {
        self.tape.columns_of(value)
    }

    pub fn len(&self, value: Value) -> usize {
        self.rows(value) * self.columns(value)
    }

    /// The buffer that holds the value, and the place of its first number there.
    pub fn place(&self, value: Value) -> (usize, u32) {
        match self.tape.values[value.index].storage {
            Storage::View { base, row } => (base, (row * self.columns(value)) as u32),
            _ => (value.index, 0),
        }
    }

    pub fn data(&self, value: Value) -> wgpu::Buffer {
        self.buffers.data[self.place(value).0].buffer().clone()
    }

    pub fn gradient(&self, value: Value) -> wgpu::Buffer {
        self.buffers.gradients[self.place(value).0].buffer().clone()
    }

    pub fn optional(&self, value: Option<Value>) -> wgpu::Buffer {
        value.map_or_else(|| self.nothing(), |value| self.data(value))
    }

    pub fn nothing(&self) -> wgpu::Buffer {
        self.buffers.nothing.buffer().clone()
    }

    /// The gradient to write to, or a buffer to be left alone where none flows.
    pub fn gradient_or_nothing(&self, value: Value) -> wgpu::Buffer {
        if value.trained { self.gradient(value) } else { self.nothing() }
    }

    pub fn ids(&self, ids: super::Ids) -> wgpu::Buffer {
        self.buffers.ids[ids.index].buffer().clone()
    }

    pub fn saved(&mut self, place: usize, numbers: usize) -> Result<wgpu::Buffer, Error> {
        self.buffers.saved[place].reserve(self.gpu, 4 * numbers as u64)?;
        Ok(self.buffers.saved[place].buffer().clone())
    }

    /// Temporary memory; the next request for the same place may take it.
    pub fn packed(&mut self, place: usize, numbers: usize) -> Result<wgpu::Buffer, Error> {
        self.buffers.packed[place].reserve(self.gpu, 4 * numbers as u64)?;
        Ok(self.buffers.packed[place].buffer().clone())
    }

    pub fn axis(&self, value: Value) -> Option<usize> {
        match self.tape.axis_of(value) {
            Axis::Ragged(axis) => Some(axis),
            Axis::Table(_) => None,
        }
    }

    pub fn add(&mut self, source: &wgpu::Buffer, target: Value) -> Result<(), Error> {
        if !target.trained {
            return Ok(());
        }
        let (len, sums) = (self.len(target), self.gradient(target));
        self.pass.dispatch(&self.kernels.add, &AddParams { len: len as u32 }, &[source, &sums], groups(len))
    }

    /// Adds x^T d_y to the gradient of `weight` and the column sums of d_y to that of `bias`.
    pub fn weight_gradient(
        &mut self,
        x: Option<(&wgpu::Buffer, usize)>,
        d_y: &wgpu::Buffer,
        (rows, outputs): (usize, usize),
        weight: Option<Value>,
        bias: Option<Value>,
    ) -> Result<(), Error> {
        let nothing = self.nothing();
        let (x, inputs) = x.unwrap_or((&nothing, 0));
        let chunk = rows.div_ceil(CHUNKS_MAX).max(CHUNK_MIN);
        let chunks = rows.div_ceil(chunk);
        let stride = (inputs + 1) * outputs;
        self.buffers.partials.reserve(self.gpu, 4 * (chunks * stride) as u64)?;
        let partials = self.buffers.partials.buffer().clone();
        let params = LinearWeightGradientParams {
            rows: rows as u32,
            inputs: inputs as u32,
            outputs: outputs as u32,
            chunk: chunk as u32,
            chunks: chunks as u32,
        };
        let lanes = groups(chunks * stride);
        self.pass.dispatch(&self.kernels.linear_weight_gradient, &params, &[x, d_y, &partials], lanes)?;
        for (target, first, len) in [(weight, 0, inputs * outputs), (bias, inputs * outputs, outputs)] {
            if let Some(target) = target.filter(|target| target.trained) {
                self.sum_partials(target, (chunks, stride), first, len)?;
            }
        }
        Ok(())
    }

    pub fn sum_partials(
        &mut self,
        target: Value,
        (chunks, stride): (usize, usize),
        first: usize,
        len: usize,
    ) -> Result<(), Error> {
        let params = SumPartialsParams {
            len: len as u32,
            chunks: chunks as u32,
            stride: stride as u32,
            first: first as u32,
            target_offset: self.place(target).1,
        };
        let (partials, sums) = (self.buffers.partials.buffer().clone(), self.gradient(target));
        self.pass.dispatch(&self.kernels.sum_partials, &params, &[&partials, &sums], groups(len))
    }

    /// Puts `parts`, each of so many columns, side by side into temporary memory.
    pub fn pack(&mut self, place: usize, parts: &[(wgpu::Buffer, usize)], rows: usize) -> Result<wgpu::Buffer, Error> {
        let all: usize = parts.iter().map(|(_, columns)| columns).sum();
        let whole = self.packed(place, rows * all)?;
        let mut start = 0;
        for (part, columns) in parts {
            let params = ConcatParams {
                len: (rows * columns) as u32,
                columns: *columns as u32,
                all: all as u32,
                start: start as u32,
            };
            self.pass.dispatch(&self.kernels.concat, &params, &[part, &whole], groups(rows * columns))?;
            start += columns;
        }
        Ok(whole)
    }

    /// Adds the columns from `start` on of `whole`, which has `all`, to the gradient of `target`.
    pub fn unpack(&mut self, whole: &wgpu::Buffer, target: Value, start: usize, all: usize) -> Result<(), Error> {
        if !target.trained {
            return Ok(());
        }
        let (len, columns, part) = (self.len(target), self.columns(target), self.gradient(target));
        let params =
            ConcatGradientParams { len: len as u32, columns: columns as u32, all: all as u32, start: start as u32 };
        self.pass.dispatch(&self.kernels.concat_gradient, &params, &[whole, &part], groups(len))
    }
}
