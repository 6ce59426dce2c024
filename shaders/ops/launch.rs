//! The launchers: each operation's dispatches, forward and backward, recorded on a pass.

use super::attention::{Attention, Form, KeyValue};
use super::expand::{Expand, Owner};
use super::gpu::{Buffers, sight};
use super::kernels::*;
use super::linear::Linear;
use super::mixture::{AffineMixture, Mixture};
use super::norm::Norm;
use super::tape::{Axis, Feed, Storage, Tape, Value};
use super::unary::Function;
use super::{Operation, gather, intensity, retrieval};
use crate::pass::Pass;
use crate::{Error, Gpu};

/// A pass that is being recorded.
pub(super) struct Launch<'a> {
    pub gpu: &'a Gpu,
    pub tape: &'a Tape,
    pub kernels: &'a Kernels,
    pub buffers: &'a mut Buffers,
    pub feed: &'a Feed<f32>,
    pub pass: Pass<'a>,
}

/// Chunks that a long sum is cut into, at most.
const CHUNKS_MAX: usize = 1024;
/// Rows of a chunk, at least.
const CHUNK_MIN: usize = 64;
/// Rows that one lane of the linear kernels works on.
const LINEAR_ROWS: usize = 4;

/// Workgroups of 64 lanes.
fn groups(lanes: usize) -> u64 {
    lanes.div_ceil(64) as u64
}

impl Launch<'_> {
    fn rows(&self, value: Value) -> usize {
        self.tape.rows(self.feed, self.tape.axis_of(value))
    }

    fn columns(&self, value: Value) -> usize {
        self.tape.columns_of(value)
    }

    fn len(&self, value: Value) -> usize {
        self.rows(value) * self.columns(value)
    }

    /// The buffer that holds the value, and the place of its first number there.
    fn place(&self, value: Value) -> (usize, u32) {
        match self.tape.values[value.index].storage {
            Storage::View { base, row } => (base, (row * self.columns(value)) as u32),
            _ => (value.index, 0),
        }
    }

    fn data(&self, value: Value) -> wgpu::Buffer {
        self.buffers.data[self.place(value).0].buffer().clone()
    }

    fn gradient(&self, value: Value) -> wgpu::Buffer {
        self.buffers.gradients[self.place(value).0].buffer().clone()
    }

    fn optional(&self, value: Option<Value>) -> wgpu::Buffer {
        value.map_or_else(|| self.nothing(), |value| self.data(value))
    }

    fn nothing(&self) -> wgpu::Buffer {
        self.buffers.nothing.buffer().clone()
    }

    /// The gradient to write to, or a buffer to be left alone where none flows.
    fn gradient_or_nothing(&self, value: Value) -> wgpu::Buffer {
        if value.trained { self.gradient(value) } else { self.nothing() }
    }

    fn ids(&self, ids: super::Ids) -> wgpu::Buffer {
        self.buffers.ids[ids.index].buffer().clone()
    }

    fn saved(&mut self, place: usize, numbers: usize) -> Result<wgpu::Buffer, Error> {
        self.buffers.saved[place].reserve(self.gpu, 4 * numbers as u64)?;
        Ok(self.buffers.saved[place].buffer().clone())
    }

    /// Temporary memory; the next request for the same place may take it.
    fn packed(&mut self, place: usize, numbers: usize) -> Result<wgpu::Buffer, Error> {
        self.buffers.packed[place].reserve(self.gpu, 4 * numbers as u64)?;
        Ok(self.buffers.packed[place].buffer().clone())
    }

    fn axis(&self, value: Value) -> Option<usize> {
        match self.tape.axis_of(value) {
            Axis::Ragged(axis) => Some(axis),
            Axis::Table(_) => None,
        }
    }

    fn add(&mut self, source: &wgpu::Buffer, target: Value) -> Result<(), Error> {
        if !target.trained {
            return Ok(());
        }
        let (len, sums) = (self.len(target), self.gradient(target));
        self.pass.dispatch(&self.kernels.add, &AddParams { len: len as u32 }, &[source, &sums], groups(len))
    }

    /// Adds x^T d_y to the gradient of `weight` and the column sums of d_y to that of `bias`.
    fn weight_gradient(
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

    fn sum_partials(
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

    /// Puts the columns of `parts` side by side into temporary memory.
    fn pack(&mut self, place: usize, parts: &[wgpu::Buffer], rows: usize, columns: usize) -> Result<wgpu::Buffer, Error> {
        let all = parts.len() * columns;
        let whole = self.packed(place, rows * all)?;
        for (n, part) in parts.iter().enumerate() {
            let params = ConcatParams {
                len: (rows * columns) as u32,
                columns: columns as u32,
                all: all as u32,
                start: (n * columns) as u32,
            };
            self.pass.dispatch(&self.kernels.concat, &params, &[part, &whole], groups(rows * columns))?;
        }
        Ok(whole)
    }

    /// Adds the n-th of `all` equal parts of the columns of `whole` to the gradient of `target`.
    fn unpack(&mut self, whole: &wgpu::Buffer, target: Value, start: usize, all: usize) -> Result<(), Error> {
        if !target.trained {
            return Ok(());
        }
        let (len, columns, part) = (self.len(target), self.columns(target), self.gradient(target));
        let params = ConcatGradientParams {
            len: len as u32,
            columns: columns as u32,
            all: all as u32,
            start: start as u32,
        };
        self.pass.dispatch(&self.kernels.concat_gradient, &params, &[whole, &part], groups(len))
    }

    pub fn forward(&mut self, place: usize, operation: &Operation) -> Result<(), Error> {
        let k = self.kernels;
        match operation {
            Operation::Linear(linear) => self.linear(linear),
            Operation::Unary(unary) => {
                let len = self.len(unary.y);
                let kind = match unary.function {
                    Function::Tanh => 0,
                    Function::Sigmoid => 1,
                    Function::Silu => 2,
                    Function::Gelu => 3,
                    Function::Softplus => 4,
                };
                let slope = self.saved(place, len)?;
                let params = UnaryParams { len: len as u32, kind, has_addend: unary.addend.is_some().into() };
                let buffers = [&self.data(unary.x), &self.optional(unary.addend), &self.data(unary.y), &slope];
                self.pass.dispatch(&k.unary, &params, &buffers, groups(len))
            }
            Operation::Gather(gather) => {
                let len = self.len(gather.y);
                let width = (gather.rows_per_id * self.columns(gather.table)) as u32;
                let buffers = [&self.data(gather.table), &self.ids(gather.ids), &self.data(gather.y)];
                self.pass.dispatch(&k.gather, &GatherParams { len: len as u32, width }, &buffers, groups(len))
            }
            Operation::Expand(expand) => {
                let (group, owners) = self.owner(expand);
                let len = self.len(expand.y);
                let params = ExpandParams { len: len as u32, columns: self.columns(expand.y) as u32, group };
                let buffers = [&self.data(expand.x), &self.data(expand.coarse), &owners, &self.data(expand.y)];
                self.pass.dispatch(&k.expand, &params, &buffers, groups(len))
            }
            Operation::WeightedSum(sum) => {
                let (rows, columns) = (self.rows(sum.y) as u32, self.columns(sum.y) as u32);
                let params = WeightedSumParams { rows, columns, group: sum.group as u32 };
                let buffers = [&self.data(sum.x), &self.data(sum.weights), &self.data(sum.y)];
                self.pass.dispatch(&k.weighted_sum, &params, &buffers, groups(self.len(sum.y)))
            }
            Operation::Segment(segment) => {
                let axis = self.axis(segment.x).expect("rows of sequences");
                let offsets = self.buffers.offsets[axis].buffer().clone();
                let params = SegmentParams {
                    rows: self.rows(segment.y) as u32,
                    columns: self.columns(segment.y) as u32,
                    group: 0,
                    has_counts: 1,
                    mean: segment.mean.into(),
                    accumulate: 0,
                };
                let buffers = [&self.data(segment.x), &offsets, &self.ids(segment.counts), &self.data(segment.y)];
                self.pass.dispatch(&k.segment, &params, &buffers, groups(self.len(segment.y)))
            }
            Operation::Concat(concat) => {
                let (all, whole, mut start) = (self.columns(concat.y), self.data(concat.y), 0);
                for &part in &concat.parts {
                    let (len, columns) = (self.len(part), self.columns(part));
                    let params =
                        ConcatParams { len: len as u32, columns: columns as u32, all: all as u32, start: start as u32 };
                    let part = self.data(part);
                    self.pass.dispatch(&k.concat, &params, &[&part, &whole], groups(len))?;
                    start += columns;
                }
                Ok(())
            }
            Operation::Attention(attention) => self.attention(place, attention),
            Operation::Norm(norm) => {
                let (rows, columns) = (self.rows(norm.y), self.columns(norm.y));
                let saved = self.saved(place, rows * (columns + 1))?;
                let params =
                    NormParams { rows: rows as u32, columns: columns as u32, has_bias: norm.bias.is_some().into() };
                let bias = self.optional(norm.bias);
                let buffers = [&self.data(norm.x), &self.data(norm.gain), &bias, &self.data(norm.y), &saved];
                self.pass.dispatch(&k.norm, &params, &buffers, groups(rows))
            }
            Operation::Softmax(softmax) => {
                let params =
                    SoftmaxParams { rows: self.rows(softmax.y) as u32, columns: self.columns(softmax.y) as u32 };
                let buffers = [&self.data(softmax.x), &self.data(softmax.y)];
                self.pass.dispatch(&k.softmax, &params, &buffers, groups(self.rows(softmax.y)))
            }
            Operation::CrossEntropy(entropy) => {
                let (rows, columns) = (self.rows(entropy.y), self.columns(entropy.logits));
                let shares = self.saved(place, rows * columns)?;
                let params = CrossEntropyParams { rows: rows as u32, columns: columns as u32 };
                let buffers = [&self.data(entropy.logits), &self.ids(entropy.classes), &self.data(entropy.y), &shares];
                self.pass.dispatch(&k.cross_entropy, &params, &buffers, groups(rows))
            }
            Operation::Mixture(mixture) => {
                let (nothing, y) = (self.nothing(), self.data(mixture.y));
                self.mixture(mixture, &nothing, &y, 0)
            }
            Operation::AffineMixture(map) => {
                let len = self.len(map.y);
                let params = AffineMixtureParams { len: len as u32, components: self.columns(map.y) as u32 / 3 };
                let buffers = [&self.data(map.parameters), &self.data(map.map), &self.data(map.y)];
                self.pass.dispatch(&k.affine_mixture, &params, &buffers, groups(len))
            }
            Operation::MixtureNodes(nodes) => {
                let rows = self.rows(nodes.parameters);
                let components = self.columns(nodes.parameters) as u32 / 3;
                let floor = (nodes.floor as f32).to_bits();
                let params = MixtureNodesParams { rows: rows as u32, components, floor };
                let buffers = [&self.data(nodes.parameters), &self.data(nodes.nodes), &self.data(nodes.weights)];
                self.pass.dispatch(&k.mixture_nodes, &params, &buffers, groups(rows))
            }
            Operation::Bumps(bumps) => {
                let params = BumpsParams { rows: self.rows(bumps.y) as u32 };
                let buffers = [&self.data(bumps.x), &self.data(bumps.y)];
                self.pass.dispatch(&k.bumps, &params, &buffers, groups(self.len(bumps.y)))
            }
            Operation::Intensity(intensity) => {
                let len = self.len(intensity.y);
                let params = IntensityParams { len: len as u32, columns: self.columns(intensity.y) as u32 };
                let buffers = [&self.data(intensity.x), &self.data(intensity.log_scale), &self.data(intensity.y)];
                self.pass.dispatch(&k.intensity, &params, &buffers, groups(len))
            }
            Operation::IntensityTerm(term) => {
                let rows = self.rows(term.y);
                let params = IntensityTermParams { rows: rows as u32, columns: self.columns(term.intensity) as u32 };
                let buffers = [&self.data(term.intensity), &self.ids(term.types), &self.data(term.y)];
                self.pass.dispatch(&k.intensity_term, &params, &buffers, groups(rows))
            }
            Operation::Cosine(cosine) => {
                let (queries, keys) = (self.rows(cosine.query), self.rows(cosine.keys));
                let inverses = self.saved(place, queries + keys)?;
                let columns = self.columns(cosine.query) as u32;
                let params = CosineParams { queries: queries as u32, keys: keys as u32, columns };
                let buffers = [&self.data(cosine.query), &self.data(cosine.keys), &self.data(cosine.y), &inverses];
                self.pass.dispatch(&k.cosine, &params, &buffers, groups(queries * keys))
            }
            Operation::Top(top) => {
                let rows = self.rows(top.scores);
                let params = TopParams {
                    rows: rows as u32,
                    columns: self.columns(top.scores) as u32,
                    n: self.tape.ids[top.chosen.index].columns as u32,
                    has_penalty: top.penalty.is_some().into(),
                };
                let penalty = self.optional(top.penalty);
                let buffers = [&self.data(top.scores), &penalty, &self.ids(top.counts), &self.ids(top.chosen)];
                self.pass.dispatch(&k.top, &params, &buffers, groups(rows))
            }
            Operation::Distance(distance) => {
                let (rows, columns, n) = self.choice(distance);
                let params = KeyDistanceParams { rows: rows as u32, columns, n };
                let buffers = [&self.data(distance.cosines), &self.ids(distance.chosen), &self.data(distance.y)];
                self.pass.dispatch(&k.key_distance, &params, &buffers, groups(rows))
            }
            Operation::Loss(loss) => {
                let params = LossParams { rows: self.rows(loss.x) as u32, slot: loss.slot as u32 };
                let sums = self.buffers.losses.buffer().clone();
                self.pass.dispatch(&k.loss, &params, &[&self.data(loss.x), &self.data(loss.weights), &sums], 1)
            }
        }
    }

    pub fn backward(&mut self, place: usize, operation: &Operation) -> Result<(), Error> {
        let k = self.kernels;
        match operation {
            Operation::Linear(linear) => self.linear_gradient(linear),
            Operation::Unary(unary) => {
                let (len, d_y) = (self.len(unary.y), self.gradient(unary.y));
                if unary.x.trained {
                    let slope = self.saved(place, len)?;
                    let (params, d_x) = (UnaryGradientParams { len: len as u32 }, self.gradient(unary.x));
                    self.pass.dispatch(&k.unary_gradient, &params, &[&d_y, &slope, &d_x], groups(len))?;
                }
                unary.addend.map_or(Ok(()), |addend| self.add(&d_y, addend))
            }
            Operation::Gather(gather) => self.gather_gradient(gather),
            Operation::Expand(expand) => self.expand_gradient(expand),
            Operation::WeightedSum(sum) => {
                let rows = self.rows(sum.x);
                let params = WeightedSumGradientParams {
                    rows: rows as u32,
                    columns: self.columns(sum.x) as u32,
                    group: sum.group as u32,
                    of_x: sum.x.trained.into(),
                    of_weights: sum.weights.trained.into(),
                };
                let spare = [self.packed(0, 1)?, self.packed(1, 1)?];
                let d_x = if sum.x.trained { self.gradient(sum.x) } else { spare[0].clone() };
                let d_weights = if sum.weights.trained { self.gradient(sum.weights) } else { spare[1].clone() };
                let d_y = self.gradient(sum.y);
                let buffers = [&d_y, &self.data(sum.x), &self.data(sum.weights), &d_x, &d_weights];
                self.pass.dispatch(&k.weighted_sum_gradient, &params, &buffers, groups(rows))
            }
            Operation::Segment(segment) if segment.x.trained => {
                let axis = self.axis(segment.x).expect("rows of sequences");
                let (offsets, owners) = (&self.buffers.offsets[axis], &self.buffers.owners[axis]);
                let (offsets, owners) = (offsets.buffer().clone(), owners.buffer().clone());
                let len = self.len(segment.x);
                let columns = self.columns(segment.x) as u32;
                let params = SegmentGradientParams { len: len as u32, columns, mean: segment.mean.into() };
                let (d_y, d_x) = (self.gradient(segment.y), self.gradient(segment.x));
                let buffers = [&d_y, &owners, &offsets, &self.ids(segment.counts), &d_x];
                self.pass.dispatch(&k.segment_gradient, &params, &buffers, groups(len))
            }
            Operation::Concat(concat) => {
                let (all, whole, mut start) = (self.columns(concat.y), self.gradient(concat.y), 0);
                for &part in &concat.parts {
                    self.unpack(&whole, part, start, all)?;
                    start += self.columns(part);
                }
                Ok(())
            }
            Operation::Attention(attention) => self.attention_gradient(place, attention),
            Operation::Norm(norm) => self.norm_gradient(place, norm),
            Operation::Softmax(softmax) if softmax.x.trained => {
                let params =
                    SoftmaxGradientParams { rows: self.rows(softmax.y) as u32, columns: self.columns(softmax.y) as u32 };
                let buffers = [&self.data(softmax.y), &self.gradient(softmax.y), &self.gradient(softmax.x)];
                self.pass.dispatch(&k.softmax_gradient, &params, &buffers, groups(self.rows(softmax.y)))
            }
            Operation::CrossEntropy(entropy) if entropy.logits.trained => {
                let (len, columns) = (self.len(entropy.logits), self.columns(entropy.logits));
                let shares = self.saved(place, len)?;
                let params = CrossEntropyGradientParams { len: len as u32, columns: columns as u32 };
                let (d_y, d_logits) = (self.gradient(entropy.y), self.gradient(entropy.logits));
                let buffers = [&d_y, &shares, &self.ids(entropy.classes), &d_logits];
                self.pass.dispatch(&k.cross_entropy_gradient, &params, &buffers, groups(len))
            }
            Operation::Mixture(mixture) if mixture.parameters.trained => {
                let (d_y, d_parameters) = (self.gradient(mixture.y), self.gradient(mixture.parameters));
                self.mixture(mixture, &d_y, &d_parameters, 1)
            }
            Operation::AffineMixture(map) => self.affine_mixture_gradient(map),
            Operation::Intensity(intensity) => self.intensity_gradient(intensity),
            Operation::IntensityTerm(term) if term.intensity.trained => {
                let (len, columns) = (self.len(term.intensity), self.columns(term.intensity));
                let params = IntensityTermGradientParams { len: len as u32, columns: columns as u32 };
                let (d_y, d_x) = (self.gradient(term.y), self.gradient(term.intensity));
                let buffers = [&d_y, &self.data(term.intensity), &self.ids(term.types), &d_x];
                self.pass.dispatch(&k.intensity_term_gradient, &params, &buffers, groups(len))
            }
            Operation::Cosine(cosine) => self.cosine_gradient(place, cosine),
            Operation::Distance(distance) if distance.cosines.trained => {
                let (rows, columns, n) = self.choice(distance);
                let params = KeyDistanceGradientParams { rows: rows as u32, columns, n };
                let (d_y, d_cosines) = (self.gradient(distance.y), self.gradient(distance.cosines));
                let buffers = [&d_y, &self.ids(distance.chosen), &d_cosines];
                self.pass.dispatch(&k.key_distance_gradient, &params, &buffers, groups(rows))
            }
            Operation::Loss(loss) => {
                let weights = self.data(loss.weights);
                self.add(&weights, loss.x)
            }
            _ => Ok(()),
        }
    }

    fn linear(&mut self, linear: &Linear) -> Result<(), Error> {
        let (rows, outputs) = (self.rows(linear.y), self.columns(linear.y));
        let params = LinearParams {
            rows: rows as u32,
            inputs: self.columns(linear.x) as u32,
            outputs: outputs as u32,
            weight: self.place(linear.weight).1,
            has_bias: linear.bias.is_some().into(),
            has_addend: linear.addend.is_some().into(),
        };
        let buffers = [
            &self.data(linear.x),
            &self.data(linear.weight),
            &self.optional(linear.bias),
            &self.optional(linear.addend),
            &self.data(linear.y),
        ];
        self.pass.dispatch(&self.kernels.linear, &params, &buffers, groups(rows.div_ceil(LINEAR_ROWS) * outputs))
    }

    fn linear_gradient(&mut self, linear: &Linear) -> Result<(), Error> {
        let (rows, inputs, outputs) = (self.rows(linear.y), self.columns(linear.x), self.columns(linear.y));
        let d_y = self.gradient(linear.y);
        if linear.x.trained {
            let params = LinearInputGradientParams {
                rows: rows as u32,
                inputs: inputs as u32,
                outputs: outputs as u32,
                weight: self.place(linear.weight).1,
            };
            let buffers = [&d_y, &self.data(linear.weight), &self.gradient(linear.x)];
            let lanes = rows.div_ceil(LINEAR_ROWS) * inputs;
            self.pass.dispatch(&self.kernels.linear_input_gradient, &params, &buffers, groups(lanes))?;
        }
        if linear.weight.trained || linear.bias.is_some_and(|bias| bias.trained) {
            let x = self.data(linear.x);
            self.weight_gradient(Some((&x, inputs)), &d_y, (rows, outputs), Some(linear.weight), linear.bias)?;
        }
        linear.addend.map_or(Ok(()), |addend| self.add(&d_y, addend))
    }

    fn gather_gradient(&mut self, gather: &gather::Gather) -> Result<(), Error> {
        if !gather.table.trained {
            return Ok(());
        }
        let (width, len) = (gather.rows_per_id * self.columns(gather.table), self.len(gather.table));
        let ids = self.len(gather.y) / width;
        let chunk = ids.div_ceil(CHUNKS_MAX).max(CHUNK_MIN);
        let chunks = ids.div_ceil(chunk);
        self.buffers.partials.reserve(self.gpu, 4 * (chunks * len) as u64)?;
        let params = GatherGradientParams {
            ids: ids as u32,
            width: width as u32,
            len: len as u32,
            chunk: chunk as u32,
            chunks: chunks as u32,
        };
        let partials = self.buffers.partials.buffer().clone();
        let buffers = [&self.gradient(gather.y), &self.ids(gather.ids), &partials];
        self.pass.dispatch(&self.kernels.gather_gradient, &params, &buffers, groups(chunks * len))?;
        self.sum_partials(gather.table, (chunks, len), 0, len)
    }

    /// The group's size, and who owns each row where that is 0.
    fn owner(&self, expand: &Expand) -> (u32, wgpu::Buffer) {
        match expand.owner {
            Owner::Table => (u32::MAX, self.nothing()),
            Owner::Group(size) => (size as u32, self.nothing()),
            Owner::Sequence => {
                let axis = self.axis(expand.x).expect("rows of sequences");
                (0, self.buffers.owners[axis].buffer().clone())
            }
        }
    }

    fn expand_gradient(&mut self, expand: &Expand) -> Result<(), Error> {
        let d_y = self.gradient(expand.y);
        self.add(&d_y, expand.x)?;
        if !expand.coarse.trained {
            return Ok(());
        }
        let (rows, columns) = (self.rows(expand.x), self.columns(expand.x));
        let (group, offsets) = match expand.owner {
            Owner::Table => {
                return self.weight_gradient(None, &d_y, (rows, columns), None, Some(expand.coarse));
            }
            Owner::Group(size) => (size as u32, self.nothing()),
            Owner::Sequence => {
                let axis = self.axis(expand.x).expect("rows of sequences");
                (0, self.buffers.offsets[axis].buffer().clone())
            }
        };
        let params = SegmentParams {
            rows: self.rows(expand.coarse) as u32,
            columns: columns as u32,
            group,
            has_counts: 0,
            mean: 0,
            accumulate: 1,
        };
        let buffers = [&d_y, &offsets, &self.nothing(), &self.gradient(expand.coarse)];
        self.pass.dispatch(&self.kernels.segment, &params, &buffers, groups(self.len(expand.coarse)))
    }

    /// Keys and values of the three kinds, packed as the kernels want them.
    fn pack_keys(&mut self, attention: &Attention) -> Result<[wgpu::Buffer; 3], Error> {
        let mut pairs = [self.nothing(), self.nothing(), self.nothing()];
        let kinds = [Some(attention.rows), Some(attention.prefix), attention.own];
        for (n, pair) in kinds.into_iter().enumerate() {
            let Some(KeyValue { key, value }) = pair else { continue };
            let parts = [self.data(key), self.data(value)];
            pairs[n] = self.pack(n, &parts, self.rows(key), self.columns(key))?;
        }
        Ok(pairs)
    }

    fn attention(&mut self, place: usize, attention: &Attention) -> Result<(), Error> {
        let (queries, d) = (self.rows(attention.query), self.columns(attention.query));
        let [rows, prefix, own] = self.pack_keys(attention)?;
        let scales = self.saved(place, 3 * queries)?;
        let params = AttentionParams {
            queries: queries as u32,
            d: d as u32,
            one_plus: (attention.form == Form::OnePlus).into(),
            has_own: attention.own.is_some().into(),
        };
        let seen = self.buffers.sights[&sight(self.tape, attention)].seen.buffer().clone();
        let buffers =
            [&self.data(attention.query), &rows, &prefix, &own, &seen, &self.data(attention.y), &scales];
        self.pass.dispatch(&self.kernels.attention, &params, &buffers, queries as u64)
    }

    fn attention_gradient(&mut self, place: usize, attention: &Attention) -> Result<(), Error> {
        let (queries, d) = (self.rows(attention.query), self.columns(attention.query));
        let [rows, prefix, own] = self.pack_keys(attention)?;
        let parts = [self.data(attention.query), self.data(attention.y), self.gradient(attention.y)];
        let query = self.pack(3, &parts, queries, d)?;
        let scales = self.saved(place, 3 * queries)?;
        let sight = &self.buffers.sights[&sight(self.tape, attention)];
        let seen = sight.seen.buffer().clone();
        let asked = [sight.by_rows.buffer().clone(), sight.by_prefix.buffer().clone()];
        let d_query = self.packed(4, 3 * queries * d)?;
        let has_own = attention.own.is_some().into();
        let params = AttentionQueryGradientParams { queries: queries as u32, d: d as u32, has_own };
        let buffers = [&query, &rows, &prefix, &own, &seen, &scales, &d_query];
        self.pass.dispatch(&self.kernels.attention_query_gradient, &params, &buffers, queries as u64)?;
        self.unpack(&d_query, attention.query, 0, 3 * d)?;
        if let Some(own) = attention.own {
            self.unpack(&d_query, own.key, d, 3 * d)?;
            self.unpack(&d_query, own.value, 2 * d, 3 * d)?;
        }
        for ((pair, keys), asked) in [(attention.rows, &rows), (attention.prefix, &prefix)].into_iter().zip(&asked) {
            let count = self.rows(pair.key);
            let d_rows = self.packed(4, 2 * count * d)?;
            let params = AttentionKeyGradientParams { keys: count as u32, d: d as u32 };
            let buffers = [&query, keys, asked, &seen, &scales, &d_rows];
            self.pass.dispatch(&self.kernels.attention_key_gradient, &params, &buffers, count as u64)?;
            self.unpack(&d_rows, pair.key, 0, 2 * d)?;
            self.unpack(&d_rows, pair.value, d, 2 * d)?;
        }
        Ok(())
    }

    fn norm_gradient(&mut self, place: usize, norm: &Norm) -> Result<(), Error> {
        let (rows, columns) = (self.rows(norm.y), self.columns(norm.y));
        let saved = self.saved(place, rows * (columns + 1))?;
        let (d_gains, d_y) = (self.packed(0, rows * columns)?, self.gradient(norm.y));
        let params = NormGradientParams {
            rows: rows as u32,
            columns: columns as u32,
            centered: norm.bias.is_some().into(),
            of_x: norm.x.trained.into(),
        };
        let buffers = [&d_y, &self.data(norm.gain), &saved, &self.gradient_or_nothing(norm.x), &d_gains];
        self.pass.dispatch(&self.kernels.norm_gradient, &params, &buffers, groups(rows))?;
        self.weight_gradient(None, &d_gains, (rows, columns), None, Some(norm.gain))?;
        match norm.bias {
            Some(bias) => self.weight_gradient(None, &d_y, (rows, columns), None, Some(bias)),
            None => Ok(()),
        }
    }

    fn mixture(
        &mut self,
        mixture: &Mixture,
        d_y: &wgpu::Buffer,
        results: &wgpu::Buffer,
        gradient: u32,
    ) -> Result<(), Error> {
        let rows = self.rows(mixture.y);
        let params = MixtureParams {
            rows: rows as u32,
            components: self.columns(mixture.parameters) as u32 / 3,
            floor: (mixture.floor as f32).to_bits(),
            gradient,
        };
        let (parameters, gap, kinds) = (self.data(mixture.parameters), self.data(mixture.gap), self.ids(mixture.kinds));
        let buffers = [&parameters, &gap, &kinds, d_y, results];
        self.pass.dispatch(&self.kernels.mixture, &params, &buffers, groups(rows))
    }

    fn affine_mixture_gradient(&mut self, map: &AffineMixture) -> Result<(), Error> {
        let rows = self.rows(map.y);
        let d_maps = self.packed(0, 2 * rows)?;
        let params = AffineMixtureGradientParams {
            rows: rows as u32,
            components: self.columns(map.y) as u32 / 3,
            of_x: map.parameters.trained.into(),
        };
        let d_x = self.gradient_or_nothing(map.parameters);
        let buffers = [&self.gradient(map.y), &self.data(map.parameters), &self.data(map.map), &d_x, &d_maps];
        self.pass.dispatch(&self.kernels.affine_mixture_gradient, &params, &buffers, groups(rows))?;
        self.weight_gradient(None, &d_maps, (rows, 2), None, Some(map.map))
    }

    fn intensity_gradient(&mut self, intensity: &intensity::Intensity) -> Result<(), Error> {
        let (rows, columns) = (self.rows(intensity.y), self.columns(intensity.y));
        let d_scales = self.packed(0, rows * columns)?;
        let of_x = intensity.x.trained.into();
        let params = IntensityGradientParams { len: (rows * columns) as u32, columns: columns as u32, of_x };
        let (d_y, d_x) = (self.gradient(intensity.y), self.gradient_or_nothing(intensity.x));
        let (y, x, log_scale) = (self.data(intensity.y), self.data(intensity.x), self.data(intensity.log_scale));
        let buffers = [&d_y, &y, &x, &log_scale, &d_x, &d_scales];
        self.pass.dispatch(&self.kernels.intensity_gradient, &params, &buffers, groups(rows * columns))?;
        self.weight_gradient(None, &d_scales, (rows, columns), None, Some(intensity.log_scale))
    }

    fn cosine_gradient(&mut self, place: usize, cosine: &retrieval::Cosine) -> Result<(), Error> {
        let (queries, keys) = (self.rows(cosine.query), self.rows(cosine.keys));
        let inverses = self.saved(place, queries + keys)?;
        for (target, of_keys) in [(cosine.keys, 1), (cosine.query, 0)] {
            if !target.trained {
                continue;
            }
            let columns = self.columns(target) as u32;
            let params = CosineGradientParams { queries: queries as u32, keys: keys as u32, columns, of_keys };
            let (query, key, y) = (self.data(cosine.query), self.data(cosine.keys), self.data(cosine.y));
            let (d_y, gradient) = (self.gradient(cosine.y), self.gradient(target));
            let buffers = [&query, &key, &y, &d_y, &inverses, &gradient];
            self.pass.dispatch(&self.kernels.cosine_gradient, &params, &buffers, groups(self.len(target)))?;
        }
        Ok(())
    }

    /// Rows, columns and how many are chosen.
    fn choice(&self, distance: &retrieval::Distance) -> (usize, u32, u32) {
        let n = self.tape.ids[distance.chosen.index].columns;
        (self.rows(distance.y), self.columns(distance.cosines) as u32, n as u32)
    }
}
