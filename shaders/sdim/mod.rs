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
//! | (1/G) sum over g of T\[g\]\[signature_g(q)\] / its length (equation 12) | `row_scale`, `bucket_read` |
//!
//! Readers elsewhere take the published tables (f16); [`Sdim::read`] reads the kept ones at full precision.
//!
//! The form of the hash is a setting: (48, 3) bits is the paper's and the one that is published; (96, 6) and (160, 10)
//! have sharper buckets, for users whose interests are many and rare. Their tables are larger by 8 and by 128 times:
//! [`Sdim::read_window`] needs none.
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
//!
//! A read adds the units q_i of step 4, with their signs, over at most [`GROUPS_MAX`] groups: below 2^31, so the sum has
//! no order. Only the host divides it: a read has the same bits on every device.

mod batch;
pub mod bench;
mod cpu;
mod launch;
mod pages;
mod quantize;
mod read;
mod simhash;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Change};
pub(crate) use cpu::vectorized;
pub use quantize::{hash_matrix, hash_matrix_of, quantize};
pub use read::Window;

#[cfg(test)]
pub(crate) use launch::SOURCES;

use crate::{Device, Error};

/// Bucketings averaged by a reader of published tables.
pub const GROUPS: usize = BITS / GROUP_BITS;
/// Buckets of a group of a published table.
pub const BUCKETS: usize = 1 << GROUP_BITS;
/// Hyperplanes of a group of a published table.
pub const GROUP_BITS: usize = 3;
/// Hyperplanes of a published table: bits of a signature.
pub const BITS: usize = 48;
/// The most hyperplanes.
pub const BITS_MAX: usize = 256;
/// The most hyperplanes of a group.
pub const GROUP_BITS_MAX: usize = 12;
/// The most bucketings.
pub const GROUPS_MAX: usize = 127;
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
    /// User tables held at once. Each takes 4 bytes per component of `dim`, and 4 more, for each of its rows (128 rows at
    /// (48, 3), 1,024 at (96, 6), 16,384 at (160, 10)); on the GPU from the start, on the CPU from the first touch of
    /// its slot.
    pub slots: usize,
    /// Hyperplanes: bits of a signature (the paper's m), 1 to [`BITS_MAX`].
    pub bits: usize,
    /// Hyperplanes of a group (the paper's tau), 1 to [`GROUP_BITS_MAX`]; a divisor of `bits`. More make an interest
    /// sharper: what is unlike the candidate weighs 1 / 2^tau.
    pub group_bits: usize,
}

impl Config {
    /// The published form: 48 bits in groups of 3.
    pub fn new(dim: usize, slots: usize) -> Config {
        Config { dim, slots, bits: BITS, group_bits: GROUP_BITS }
    }

    /// Bucketings that a read averages.
    pub fn groups(&self) -> usize {
        self.bits / self.group_bits
    }

    /// Buckets of a group.
    pub fn buckets(&self) -> usize {
        1 << self.group_bits
    }

    /// Rows of a table.
    pub fn rows(&self) -> usize {
        self.groups() * self.buckets()
    }

    /// u64 words of a signature: 1 at 48 bits, 2 at 96, 3 at 160.
    pub fn signature_words(&self) -> usize {
        self.bits.div_ceil(64)
    }
}

/// A [`Config`] that is checked, with what tests vary besides.
#[derive(Debug, Clone, Copy)]
struct Shape {
    config: Config,
    /// No buffer of tables or vectors is larger; the device's own limits hold besides.
    buffer_bytes_max: u64,
}

impl std::ops::Deref for Shape {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl Shape {
    fn new(config: Config) -> Shape {
        Shape { config, buffer_bytes_max: u64::MAX }
    }

    /// The bucket of group `group` that `signature` (words) names.
    #[inline(always)]
    fn bucket_of(&self, signature: &[u64], group: usize) -> usize {
        let first = group * self.group_bits;
        let (word, shift) = (first / 64, first % 64);
        let mut bits = signature[word] >> shift;
        if shift + self.group_bits > 64 {
            bits |= signature[word + 1] << (64 - shift);
        }
        bits as usize & (self.buckets() - 1)
    }

    fn check(&self, hash: &[i16]) -> Result<(), Error> {
        let Config { dim, slots, bits, group_bits } = self.config;
        if dim == 0 || dim > DIM_MAX {
            return Err(Error::Shape(format!("sdim.dim is {dim}, but must be 1 to {DIM_MAX}")));
        }
        if slots == 0 || slots > u32::MAX as usize {
            return Err(Error::Shape(format!("{slots} table slots, but there must be 1 to {}", u32::MAX)));
        }
        if bits == 0 || bits > BITS_MAX {
            return Err(Error::Shape(format!("sdim.bits is {bits}, but must be 1 to {BITS_MAX}")));
        }
        if group_bits == 0 || group_bits > GROUP_BITS_MAX || !bits.is_multiple_of(group_bits) {
            return Err(Error::Shape(format!(
                "sdim.group_bits is {group_bits}, but must be 1 to {GROUP_BITS_MAX} and divide sdim.bits, {bits}"
            )));
        }
        if self.groups() > GROUPS_MAX {
            let groups = self.groups();
            return Err(Error::Shape(format!(
                "{bits} bits in groups of {group_bits} are {groups} groups, but there may be {GROUPS_MAX}: use more \
                 sdim.group_bits or fewer sdim.bits"
            )));
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
    hasher: simhash::Hasher,
    checker: batch::Checker,
    reader: read::Reader,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Cpu(cpu::Tables),
    Gpu(Box<launch::Launcher>),
}

impl Sdim {
    /// Empty tables on `device`, hashed by `hash` (bits, dim), as [`hash_matrix()`] or [`hash_matrix_of()`] makes it.
    ///
    /// # Errors
    /// [`Error::Shape`] for a misshapen hash or setting, [`Error::Limit`] or [`Error::Memory`] where the tables do not
    /// fit the GPU, and the device's own.
    pub fn new(device: &Device, config: Config, hash: &[i16]) -> Result<Sdim, Error> {
        Sdim::with_shape(device, Shape::new(config), hash)
    }

    fn with_shape(device: &Device, shape: Shape, hash: &[i16]) -> Result<Sdim, Error> {
        shape.check(hash)?;
        let hasher = simhash::Hasher::new(&shape, hash);
        let backend = match device {
            Device::Cpu => Backend::Cpu(cpu::Tables::default()),
            Device::Gpu(gpu) => Backend::Gpu(Box::new(launch::Launcher::new(gpu, shape, &hasher)?)),
        };
        Ok(Sdim { shape, hasher, checker: batch::Checker::default(), reader: read::Reader::default(), backend })
    }

    /// After [`Error::DeviceLost`]: empty tables on a device of the same kind, opened anew.
    ///
    /// # Errors
    /// As [`Sdim::new`], and where no such device is there any more.
    pub fn renew(&mut self) -> Result<(), Error> {
        self.backend = match &self.backend {
            Backend::Cpu(_) => Backend::Cpu(cpu::Tables::default()),
            Backend::Gpu(lost) => {
                Backend::Gpu(Box::new(launch::Launcher::new(&lost.gpu().reopen()?, self.shape, &self.hasher)?))
            }
        };
        Ok(())
    }

    /// What the tables were made for.
    pub fn config(&self) -> &Config {
        &self.shape.config
    }

    /// The signatures (items, words) of `vectors` (items, dim), as [`quantize()`] makes them: group g in bits
    /// g * group_bits and on, little-endian; a signature of 48 bits is one word.
    ///
    /// # Errors
    /// [`Error::Shape`] where the vectors are not whole, [`Error::DeviceLost`].
    pub fn simhash(&mut self, vectors: &[i16]) -> Result<Vec<u64>, Error> {
        let dim = self.shape.dim;
        if !vectors.len().is_multiple_of(dim) {
            return Err(Error::Shape(format!("{} components are no whole number of vectors of {dim}", vectors.len())));
        }
        let mut signatures = vec![0; vectors.len() / dim * self.shape.signature_words()];
        match &mut self.backend {
            Backend::Cpu(_) => self.hasher.simhash(vectors, &mut signatures),
            Backend::Gpu(launcher) => launcher.simhash(vectors, &mut signatures)?,
        }
        Ok(signatures)
    }

    /// Folds `batch` into the tables, then fills `tables` with the published ones: f16 bits (published, groups,
    /// buckets, dim), rows of length 1 or zero. On the GPU this is one submission (more only where the published tables exceed the
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

    /// What slot `slot`'s table says of each of `candidates` (candidates, dim), as [`quantize()`] makes them: the mean
    /// over groups of the rows that it collides with, each scaled to length 1, empty ones zero (equation 12);
    /// `reads` becomes (candidates, dim). The time does not depend on how many items the table holds.
    ///
    /// # Errors
    /// [`Error::Shape`] where the candidates are not whole or the slot is none, [`Error::Limit`] where they exceed the
    /// scratch limit of a GPU, [`Error::DeviceLost`].
    pub fn read(&mut self, slot: u32, candidates: &[i16], reads: &mut Vec<f32>) -> Result<(), Error> {
        let signatures = self.simhash(candidates)?;
        self.read_hashed(slot, &signatures, reads)
    }

    /// As [`Sdim::read`], of candidates whose signatures (candidates, words) are known.
    ///
    /// # Errors
    /// As [`Sdim::read`].
    pub fn read_hashed(&mut self, slot: u32, signatures: &[u64], reads: &mut Vec<f32>) -> Result<(), Error> {
        self.check_signatures(signatures)?;
        if slot as usize >= self.shape.slots {
            return Err(Error::Shape(format!("slot {slot} is beyond the {} slots", self.shape.slots)));
        }
        self.reader.begin(&self.shape, signatures);
        match &mut self.backend {
            Backend::Cpu(tables) => {
                self.reader.take_table(&self.shape, tables.of(slot));
                self.reader.read(&self.shape, reads);
            }
            Backend::Gpu(launcher) => launcher.read(slot, self.reader.asked(), reads)?,
        }
        Ok(())
    }

    /// As [`Sdim::read_hashed`], of the items of a window rather than of a kept table: only the buckets that the
    /// candidates ask for are summed, on the CPU. It costs some 16 additions of a vector per item of the window, for
    /// hashes whose tables are too large to be kept, or users who are seldom asked for.
    ///
    /// # Errors
    /// [`Error::Shape`] where the parts do not fit together.
    pub fn read_window(&mut self, window: &Window<'_>, signatures: &[u64], reads: &mut Vec<f32>) -> Result<(), Error> {
        self.check_signatures(signatures)?;
        window.check(&self.shape)?;
        self.reader.begin(&self.shape, signatures);
        self.reader.take_window(&self.shape, window);
        self.reader.read(&self.shape, reads);
        Ok(())
    }

    fn check_signatures(&self, signatures: &[u64]) -> Result<(), Error> {
        let (count, words) = (signatures.len(), self.shape.signature_words());
        if !count.is_multiple_of(words) {
            return Err(Error::Shape(format!("{count} words are no whole number of signatures of {words}")));
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
