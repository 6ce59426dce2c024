//! The GPU backend: the whole tape, forward and backward, in one submission.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::attention::Attention;
use super::cpu::Run;
use super::kernels::Kernels;
use super::tape::{Axis, Feed, Ids, Storage, Tape, Value};
use super::target_attention::Reach;
use super::{Operation, launch::Launch};
use crate::buffers::{Readback, Scratch};
use crate::pass::{Arena, Pass};
use crate::{Error, Gpu};

/// A tape, its pipelines and its buffers on a GPU.
#[derive(Debug)]
pub struct OnGpu {
    gpu: Gpu,
    tape: Arc<Tape>,
    kernels: Kernels,
    arena: Arena,
    buffers: Buffers,
    readback: Readback,
}

/// One buffer per value, as the tape's lists; gather's inverse tables beside them.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub data: Vec<Scratch>,
    pub gradients: Vec<Scratch>,
    pub ids: Vec<Scratch>,
    /// Per operation: what its backward needs.
    pub saved: Vec<Scratch>,
    /// Per ragged axis: offsets, and each row's sequence.
    pub offsets: Vec<Scratch>,
    pub owners: Vec<Scratch>,
    /// Per kind of attention, see [`Sight`].
    pub sights: HashMap<(usize, usize, usize), Sight>,
    /// Per target attention, by its place: see [`Reach`].
    pub reaches: HashMap<usize, Reach>,
    pub losses: Scratch,
    pub partials: Scratch,
    pub packed: [Scratch; 5],
    /// In place of an argument that is not there.
    pub nothing: Scratch,
}

/// Who sees whom, for attention of the same visibility, rows and prefix.
#[derive(Debug)]
pub(crate) struct Sight {
    /// (queries, 4): first row, rows, first prefix row, prefix rows.
    pub seen: Scratch,
    /// (rows, 4): first query, queries, how many rows a query must see to see this one.
    pub by_rows: Scratch,
    /// (prefix rows, 4): the same, of the prefix.
    pub by_prefix: Scratch,
}

/// Keys that one query can see, see `attention.wgsl`.
const KEYS_MAX: u64 = 1023;

impl OnGpu {
    /// Compiles the kernels; buffers grow with use.
    ///
    /// # Errors
    /// What the device says.
    pub fn new(gpu: &Gpu, tape: Arc<Tape>) -> Result<OnGpu, Error> {
        let many = |what: &'static str, count: usize| -> Result<Vec<Scratch>, Error> {
            (0..count).map(|_| Scratch::new(gpu, what)).collect()
        };
        let packed = || Scratch::new(gpu, "bytes of packed rows");
        let buffers = Buffers {
            data: many("bytes of a value", tape.values.len())?,
            gradients: many("bytes of a gradient", tape.values.len())?,
            ids: many("bytes of indexes", tape.ids.len())?,
            saved: many("bytes kept for the backward pass", tape.operations.len())?,
            offsets: many("bytes of offsets", tape.axes.len())?,
            owners: many("bytes of owners", tape.axes.len())?,
            sights: HashMap::new(),
            reaches: HashMap::new(),
            losses: Scratch::new(gpu, "bytes of losses")?,
            partials: Scratch::new(gpu, "bytes of partial sums")?,
            packed: [packed()?, packed()?, packed()?, packed()?, packed()?],
            nothing: Scratch::new(gpu, "nothing")?,
        };
        let (kernels, arena) = (Kernels::new(gpu)?, Arena::new(gpu)?);
        Ok(OnGpu { gpu: gpu.clone(), tape, kernels, arena, buffers, readback: Readback::default() })
    }

    /// As [`Cpu::run`](super::Cpu::run).
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::Memory`], [`Error::DeviceLost`].
    pub fn run(
        &mut self,
        parameters: &[f32],
        feed: &Feed<f32>,
        gradient: Option<&mut [f32]>,
    ) -> Result<Run<f32>, Error> {
        let tape = self.tape.clone();
        tape.check(feed);
        self.upload(parameters, feed)?;
        let mut cleared = vec![];
        if gradient.is_some() {
            cleared.extend(self.buffers.gradients.iter().map(|buffer| buffer.buffer().clone()));
        }
        let pass = Pass::cleared(&self.gpu, &mut self.arena, &cleared.iter().collect::<Vec<_>>())?;
        let mut launch =
            Launch { gpu: &self.gpu, tape: &tape, kernels: &self.kernels, buffers: &mut self.buffers, feed, pass };
        for (place, operation) in tape.operations.iter().enumerate() {
            operation.launch(place, &mut launch)?;
        }
        if gradient.is_some() {
            for (place, operation) in tape.operations.iter().enumerate().rev() {
                operation.launch_gradient(place, &mut launch)?;
            }
        }
        let Launch { pass, buffers, .. } = launch;
        let sources = sources(&tape, buffers, feed, gradient.is_some());
        let sources: Vec<(&wgpu::Buffer, u64)> = sources.iter().map(|(buffer, bytes)| (buffer, *bytes)).collect();
        pass.read(&sources, &mut self.readback, |bytes| unpack(&tape, feed, bytes, gradient))
    }

    /// Everything that comes with the batch, and room for everything that is computed.
    fn upload(&mut self, parameters: &[f32], feed: &Feed<f32>) -> Result<(), Error> {
        let (gpu, tape, buffers) = (&self.gpu, self.tape.clone(), &mut self.buffers);
        for (index, spec) in tape.values.iter().enumerate() {
            let len = tape.rows(feed, spec.axis) * spec.columns;
            match spec.storage {
                Storage::Tensor { offset } => buffers.data[index].write(gpu, &parameters[offset..offset + len])?,
                Storage::Input { slot } => buffers.data[index].write(gpu, &feed.floats[slot])?,
                Storage::View { .. } => continue,
                Storage::Computed => buffers.data[index].reserve(gpu, 4 * len as u64)?,
            }
            buffers.gradients[index].reserve(gpu, 4 * len as u64)?;
        }
        for (index, spec) in tape.ids.iter().enumerate() {
            match spec.slot {
                Some(slot) => buffers.ids[index].write(gpu, &feed.ids[slot])?,
                None => buffers.ids[index].reserve(gpu, 4 * (tape.rows(feed, spec.axis) * spec.columns) as u64)?,
            }
        }
        for (axis, offsets) in feed.offsets.iter().enumerate() {
            let owners: Vec<u32> = (0..feed.sequences as u32)
                .flat_map(|b| std::iter::repeat_n(b, (offsets[b as usize + 1] - offsets[b as usize]) as usize))
                .collect();
            buffers.offsets[axis].write(gpu, offsets)?;
            buffers.owners[axis].write(gpu, &owners)?;
        }
        buffers.losses.reserve(gpu, 4 * tape.losses as u64)?;
        self.look(feed)
    }

    /// Who sees whom.
    fn look(&mut self, feed: &Feed<f32>) -> Result<(), Error> {
        let tape = self.tape.clone();
        let mut done = Vec::new();
        for operation in &tape.operations {
            let Operation::Attention(attention) = operation else { continue };
            let key = sight(&tape, attention);
            if done.contains(&key) {
                continue;
            }
            done.push(key);
            let gpu = &self.gpu;
            let sight = match self.buffers.sights.entry(key) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let new = || Scratch::new(gpu, "bytes of visibility");
                    entry.insert(Sight { seen: new()?, by_rows: new()?, by_prefix: new()? })
                }
            };
            let offsets = |value: Value| match tape.axis_of(value) {
                Axis::Ragged(axis) => &feed.offsets[axis],
                Axis::Table(_) => panic!("attention is over sequences"),
            };
            let (queries, rows) = (offsets(attention.query), offsets(attention.rows.key));
            let prefix = offsets(attention.prefix.key);
            let visible = &feed.ids[tape.ids[attention.visible.index].slot.expect("visibility comes with the batch")];
            let (mut seen, mut by_rows, mut by_prefix) = (Vec::new(), Vec::new(), Vec::new());
            for b in 0..feed.sequences {
                let prefixes = prefix[b + 1] - prefix[b];
                let asked = queries[b + 1] - queries[b];
                seen.extend((queries[b]..queries[b + 1]).map(|i| [rows[b], visible[i as usize], prefix[b], prefixes]));
                by_rows.extend((rows[b]..rows[b + 1]).map(|j| [queries[b], asked, j - rows[b] + 1, 0]));
                by_prefix.extend((0..prefixes).map(|_| [queries[b], asked, 0, 0]));
            }
            let most = seen.iter().map(|see| u64::from(see[1] + see[3])).max().unwrap_or(0);
            if most > KEYS_MAX - 1 {
                let remedy = "use shorter windows or fewer prompts";
                return Err(Error::Limit { what: "keys of a query", needed: most, limit: KEYS_MAX - 1, remedy });
            }
            sight.seen.write(gpu, seen.as_flattened())?;
            sight.by_rows.write(gpu, by_rows.as_flattened())?;
            sight.by_prefix.write(gpu, by_prefix.as_flattened())?;
        }
        Ok(())
    }
}

/// What is read after a run, with its bytes: losses, outputs, chosen indexes, gradients of tensors and of inputs.
fn sources(tape: &Tape, buffers: &Buffers, feed: &Feed<f32>, gradient: bool) -> Vec<(wgpu::Buffer, u64)> {
    let bytes = |axis: Axis, columns: usize| 4 * (tape.rows(feed, axis) * columns) as u64;
    let mut sources = vec![(buffers.losses.buffer().clone(), 4 * tape.losses as u64)];
    for value in &tape.outputs {
        let spec = &tape.values[value.index];
        sources.push((buffers.data[value.index].buffer().clone(), bytes(spec.axis, spec.columns)));
    }
    for ids in &tape.output_ids {
        let spec = &tape.ids[ids.index];
        sources.push((buffers.ids[ids.index].buffer().clone(), bytes(spec.axis, spec.columns)));
    }
    for (index, spec) in tape.values.iter().enumerate().filter(|_| gradient) {
        if matches!(spec.storage, Storage::Tensor { .. }) {
            sources.push((buffers.gradients[index].buffer().clone(), bytes(spec.axis, spec.columns)));
        }
    }
    for value in tape.trained_inputs.iter().filter(|_| gradient) {
        let spec = &tape.values[value.index];
        sources.push((buffers.gradients[value.index].buffer().clone(), bytes(spec.axis, spec.columns)));
    }
    sources
}

/// The bytes of [`sources`], as a run.
fn unpack(tape: &Tape, feed: &Feed<f32>, bytes: &[u8], gradient: Option<&mut [f32]>) -> Run<f32> {
    let mut start = 0;
    let mut next = |words: usize| {
        start += 4 * words;
        &bytes[start - 4 * words..start]
    };
    let floats = |bytes: &[u8]| bytemuck::pod_collect_to_vec::<u8, f32>(bytes);
    let losses = floats(next(tape.losses)).into_iter().map(f64::from).collect();
    let len = |value: &Value| tape.rows(feed, tape.axis_of(*value)) * tape.columns_of(*value);
    let outputs = tape.outputs.iter().map(|value| floats(next(len(value)))).collect();
    let ids_len = |ids: &Ids| tape.rows(feed, tape.ids[ids.index].axis) * tape.ids[ids.index].columns;
    let ids = tape.output_ids.iter().map(|ids| bytemuck::pod_collect_to_vec::<u8, u32>(next(ids_len(ids)))).collect();
    let mut input_gradients = vec![Vec::new(); tape.trained_inputs.len()];
    if let Some(gradient) = gradient {
        gradient.fill(0.0);
        for spec in &tape.values {
            if let Storage::Tensor { offset } = spec.storage {
                let part = floats(next(tape.rows(feed, spec.axis) * spec.columns));
                gradient[offset..offset + part.len()].copy_from_slice(&part);
            }
        }
        let inputs = tape.trained_inputs.iter().zip(&mut input_gradients);
        inputs.for_each(|(value, gradient)| *gradient = floats(next(len(value))));
    }
    Run { losses, outputs, ids, input_gradients }
}

/// What tells the sights of attention operations apart.
pub(crate) fn sight(tape: &Tape, attention: &Attention) -> (usize, usize, usize) {
    let axis = |value: Value| match tape.axis_of(value) {
        Axis::Ragged(axis) => axis,
        Axis::Table(_) => panic!("attention is over sequences"),
    };
    (attention.visible.index, axis(attention.rows.key), axis(attention.prefix.key))
}
