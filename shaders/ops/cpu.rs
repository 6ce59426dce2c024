//! The CPU backend: runs a tape block by block, blocks spread over threads in a fixed partition.
//!
//! Tables (what is computed of parameters alone) come first, for all. Then every group of blocks runs forward and, if
//! asked, backward, each group with its own sums of the tables' gradients; the groups' sums are added in order. So the
//! bits depend on the batch, never on threads, and a row's forward never on other sequences.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::block::{Block, Shared, Work};
use super::product::transpose;
use super::real::Real;
use super::tape::{Axis, Feed, Storage, Tape};
use super::{Operation, linear::add};

/// Rows, of all axes together, that a block may have; a longer sequence is a block of its own.
const BLOCK_ROWS: usize = 192;
/// Groups of blocks, each with its own sums of gradients.
const GROUPS: usize = 16;

/// What came out of a run.
#[derive(Debug, Clone, Default)]
pub struct Run<T> {
    /// Per [`Tape::loss`].
    pub losses: Vec<f64>,
    /// Per [`Tape::output`]: (rows, columns).
    pub outputs: Vec<Vec<T>>,
    /// Per [`Tape::output_ids`]: (rows, columns).
    pub ids: Vec<Vec<u32>>,
    /// Per [`Tape::trained_input`]: (rows, columns); empty where no gradient was asked for.
    pub input_gradients: Vec<Vec<T>>,
}

/// A tape and the memory to run it on the CPU.
#[derive(Debug)]
pub struct Cpu<T> {
    tape: Arc<Tape>,
    /// Per operation: whether it computes a table.
    of_tables: Vec<bool>,
    tables: Work<T>,
    transposes: Vec<Vec<T>>,
    groups: Vec<Group<T>>,
}

#[derive(Debug)]
struct Group<T> {
    blocks: Vec<Range<usize>>,
    work: Work<T>,
    run: Run<T>,
}

impl<T: Real> Cpu<T> {
    /// Memory for the tape; it grows with use.
    pub fn new(tape: Arc<Tape>) -> Cpu<T> {
        let of_tables = tape.operations.iter().map(|operation| operation.is_of_tables(&tape)).collect();
        let transposes = vec![Vec::new(); tape.operations.len()];
        let group = || Group { blocks: Vec::new(), work: Work::new(&tape), run: Run::default() };
        let groups = (0..GROUPS).map(|_| group()).collect();
        Cpu { of_tables, tables: Work::new(&tape), transposes, groups, tape: tape.clone() }
    }

    /// The places in [`Feed::floats`] of what [`Run::input_gradients`] holds.
    #[cfg(test)]
    pub fn trained_inputs(&self) -> impl Iterator<Item = usize> {
        let storage = |value: &super::tape::Value| self.tape.values[value.index].storage;
        self.tape.trained_inputs.iter().map(move |value| match storage(value) {
            Storage::Input { slot } => slot,
            storage => panic!("an input is in {storage:?}"),
        })
    }

    /// Runs the tape over the feed; where `gradient` is given, also backward, overwriting it with the gradient of the
    /// sum of all losses by the parameters.
    pub fn run(&mut self, parameters: &[T], feed: &Feed<T>, gradient: Option<&mut [T]>) -> Run<T> {
        self.tape.check(feed);
        let backward = gradient.is_some();
        self.forward_tables(parameters, feed);
        if backward {
            self.turn_weights(parameters, feed);
        }
        self.partition(feed);
        let tape = self.tape.clone();
        let shared =
            Shared { tape: &tape, feed, parameters, tables: Some(&self.tables.data), transposes: &self.transposes };
        let of_tables = &self.of_tables;
        let mut busy: Vec<_> = self.groups.iter_mut().filter(|group| !group.blocks.is_empty()).collect();
        match busy.as_mut_slice() {
            // One request: waking another thread takes longer than some of its operations.
            [one] => one.run(shared, of_tables, backward),
            many => many.par_iter_mut().for_each(|group| group.run(shared, of_tables, backward)),
        }
        if let Some(gradient) = gradient {
            self.backward_tables(parameters, feed, gradient);
        }
        self.collect()
    }

    fn forward_tables(&mut self, parameters: &[T], feed: &Feed<T>) {
        let tape = self.tape.clone();
        for (place, operation) in tape.operations.iter().enumerate() {
            if self.of_tables[place] {
                operation.forward(place, &mut self.table_block(&tape, parameters, feed));
            }
        }
    }

    /// The backward pass multiplies by transposed weights.
    fn turn_weights(&mut self, parameters: &[T], feed: &Feed<T>) {
        let tape = self.tape.clone();
        for (place, operation) in tape.operations.iter().enumerate() {
            let Operation::Linear(linear) = operation else { continue };
            let mut turned = std::mem::take(&mut self.transposes[place]);
            let block = self.table_block(&tape, parameters, feed);
            let (weight, columns) = (block.data(linear.weight), block.columns(linear.weight));
            turned.resize(weight.len(), T::ZERO);
            transpose(weight, columns, &mut turned, weight.len() / columns);
            self.transposes[place] = turned;
        }
    }

    fn table_block<'a>(&'a mut self, tape: &'a Tape, parameters: &'a [T], feed: &'a Feed<T>) -> Block<'a, T> {
        let shared = Shared { tape, feed, parameters, tables: None, transposes: &self.transposes };
        Block { shared, sequences: 0..0, work: &mut self.tables }
    }

    /// Cuts the feed into blocks and deals them to the groups, neighbors together.
    fn partition(&mut self, feed: &Feed<T>) {
        let rows = |n: usize| feed.offsets.iter().map(|offsets| offsets[n] as usize).sum::<usize>();
        let mut blocks = Vec::new();
        let mut start = 0;
        while start < feed.sequences {
            let mut end = start + 1;
            while end < feed.sequences && rows(end + 1) - rows(start) <= BLOCK_ROWS {
                end += 1;
            }
            blocks.push(start..end);
            start = end;
        }
        for (n, group) in self.groups.iter_mut().enumerate() {
            group.blocks = blocks[n * blocks.len() / GROUPS..(n + 1) * blocks.len() / GROUPS].to_vec();
        }
    }

    fn backward_tables(&mut self, parameters: &[T], feed: &Feed<T>, gradient: &mut [T]) {
        let tape = self.tape.clone();
        for (index, spec) in tape.values.iter().enumerate() {
            let Axis::Table(rows) = spec.axis else { continue };
            if matches!(spec.storage, Storage::View { .. } | Storage::Input { .. }) {
                continue;
            }
            let sum = &mut self.tables.gradients[index];
            sum.clear();
            sum.resize(rows * spec.columns, T::ZERO);
            let groups = self.groups.iter().filter(|group| !group.blocks.is_empty());
            sum_partials(groups.map(|group| &group.work.gradients[index][..]), sum);
        }
        for (place, operation) in tape.operations.iter().enumerate().rev() {
            if self.of_tables[place] {
                operation.backward(place, &mut self.table_block(&tape, parameters, feed));
            }
        }
        gradient.fill(T::ZERO);
        for (index, spec) in tape.values.iter().enumerate() {
            if let Storage::Tensor { offset } = spec.storage {
                let sum = &self.tables.gradients[index];
                add(sum, &mut gradient[offset..offset + sum.len()]);
            }
        }
    }

    fn collect(&mut self) -> Run<T> {
        let mut run = Run {
            losses: vec![0.0; self.tape.losses],
            outputs: vec![Vec::new(); self.tape.outputs.len()],
            ids: vec![Vec::new(); self.tape.output_ids.len()],
            input_gradients: vec![Vec::new(); self.tape.trained_inputs.len()],
        };
        for group in self.groups.iter_mut().filter(|group| !group.blocks.is_empty()) {
            run.losses.iter_mut().zip(&group.work.losses).for_each(|(sum, loss)| *sum += loss);
            run.outputs.iter_mut().zip(&mut group.run.outputs).for_each(|(all, part)| all.append(part));
            run.ids.iter_mut().zip(&mut group.run.ids).for_each(|(all, part)| all.append(part));
            let gradients = run.input_gradients.iter_mut().zip(&mut group.run.input_gradients);
            gradients.for_each(|(all, part)| all.append(part));
        }
        run
    }
}

impl<T: Real> Group<T> {
    fn run(&mut self, shared: Shared<'_, T>, of_tables: &[bool], backward: bool) {
        let tape = shared.tape;
        self.run.outputs.resize_with(tape.outputs.len(), Vec::new);
        self.run.ids.resize_with(tape.output_ids.len(), Vec::new);
        self.run.input_gradients.resize_with(tape.trained_inputs.len(), Vec::new);
        self.work.losses.fill(0.0);
        if backward {
            self.zero_tables(tape);
        }
        for sequences in self.blocks.clone() {
            let mut block = Block { shared, sequences, work: &mut self.work };
            for (place, operation) in tape.operations.iter().enumerate().filter(|(place, _)| !of_tables[*place]) {
                operation.forward(place, &mut block);
            }
            for (output, &value) in self.run.outputs.iter_mut().zip(&tape.outputs) {
                output.extend_from_slice(block.data(value));
            }
            for (output, &ids) in self.run.ids.iter_mut().zip(&tape.output_ids) {
                output.extend_from_slice(block.ids(ids));
            }
            if !backward {
                continue;
            }
            for (index, spec) in tape.values.iter().enumerate() {
                if let (Axis::Ragged(_), Storage::Computed | Storage::Input { .. }) = (spec.axis, spec.storage) {
                    let len = block.rows(spec.axis) * spec.columns;
                    let gradient = &mut block.work.gradients[index];
                    gradient.clear();
                    gradient.resize(len, T::ZERO);
                }
            }
            for (place, operation) in tape.operations.iter().enumerate().rev().filter(|(place, _)| !of_tables[*place]) {
                operation.backward(place, &mut block);
            }
            for (gradients, &input) in self.run.input_gradients.iter_mut().zip(&tape.trained_inputs) {
                gradients.extend_from_slice(block.gradient(input));
            }
        }
    }

    fn zero_tables(&mut self, tape: &Tape) {
        for (spec, gradient) in tape.values.iter().zip(&mut self.work.gradients) {
            if let Axis::Table(rows) = spec.axis {
                gradient.clear();
                gradient.resize(rows * spec.columns, T::ZERO);
            }
        }
    }
}

/// sums += each of the parts, in order.
fn sum_partials<'a, T: Real>(parts: impl Iterator<Item = &'a [T]>, sums: &mut [T]) {
    parts.for_each(|part| add(part, sums));
}
