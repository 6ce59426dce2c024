//! The compute core: slices in, slices out, on a GPU or on the CPU, to the same bits where the state is integer.
//!
//! # Layout
//!
//! - [`device`]: which backend; [`Choice`] is the setting, [`Device`] the open backend.
//! - `gpu`, `kernel`, `pass`, `buffers`: the little of wgpu that is needed, and its faults as values ([`Error`]).
//! - `shared/*.wgsl`: snippets that stand in front of kernels. They declare no binding and no entry point.
//! - [`ops`]: what models that learn are made of: operations recorded on a tape, forward and backward on both backends.
//! - [`co_occurrence`]: item vectors from the log alone, on the CPU.
//! - [`prompt_tpp`], [`ranking`]: rooms made of them. `random`: the streams of random numbers that they begin with.
//! - [`sdim`]: a room, that is one published system: `mod.rs` (the paper, the formulas, the public interface), `cpu.rs`
//!   (the twins), `launch.rs` (the launchers), a `.wgsl` per kernel, `tests/`.
//! - [`muse`]: another: the search for what of a long history is like a candidate.
//! - [`mod@bench`]: what scoring costs, part by part, ready to be timed.
//!
//! # How a kernel is written
//!
//! A kernel is three things with one name: `simhash.wgsl` with the entry point `simhash`, the twin `simhash` in
//! `cpu.rs`, and the launcher. The twin is no mock: it is the backend of machines without a GPU. The WGSL is complete
//! once its shared snippets are in front of it (`concat!` of `include_str!`s: declarations may stand in any order, so
//! this is a whole include system); variants are `override` constants, not text templates.
//!
//! *Gather, never scatter.* Each output element has one lane that owns it and loops over its inputs through `offsets`,
//! so a sum has one order and needs no atomics. State is integer wherever it can be. No invocation's loops turn more
//! than 65,535 times in all: lavapipe leaves them then, silently, and drivers with a watchdog kill long dispatches.
//! Longer work takes several dispatches.
//!
//! # How it is bound
//!
//! Bindings are declared once, in WGSL, and the pipeline's layout is derived from them: group 0, binding 0 the uniform
//! `Params`, then the inputs, then the outputs, in the order of the launcher's list. `Params` has a Rust mirror made by
//! the `params!` macro.
//!
//! # How it is batched
//!
//! A micro-batch is one encoder, one compute pass and one submission; launchers take a `Pass` and never submit.
//! All dispatches' params lie in one arena of 256-byte slots that is written once per submission. More than 65,535
//! workgroups are folded into rows. Buffers are allocated once; scratch doubles up to 256 MiB (or the adapter's
//! binding limit), beyond which work is cut into several passes or refused with [`Error::Limit`].
//!
//! A lost device is [`Error::DeviceLost`], from the call that met it and from all later ones: open a new [`Device`],
//! build the rooms anew, and refill their caches (every user `fresh`).
//!
//! # How it is tested
//!
//! Gradients against finite differences in f64; floating-point kernels within 1e-4 of their twins.
//! Every kernel against its twin at shapes chosen to hurt, the twin against the published formulas; integers exactly.
//! The test `tidy` parses every `.wgsl` and compares names, `Params` and twins. A machine without a GPU runs all this
//! on lavapipe (`mesa-vulkan-drivers`); without any adapter the tests fail and say so.

pub mod bench;
mod buffers;
pub mod co_occurrence;
pub mod device;
mod error;
mod gpu;
mod kernel;
pub mod muse;
pub mod ops;
mod pass;
pub mod prompt_tpp;
mod random;
pub mod ranking;
pub mod sdim;
#[cfg(test)]
mod tidy;

pub use device::{Choice, Device};
pub use error::Error;
pub use gpu::Gpu;
