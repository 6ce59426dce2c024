//! Operations that models are made of, each forward and backward, on both backends.
//!
//! A model records its forward pass once, on a [`Tape`]; walked in reverse the tape is the backward pass. Values are
//! matrices whose rows stand for an [`Axis`]: tables (weights, and what is computed of weights alone: once per run, not
//! per sequence) or ragged rows of sequences, whose offsets come with each batch, the [`Feed`].
//!
//! - `tape`: the recording; `tensors`: named parameters in one flat buffer, files; `optimizer`: Adam.
//! - one file per operation: what it records, its twin on the CPU with the gradient, and its launcher; the `.wgsl`
//!   kernels stand beside it, `x.wgsl` and `x_gradient.wgsl`.
//! - [`Cpu`]: runs the whole tape on blocks of a few sequences at a time, all that is touched staying in the core's
//!   cache. Blocks, and the groups whose sums of gradients are added in order, are cut by the batch alone: bits do not
//!   depend on threads, nor a sequence's forward on its neighbors. Generic over f32 and f64, so that tests know
//!   gradients to nine digits. `product` (matrices), `real` (functions as polynomials) and `vectorized` (AVX-512, AVX2,
//!   baseline, chosen at run time) are its floor.
//! - [`OnGpu`]: one buffer per value, one submission per run. Sums over rows are cut into chunks whose parts are then
//!   added, each by one lane in one order. Parameters go up and gradients come down with each run; the optimizer works
//!   on the CPU, where the model is saved from. Rows of a large table that few examples touch stay beside the tape: they
//!   come in as an input whose gradient goes out.
//!
//! [`Engine`] is a tape on whichever of the two.
//!
//! *To add an operation:* its file: the method of [`Tape`] that records it, `forward`, `backward`, `launch` and
//! `launch_gradient`; a line in
//! [`Operation`] and in `kernels`; a test in `tests/gradients.rs`, which checks the gradient against finite differences
//! and the kernels against the twin.

mod attention;
mod attention_gradient;
mod block;
mod bumps;
mod concat;
mod cpu;
mod engine;
mod expand;
mod gather;
mod gpu;
mod intensity;
mod kernels;
mod launch;
mod linear;
mod loss;
mod mixture;
mod multiply;
mod norm;
mod normal;
mod optimizer;
mod product;
pub(crate) mod real;
mod retrieval;
mod rotate;
mod segment;
mod similarity;
mod softmax;
mod tape;
mod target_attention;
mod target_attention_all;
mod target_attention_chosen;
pub mod tensors;
#[cfg(test)]
mod tests;
mod time_encoding;
mod unary;
mod unit;
pub(crate) mod vectorized;

pub use attention::{Form, KeyValue};
pub use bumps::BUMPS;
pub use cpu::{Cpu, Run};
pub use engine::Engine;
pub use expand::Owner;
pub use gpu::OnGpu;
pub use intensity::ALL_TYPES;
#[cfg(test)]
pub(crate) use kernels::SOURCES;
pub use mixture::{COMPONENTS_MAX, Gap};
pub use optimizer::{Adam, Rates, norm};
pub(crate) use optimizer::{AdamStep, adam};
pub use real::Real;
pub use tape::{Axis, Feed, Ids, Tape, Value};
pub use target_attention::{Chosen, Rows, Similarities};
pub use tensors::Tensors;
pub(crate) use time_encoding::time_encoding;
pub use unary::Function;

use crate::Error;

/// One recorded operation.
#[derive(Debug)]
pub(crate) enum Operation {
    Linear(linear::Linear),
    Unary(unary::Unary),
    Gather(gather::Gather),
    Expand(expand::Expand),
    WeightedSum(expand::WeightedSum),
    Segment(segment::Segment),
    Concat(concat::Concat),
    Attention(attention::Attention),
    Norm(norm::Norm),
    Rotate(rotate::Rotate),
    Softmax(softmax::Softmax),
    CrossEntropy(softmax::CrossEntropy),
    Mixture(mixture::Mixture),
    AffineMixture(mixture::AffineMixture),
    MixtureNodes(mixture::MixtureNodes),
    Bumps(bumps::Bumps),
    Intensity(intensity::Intensity),
    IntensityTerm(intensity::IntensityTerm),
    Cosine(retrieval::Cosine),
    Top(retrieval::Top),
    Distance(retrieval::Distance),
    Multiply(multiply::Multiply),
    Unit(unit::Unit),
    Similarity(similarity::Similarity),
    TargetAttention(target_attention::TargetAttention),
    Loss(loss::Loss),
}

/// Calls the same method of whatever operation it is.
macro_rules! each {
    ($operation:expr, $inner:ident => $call:expr) => {
        match $operation {
            Operation::Linear($inner) => $call,
            Operation::Unary($inner) => $call,
            Operation::Gather($inner) => $call,
            Operation::Expand($inner) => $call,
            Operation::WeightedSum($inner) => $call,
            Operation::Segment($inner) => $call,
            Operation::Concat($inner) => $call,
            Operation::Attention($inner) => $call,
            Operation::Norm($inner) => $call,
            Operation::Rotate($inner) => $call,
            Operation::Softmax($inner) => $call,
            Operation::CrossEntropy($inner) => $call,
            Operation::Mixture($inner) => $call,
            Operation::AffineMixture($inner) => $call,
            Operation::MixtureNodes($inner) => $call,
            Operation::Bumps($inner) => $call,
            Operation::Intensity($inner) => $call,
            Operation::IntensityTerm($inner) => $call,
            Operation::Cosine($inner) => $call,
            Operation::Top($inner) => $call,
            Operation::Distance($inner) => $call,
            Operation::Multiply($inner) => $call,
            Operation::Unit($inner) => $call,
            Operation::Similarity($inner) => $call,
            Operation::TargetAttention($inner) => $call,
            Operation::Loss($inner) => $call,
        }
    };
}

impl Operation {
    fn forward<T: Real>(&self, place: usize, block: &mut block::Block<'_, T>) {
        each!(self, operation => operation.forward(place, block));
    }

    fn backward<T: Real>(&self, place: usize, block: &mut block::Block<'_, T>) {
        each!(self, operation => operation.backward(place, block));
    }

    fn launch(&self, place: usize, on: &mut launch::Launch<'_>) -> Result<(), Error> {
        each!(self, operation => operation.launch(place, on))
    }

    fn launch_gradient(&self, place: usize, on: &mut launch::Launch<'_>) -> Result<(), Error> {
        each!(self, operation => operation.launch_gradient(place, on))
    }

    /// Whether its result is a table.
    fn is_of_tables(&self, tape: &Tape) -> bool {
        let y = match self {
            Operation::Loss(loss) => loss.x,
            Operation::Top(top) => top.scores,
            Operation::MixtureNodes(nodes) => nodes.nodes,
            Operation::Linear(linear) => linear.y,
            Operation::Unary(unary) => unary.y,
            Operation::Gather(gather) => gather.y,
            Operation::Expand(expand) => expand.y,
            Operation::WeightedSum(sum) => sum.y,
            Operation::Segment(segment) => segment.y,
            Operation::Concat(concat) => concat.y,
            Operation::Attention(attention) => attention.y,
            Operation::Norm(norm) => norm.y,
            Operation::Rotate(rotate) => rotate.y,
            Operation::Softmax(softmax) => softmax.y,
            Operation::CrossEntropy(entropy) => entropy.y,
            Operation::Mixture(mixture) => mixture.y,
            Operation::AffineMixture(map) => map.y,
            Operation::Bumps(bumps) => bumps.y,
            Operation::Intensity(intensity) => intensity.y,
            Operation::IntensityTerm(term) => term.y,
            Operation::Cosine(cosine) => cosine.y,
            Operation::Distance(distance) => distance.y,
            Operation::Multiply(multiply) => multiply.y,
            Operation::Unit(unit) => unit.y,
            Operation::Similarity(similarity) => similarity.y,
            Operation::TargetAttention(attention) => attention.y,
        };
        matches!(tape.axis_of(y), Axis::Table(_))
    }
}
