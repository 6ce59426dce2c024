//! SDIM: *Sampling Is All You Need on Modeling Long-Term User Behaviors for CTR Prediction* (arXiv 2205.10249).
//!
//! A user's long behavior sequence is kept as sums of item vectors per hash bucket. Items whose signatures collide with
//! a candidate's are, with enough hash functions, those that target attention would attend to; so a ranker reads 16
//! rows instead of attending over a thousand items, and an event changes 16 rows instead of re-encoding the sequence.
//!
//! | formula | kernel |
//! |---|---|
//! | z = R x, bit_k = \[z_k > 0\], signature_g = 3 bits, little-endian | `simhash` |
//! | T\[g\]\[b\] = sum of s_j with signature_g(s_j) = b, and their count C\[g\]\[b\] | `bucket_fold` |
//! | T\[g\]\[b\] / length(T\[g\]\[b\]), a row without items zero (the l2 of equation 12) | `normalize` |
//!
//! A reader's attention is the mean over g of row T\[g\]\[signature_g(q)\], as published.
//!
//! # Fixed point
//!
//! Adding and removing are exact inverses only in integers, and only integers give one signature on every device.
//! Vectors x are i16 of scale 2^-14 with length at most [`LENGTH_MAX`], hyperplanes r i16 of scale 2^-8 with
//! components of at most 4 (1024). Then nothing overflows, by Cauchy-Schwarz, at any dim up to [`DIM_MAX`]:
//!
//! - |x| <= 1.001 * 2^14 + sqrt(dim) / 2 (rounding) = 16,433 at dim 4096, and |r| <= 1024 * sqrt(dim) = 65,536, so
//!   |z| <= 1.08e9 < 2^31;
//! - components are clipped to 2^14, so a sum over a window of W <= [`WINDOW_MAX`] = 2^17 - 1 items is below 2^31;
//! - a row is at most W * 16,433 long, so its sum of squares is below 4.7e18 < 2^63.
//!
//! # Normalizing in integers
//!
//! Division and square root are not exactly rounded on GPUs, so the published bits come from integers alone. For a row
//! t with S = sum of t_i^2 > 0:
//!
//! 1. s = leading zeros of S, made even; S' = S * 2^s lies in \[2^62, 2^64).
//! 2. root = floor(sqrt(S')), in \[2^31, 2^32). inverse = floor((2^63 - 1) / root), which fits 32 bits.
//! 3. a_i = |t_i| * 2^(s/2) <= root, since t_i^2 <= S.
//! 4. q_i = (a_i * inverse + 2^38) >> 39: |t_i| / length in units of 2^-24, at most 2^24 because a_i * inverse < 2^63.
//!    It needs only the high word of the product: q_i = (high + 64) >> 7. Its error is half a unit plus at most
//!    2^24 * (2^-31 + 2^-31), the relative errors of root and inverse.
//! 5. f16 = q_i * 2^-24 rounded half to even, with t_i's sign. q_i is exact in f32, so any correct conversion gives the
//!    same bits; the kernel does it by shifts (`pack2x16float` may round either way).
//!
//! Rounding twice costs at most a quarter of an ulp over rounding once, and only below 2^-12.

mod batch;
mod cpu;
mod launch;
mod pages;
mod quantize;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Change};
pub use quantize::{hash_matrix, quantize};

#[cfg(test)]
pub(crate) use launch::SOURCES;

use crate::{Device, Error};

/// Bucketings averaged by a reader.
pub const GROUPS: usize = 16;
/// Buckets of a group.
pub const BUCKETS: usize = 1 << GROUP_BITS;
/// Hyperplanes of a group.
pub const GROUP_BITS: usize = 3;
/// Hyperplanes: bits of a signature.
pub const BITS: usize = GROUPS * GROUP_BITS;
/// The widest item vector.
pub const DIM_MAX: usize = 4096;
/// The most items of a user's window.
pub const WINDOW_MAX: usize = (1 << 17) - 1;
/// The longest item vector (Euclidean length) before [`quantize()`]; callers refuse longer ones.
pub const LENGTH_MAX: f32 = 1.001;

/// What an [`Sdim`] is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Components of an item vector, 1 to [`DIM_MAX`].
    pub dim: usize,
    /// User tables held at once. Each takes 512 bytes per component of `dim`, and 512 more; on the GPU from the start,
    /// on the CPU from the first touch of its slot.
    pub slots: usize,
}

/// A [`Config`] with the hash's form; tests vary it.
#[derive(Debug, Clone, Copy)]
struct Shape {
    dim: usize,
    slots: usize,
    bits: usize,
    group_bits: usize,
    /// No buffer of tables or vectors is larger; the device's own limits hold besides.
    buffer_bytes_max: u64,
}

impl Shape {
    fn new(config: Config) -> Shape {
        let Config { dim, slots } = config;
        Shape { dim, slots, bits: BITS, group_bits: GROUP_BITS, buffer_bytes_max: u64::MAX }
    }

    fn groups(&self) -> usize {
        self.bits / self.group_bits
    }

    fn buckets(&self) -> usize {
        1 << self.group_bits
    }

    /// Rows of a table.
    fn rows(&self) -> usize {
        self.groups() * self.buckets()
    }

    fn check(&self, hash: &[i16]) -> Result<(), Error> {
        let Shape { dim, slots, bits, .. } = *self;
        if dim == 0 || dim > DIM_MAX {
            return Err(Error::Shape(format!("sdim.dim is {dim}, but must be 1 to {DIM_MAX}")));
        }
        if slots == 0 || slots > u32::MAX as usize {
            return Err(Error::Shape(format!("{slots} table slots, but there must be 1 to {}", u32::MAX)));
        }
        if hash.len() != bits * dim {
            let len = hash.len();
            return Err(Error::Shape(format!("the hash matrix has {len} values, but needs {bits} x {dim}")));
        }
        if let Some(value) = hash.iter().find(|value| value.unsigned_abs() > quantize::HASH_MAX.unsigned_abs()) {
            return Err(Error::Shape(format!("the hash matrix has {value}, beyond ±{}", quantize::HASH_MAX)));
        }
        Ok(())
    }
}

/// Users' bucket tables on a device. They are a cache: whoever owns the users' histories can rebuild any of them.
#[derive(Debug)]
pub struct Sdim {
    shape: Shape,
    hash: Vec<i16>,
    checker: batch::Checker,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Cpu(cpu::Tables),
    Gpu(Box<launch::Launcher>),
}

impl Sdim {
    /// Empty tables on `device`, hashed by `hash` (48, dim).
    ///
    /// # Errors
    /// [`Error::Shape`] for a misshapen hash or dim, [`Error::Limit`] or [`Error::Memory`] where the tables do not fit
    /// the GPU, and the device's own.
    pub fn new(device: &Device, config: Config, hash: &[i16]) -> Result<Sdim, Error> {
        Sdim::with_shape(device, Shape::new(config), hash)
    }

    fn with_shape(device: &Device, shape: Shape, hash: &[i16]) -> Result<Sdim, Error> {
        shape.check(hash)?;
        let backend = match device {
            Device::Cpu => Backend::Cpu(cpu::Tables::default()),
            Device::Gpu(gpu) => Backend::Gpu(Box::new(launch::Launcher::new(gpu, shape, hash)?)),
        };
        Ok(Sdim { shape, hash: hash.to_vec(), checker: batch::Checker::default(), backend })
    }

    /// After [`Error::DeviceLost`]: empty tables on a device of the same kind, opened anew.
    ///
    /// # Errors
    /// As [`Sdim::new`], and where no such device is there any more.
    pub fn renew(&mut self) -> Result<(), Error> {
        self.backend = match &self.backend {
            Backend::Cpu(_) => Backend::Cpu(cpu::Tables::default()),
            Backend::Gpu(lost) => {
                Backend::Gpu(Box::new(launch::Launcher::new(&lost.gpu().reopen()?, self.shape, &self.hash)?))
            }
        };
        Ok(())
    }

    /// The 48-bit signatures of `vectors` (items, dim), as [`quantize()`] makes them: group g in bits 3g to 3g + 2,
    /// little-endian.
    ///
    /// # Errors
    /// [`Error::Shape`] where the vectors are not whole, [`Error::DeviceLost`].
    pub fn simhash(&mut self, vectors: &[i16]) -> Result<Vec<u64>, Error> {
        let dim = self.shape.dim;
        if !vectors.len().is_multiple_of(dim) {
            return Err(Error::Shape(format!("{} components are no whole number of vectors of {dim}", vectors.len())));
        }
        let mut signatures = vec![0; vectors.len() / dim];
        match &mut self.backend {
            Backend::Cpu(_) => cpu::simhash(&self.shape, &self.hash, vectors, &mut signatures),
            Backend::Gpu(launcher) => launcher.simhash(vectors, &mut signatures)?,
        }
        Ok(signatures)
    }

    /// Folds `batch` into the tables, then fills `tables` with the published ones: f16 bits (published, 16, 8, dim),
    /// rows of length 1 or zero. On the GPU this is one submission (more only where the published tables exceed the
    /// scratch limit).
    ///
    /// # Errors
    /// [`Error::Shape`] where the batch's parts do not fit together, [`Error::Limit`] where its vectors exceed the
    /// scratch limit: then nothing has changed. [`Error::DeviceLost`]: then the tables are lost.
    pub fn encode(&mut self, batch: &Batch<'_>, tables: &mut Vec<u16>) -> Result<(), Error> {
        self.checker.check(&self.shape, batch)?;
        // Every element is written below; only growth needs filling.
        tables.resize(batch.publish.len() * self.shape.rows() * self.shape.dim, 0);
        match &mut self.backend {
            Backend::Cpu(own) => own.encode(&self.shape, batch, tables),
            Backend::Gpu(launcher) => launcher.encode(batch, tables)?,
        }
        Ok(())
    }

    /// Slot `slot`'s table (groups, buckets, dim), scale 2^-14, and its counts (groups, buckets).
    #[cfg(test)]
    fn table(&mut self, slot: usize) -> (Vec<i32>, Vec<u32>) {
        match &mut self.backend {
            Backend::Cpu(tables) => tables.table(&self.shape, slot),
            Backend::Gpu(launcher) => launcher.table(slot).expect("the device is alive"),
        }
    }

    /// Overwrites slot `slot`.
    #[cfg(test)]
    fn load(&mut self, slot: usize, sums: &[i32], counts: &[u32]) {
        match &mut self.backend {
            Backend::Cpu(tables) => tables.load(slot, sums, counts),
            Backend::Gpu(launcher) => launcher.load(slot, sums, counts),
        }
    }
}
