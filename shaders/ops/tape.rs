//! A tape: the forward pass of a model, recorded once; walked in reverse it is the backward pass.

use std::ops::Range;

use super::Operation;
use super::tensors::Tensors;

/// What the rows of a value stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// A fixed number of rows, the same for the whole batch: weights, and what is computed of weights alone.
    Table(usize),
    /// Rows that belong to sequences; how many to each, the batch's offsets tell. Made by [`Tape::axis`].
    Ragged(usize),
}

/// Handle of a matrix of floats on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    pub(crate) index: usize,
    /// Whether a gradient flows into it.
    pub(crate) trained: bool,
}

impl Value {
    /// The same value, with no gradient flowing back through this use of it.
    pub fn detached(self) -> Value {
        Value { trained: false, ..self }
    }
}

/// Handle of a matrix of indexes on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    pub(crate) index: usize,
}

/// Where a value lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// In the flat buffer of parameters.
    Tensor { offset: usize },
    /// Rows of another value, from `row` on.
    View { base: usize, row: usize },
    /// Handed in with the batch.
    Input { slot: usize },
    /// The result of an operation.
    Computed,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ValueSpec {
    pub axis: Axis,
    pub columns: usize,
    pub storage: Storage,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct IdsSpec {
    pub axis: Axis,
    pub columns: usize,
    /// Handed in with the batch, in this slot; computed where there is none.
    pub slot: Option<usize>,
}

/// The recording. Methods named as operations append one and give its result's handle; they panic where shapes do not
/// fit, which is a mistake in the model's code.
#[derive(Debug, Default)]
pub struct Tape {
    pub(crate) axes: Vec<&'static str>,
    pub(crate) values: Vec<ValueSpec>,
    pub(crate) ids: Vec<IdsSpec>,
    pub(crate) inputs: Vec<(&'static str, usize)>,
    /// Of them those whose gradient is handed out.
    pub(crate) trained_inputs: Vec<Value>,
    pub(crate) id_inputs: Vec<(&'static str, usize)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) outputs: Vec<Value>,
    pub(crate) output_ids: Vec<Ids>,
    pub(crate) losses: usize,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Tape {
        Tape::default()
    }

    /// A new ragged axis; its offsets come with each batch.
    pub fn axis(&mut self, name: &'static str) -> Axis {
        self.axes.push(name);
        Axis::Ragged(self.axes.len() - 1)
    }

    /// The parameter tensor `name`.
    pub fn tensor(&mut self, tensors: &Tensors, name: &str) -> Value {
        let tensor = tensors.get(name).unwrap_or_else(|| panic!("there is no tensor {name}"));
        let storage = Storage::Tensor { offset: tensor.offset };
        if let Some(index) = self.values.iter().position(|value| value.storage == storage) {
            return Value { index, trained: true };
        }
        self.value(Axis::Table(tensor.rows), tensor.columns, storage, true)
    }

    /// A matrix of floats (rows of the axis, columns) that comes with each batch.
    pub fn input(&mut self, name: &'static str, axis: Axis, columns: usize) -> Value {
        self.inputs.push((name, self.values.len()));
        let storage = Storage::Input { slot: self.inputs.len() - 1 };
        self.value(axis, columns, storage, false)
    }

    /// A matrix of floats (rows of the ragged axis, columns) that comes with each batch and whose gradient goes out with
    /// each run: rows of a table that is kept beside the tape, because few of its rows meet a batch. Gives its place
    /// among [`Run::input_gradients`](super::Run::input_gradients), too.
    pub fn trained_input(&mut self, name: &'static str, axis: Axis, columns: usize) -> (Value, usize) {
        assert!(matches!(axis, Axis::Ragged(_)), "a table that is trained is a tensor");
        let value = Value { trained: true, ..self.input(name, axis, columns) };
        self.trained_inputs.push(value);
        (value, self.trained_inputs.len() - 1)
    }

    /// A matrix of indexes (rows of the axis, columns) that comes with each batch.
    pub fn input_ids(&mut self, name: &'static str, axis: Axis, columns: usize) -> Ids {
        self.id_inputs.push((name, self.ids.len()));
        self.ids.push(IdsSpec { axis, columns, slot: Some(self.id_inputs.len() - 1) });
        Ids { index: self.ids.len() - 1 }
    }

    /// Rows of a table: of a weight matrix, the part that meets one part of a concatenated input.
    pub fn rows_of(&mut self, table: Value, rows: Range<usize>) -> Value {
        let Axis::Table(all) = self.axis_of(table) else { panic!("only a table has rows to view") };
        assert!(rows.end <= all, "rows {rows:?} of a table of {all}");
        let (base, row) = match self.values[table.index].storage {
            Storage::View { base, row } => (base, row + rows.start),
            _ => (table.index, rows.start),
        };
        self.value(Axis::Table(rows.len()), self.columns_of(table), Storage::View { base, row }, table.trained)
    }

    /// Keeps the value to be read after a run; gives its place among the outputs.
    pub fn output(&mut self, value: Value) -> usize {
        self.outputs.push(value);
        self.outputs.len() - 1
    }

    /// Keeps the indexes to be read after a run; gives their place among the outputs.
    pub fn output_ids(&mut self, ids: Ids) -> usize {
        self.output_ids.push(ids);
        self.output_ids.len() - 1
    }

    pub(crate) fn axis_of(&self, value: Value) -> Axis {
        self.values[value.index].axis
    }

    pub(crate) fn columns_of(&self, value: Value) -> usize {
        self.values[value.index].columns
    }

    pub(crate) fn rows_in(&self, table: Value) -> usize {
        match self.axis_of(table) {
            Axis::Table(rows) => rows,
            Axis::Ragged(_) => panic!("value {} is no table", table.index),
        }
    }

    fn value(&mut self, axis: Axis, columns: usize, storage: Storage, trained: bool) -> Value {
        self.values.push(ValueSpec { axis, columns, storage });
        Value { index: self.values.len() - 1, trained }
    }

    /// The result of an operation on `inputs`.
    pub(crate) fn result(&mut self, axis: Axis, columns: usize, inputs: &[Value]) -> Value {
        self.value(axis, columns, Storage::Computed, inputs.iter().any(|input| input.trained))
    }

    pub(crate) fn result_ids(&mut self, axis: Axis, columns: usize) -> Ids {
        self.ids.push(IdsSpec { axis, columns, slot: None });
        Ids { index: self.ids.len() - 1 }
    }
}

/// What a batch hands to a tape.
#[derive(Debug, Clone)]
pub struct Feed<T> {
    /// How many sequences there are.
    pub sequences: usize,
    /// Per ragged axis: (sequences + 1) offsets of the sequences' rows.
    pub offsets: Vec<Vec<u32>>,
    /// Per float input: (rows, columns).
    pub floats: Vec<Vec<T>>,
    /// Per index input: (rows, columns).
    pub ids: Vec<Vec<u32>>,
}

impl Tape {
    /// A feed of the tape's form without sequences.
    pub fn feed<T>(&self) -> Feed<T> {
        Feed {
            sequences: 0,
            offsets: vec![vec![0]; self.axes.len()],
            floats: self.inputs.iter().map(|_| Vec::new()).collect(),
            ids: vec![Vec::new(); self.id_inputs.len()],
        }
    }

    pub(crate) fn rows<T>(&self, feed: &Feed<T>, axis: Axis) -> usize {
        match axis {
            Axis::Table(rows) => rows,
            Axis::Ragged(axis) => feed.offsets[axis][feed.sequences] as usize,
        }
    }

    /// Panics where the feed's parts do not fit together: the caller builds it from checked input.
    pub(crate) fn check<T>(&self, feed: &Feed<T>) {
        for (name, offsets) in self.axes.iter().zip(&feed.offsets) {
            assert!(offsets.len() == feed.sequences + 1 && offsets.is_sorted(), "offsets of axis {name}");
        }
        for ((name, value), found) in self.inputs.iter().zip(&feed.floats) {
            let spec = &self.values[*value];
            assert_eq!(found.len(), self.rows(feed, spec.axis) * spec.columns, "numbers of input {name}");
        }
        for ((name, ids), found) in self.id_inputs.iter().zip(&feed.ids) {
            let spec = &self.ids[*ids];
            assert_eq!(found.len(), self.rows(feed, spec.axis) * spec.columns, "indexes of input {name}");
        }
    }
}
