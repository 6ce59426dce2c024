//! The GPU backend: the launchers of the three kernels, and the tables they work on.

use std::ops::Range;

use super::Shape;
use super::batch::{Batch, Change};
use crate::buffers::{Readback, Scratch, scratch_bytes_max};
use crate::kernel::{Kernel, Source, params};
use crate::pass::{Arena, Pass};
use crate::{Error, Gpu};

params! {
    /// `simhash.wgsl`
    SimhashParams { items, words }
}
params! {
    /// `bucket_fold.wgsl`
    BucketFoldParams { users, first, dim, words }
}
params! {
    /// `normalize.wgsl`
    NormalizeParams { tables, first, rows, dim, words }
}

const SIMHASH: Source = Source {
    name: "simhash",
    wgsl: concat!(
        include_str!("../shared/grid.wgsl"),
        include_str!("../shared/packed.wgsl"),
        include_str!("simhash.wgsl")
    ),
    members: SimhashParams::MEMBERS,
    size: size_of::<SimhashParams>(),
};
const BUCKET_FOLD: Source = Source {
    name: "bucket_fold",
    wgsl: concat!(
        include_str!("../shared/grid.wgsl"),
        include_str!("../shared/packed.wgsl"),
        include_str!("bucket_fold.wgsl")
    ),
    members: BucketFoldParams::MEMBERS,
    size: size_of::<BucketFoldParams>(),
};
const NORMALIZE: Source = Source {
    name: "normalize",
    wgsl: concat!(
        include_str!("../shared/grid.wgsl"),
        include_str!("../shared/wide.wgsl"),
        include_str!("normalize.wgsl")
    ),
    members: NormalizeParams::MEMBERS,
    size: size_of::<NormalizeParams>(),
};

/// This room's kernels.
pub(crate) const SOURCES: &[Source] = &[SIMHASH, BUCKET_FOLD, NORMALIZE];

/// Changes of one user that one dispatch folds; more are folded by further dispatches of the same submission. It bounds
/// how long a dispatch runs, for drivers that kill long ones; and lavapipe silently leaves a kernel's loops after
/// 65,535 turns in all, of which `bucket_fold` takes two per change.
const CHANGES_PER_DISPATCH: u32 = 16_384;
/// Columns of a block of `bucket_fold.wgsl`.
const LANES: usize = 64;

/// The tables of some consecutive slots; as many as one binding holds.
#[derive(Debug)]
struct Page {
    /// (slots, groups, buckets, dim)
    sums: wgpu::Buffer,
    /// (slots, groups, buckets)
    counts: wgpu::Buffer,
}

/// A touched user, as `bucket_fold.wgsl` reads him.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct User {
    slot: u32,
    fresh: u32,
    begin: u32,
    end: u32,
}

/// A published table, as `normalize.wgsl` reads it.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Published {
    slot: u32,
    position: u32,
}

/// Pipelines and buffers of one `Sdim`.
#[derive(Debug)]
pub(super) struct Launcher {
    gpu: Gpu,
    shape: Shape,
    simhash: Kernel,
    bucket_fold: Kernel,
    normalize: Kernel,
    arena: Arena,
    /// (words, bits): two i16 of a hyperplane per word
    hash: wgpu::Buffer,
    pages: Vec<Page>,
    slots_per_page: usize,
    users: Scratch,
    changes: Scratch,
    vectors: Scratch,
    signatures: Scratch,
    published: Scratch,
    tables: Scratch,
    readback: Readback,
    /// Vectors on their way into `vectors`, padded to whole words.
    packing: Vec<u32>,
}

impl Launcher {
    pub fn new(gpu: &Gpu, shape: Shape, hash: &[i16]) -> Result<Launcher, Error> {
        let group_bits = ("GROUP_BITS", shape.group_bits as f64);
        let constants = [("GROUPS", shape.groups() as f64), group_bits];
        let (pages, slots_per_page) = pages(gpu, &shape)?;
        Ok(Launcher {
            gpu: gpu.clone(),
            shape,
            simhash: Kernel::new(gpu, &SIMHASH, &[("BITS", shape.bits as f64)])?,
            bucket_fold: Kernel::new(gpu, &BUCKET_FOLD, &constants)?,
            normalize: Kernel::new(gpu, &NORMALIZE, &[])?,
            arena: Arena::new(gpu)?,
            hash: upload_hash(gpu, &shape, hash)?,
            pages,
            slots_per_page,
            users: Scratch::new(gpu, "bytes of touched users")?,
            changes: Scratch::new(gpu, "bytes of a batch's changes")?,
            vectors: Scratch::new(gpu, "bytes of a batch's item vectors")?,
            signatures: Scratch::new(gpu, "bytes of a batch's signatures")?,
            published: Scratch::new(gpu, "bytes of the list of published tables")?,
            tables: Scratch::new(gpu, "bytes of published tables")?,
            readback: Readback::default(),
            packing: Vec::new(),
        })
    }

    /// Words of a packed row of i16 or f16.
    fn words(&self) -> usize {
        self.shape.dim.div_ceil(2)
    }

    pub fn simhash(&mut self, vectors: &[i16], signatures: &mut [u64]) -> Result<(), Error> {
        let items_max = (scratch_bytes_max(&self.gpu) / (self.words() as u64 * 4)) as usize;
        let dim = self.shape.dim;
        for (vectors, signatures) in vectors.chunks(items_max * dim).zip(signatures.chunks_mut(items_max)) {
            self.pack(vectors.chunks_exact(dim))?;
            self.signatures.reserve(&self.gpu, size_of_val(signatures) as u64)?;
            let params = SimhashParams { items: signatures.len() as u32, words: self.words() as u32 };
            let mut pass = Pass::new(&self.gpu, &mut self.arena)?;
            let buffers = [&self.hash, self.vectors.buffer(), self.signatures.buffer()];
            pass.dispatch(&self.simhash, &params, &buffers, signatures.len() as u64)?;
            let bytes = size_of_val(signatures) as u64;
            pass.read(self.signatures.buffer(), bytes, &mut self.readback, |bytes| {
                bytemuck::cast_slice_mut(signatures).copy_from_slice(bytes);
            })?;
        }
        Ok(())
    }

    /// Uploads vectors as whole words.
    fn pack<'v>(&mut self, vectors: impl Iterator<Item = &'v [i16]>) -> Result<(), Error> {
        self.packing.clear();
        for vector in vectors {
            let pairs = vector.chunks(2).map(|pair| word_of(pair[0], pair.get(1).copied().unwrap_or(0)));
            self.packing.extend(pairs);
        }
        self.vectors.write(&self.gpu, &self.packing)
    }

    pub fn encode(&mut self, batch: &Batch<'_>, tables: &mut [u16]) -> Result<(), Error> {
        let (user_runs, users) = self.users_by_page(batch);
        self.pack(batch.vectors.iter().copied())?;
        self.users.write(&self.gpu, &users)?;
        self.changes.write::<Change>(&self.gpu, batch.changes)?;
        self.signatures.write(&self.gpu, batch.signatures)?;

        let row_bytes = self.words() as u64 * 4;
        let tables_max = (scratch_bytes_max(&self.gpu) / (self.shape.rows() as u64 * row_bytes)) as usize;
        let chunks = batch.publish.chunks(tables_max.max(1));
        // The folds go into the first submission; where nothing is published, into one of their own.
        let mut folds = &user_runs[..];
        for (publish, tables) in chunks.zip(tables.chunks_mut(tables_max.max(1) * self.shape.rows() * self.shape.dim)) {
            self.publish(folds, batch.slots, publish, tables)?;
            folds = &[];
        }
        if folds.is_empty() {
            return Ok(());
        }
        let mut pass = Pass::new(&self.gpu, &mut self.arena)?;
        let shape = &self.shape;
        let inputs = [&self.users, &self.changes, &self.vectors, &self.signatures].map(Scratch::buffer);
        record_folds(&mut pass, &self.bucket_fold, shape, &self.pages, folds, inputs)?;
        pass.submit()?;
        // Work in flight stays bounded.
        self.gpu.wait()
    }

    /// One submission: the folds, then the tables of `publish`, read back into `tables`.
    fn publish(&mut self, folds: &[Run], slots: &[u32], publish: &[u32], tables: &mut [u16]) -> Result<(), Error> {
        let (dim, rows, words) = (self.shape.dim, self.shape.rows(), self.words());
        let (runs, published) = self.published_by_page(slots, publish);
        let bytes = (publish.len() * rows * words * 4) as u64;
        self.published.write(&self.gpu, &published)?;
        self.tables.reserve(&self.gpu, bytes)?;

        let mut pass = Pass::new(&self.gpu, &mut self.arena)?;
        let inputs = [&self.users, &self.changes, &self.vectors, &self.signatures].map(Scratch::buffer);
        record_folds(&mut pass, &self.bucket_fold, &self.shape, &self.pages, folds, inputs)?;
        for Run { page, range } in &runs {
            let params = NormalizeParams {
                tables: range.len() as u32,
                first: range.start as u32,
                rows: rows as u32,
                dim: dim as u32,
                words: words as u32,
            };
            let Page { sums, counts } = &self.pages[*page];
            let buffers = [self.published.buffer(), sums, counts, self.tables.buffer()];
            pass.dispatch(&self.normalize, &params, &buffers, (range.len() * rows) as u64)?;
        }
        pass.read(self.tables.buffer(), bytes, &mut self.readback, |bytes| {
            let padded = bytes.chunks_exact(words * 4);
            for (row, padded) in tables.chunks_exact_mut(dim).zip(padded) {
                bytemuck::cast_slice_mut(row).copy_from_slice(&padded[..dim * 2]);
            }
        })
    }

    /// The touched users by round and page: a user's changes beyond [`CHANGES_PER_DISPATCH`] wait for the next round.
    fn users_by_page(&self, batch: &Batch<'_>) -> (Vec<Run>, Vec<User>) {
        let mut rounds: Vec<(u32, User)> = Vec::with_capacity(batch.slots.len());
        for (index, &slot) in batch.slots.iter().enumerate() {
            let (mut begin, last) = (batch.offsets[index], batch.offsets[index + 1]);
            for round in 0.. {
                let end = last.min(begin.saturating_add(CHANGES_PER_DISPATCH));
                let fresh = u32::from(round == 0 && batch.fresh[index]);
                rounds.push((round, User { slot, fresh, begin, end }));
                begin = end;
                if begin == last {
                    break;
                }
            }
        }
        rounds.sort_unstable_by_key(|(round, user)| (*round, user.slot));
        let per_page = self.slots_per_page as u32;
        let runs = runs(rounds.iter().map(|(round, user)| (*round, (user.slot / per_page) as usize)));
        let within = |(_, user): (u32, User)| User { slot: user.slot % per_page, ..user };
        (runs, rounds.into_iter().map(within).collect())
    }

    /// The same for tables to publish; `position` is the place in the output.
    fn published_by_page(&self, slots: &[u32], publish: &[u32]) -> (Vec<Run>, Vec<Published>) {
        let slot_of = |position: &u32| slots[publish[*position as usize] as usize];
        let mut order: Vec<u32> = (0..publish.len() as u32).collect();
        order.sort_by_key(slot_of);
        let runs = runs(order.iter().map(|position| (0, slot_of(position) as usize / self.slots_per_page)));
        let published =
            |position: &u32| Published { slot: slot_of(position) % self.slots_per_page as u32, position: *position };
        (runs, order.iter().map(published).collect())
    }

    /// Slot `slot`'s table and counts, for comparison with the twin's.
    #[cfg(test)]
    pub fn table(&mut self, slot: usize) -> Result<(Vec<i32>, Vec<u32>), Error> {
        let (page, slot) = (&self.pages[slot / self.slots_per_page], slot % self.slots_per_page);
        let (rows, cells) = (self.shape.rows(), self.shape.rows() * self.shape.dim);
        let pass = Pass::new(&self.gpu, &mut self.arena)?;
        let counts = pass.read(&page.counts, page.counts.size(), &mut self.readback, |bytes| {
            bytemuck::cast_slice(bytes)[slot * rows..][..rows].to_vec()
        })?;
        let pass = Pass::new(&self.gpu, &mut self.arena)?;
        let sums = pass.read(&page.sums, page.sums.size(), &mut self.readback, |bytes| {
            bytemuck::cast_slice(bytes)[slot * cells..][..cells].to_vec()
        })?;
        Ok((sums, counts))
    }

    /// Overwrites slot `slot`, with states that no sequence of changes reaches soon.
    #[cfg(test)]
    pub fn load(&mut self, slot: usize, sums: &[i32], counts: &[u32]) {
        let (page, slot) = (&self.pages[slot / self.slots_per_page], slot % self.slots_per_page);
        self.gpu.queue().write_buffer(&page.sums, (slot * size_of_val(sums)) as u64, bytemuck::cast_slice(sums));
        self.gpu.queue().write_buffer(&page.counts, (slot * size_of_val(counts)) as u64, bytemuck::cast_slice(counts));
    }
}

/// Consecutive entries of a list that lie on one page: one dispatch.
#[derive(Debug)]
struct Run {
    page: usize,
    range: Range<usize>,
}

/// The runs of equal (round, page) in `keys`, which ascend.
fn runs(keys: impl Iterator<Item = (u32, usize)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut last = None;
    for (index, key) in keys.enumerate() {
        match runs.last_mut() {
            Some(run) if last == Some(key) => run.range.end = index + 1,
            _ => runs.push(Run { page: key.1, range: index..index + 1 }),
        }
        last = Some(key);
    }
    runs
}

/// Records `bucket_fold` for each run; `inputs` are users, changes, vectors, signatures.
fn record_folds(
    pass: &mut Pass<'_>,
    kernel: &Kernel,
    shape: &Shape,
    pages: &[Page],
    runs: &[Run],
    inputs: [&wgpu::Buffer; 4],
) -> Result<(), Error> {
    for Run { page, range } in runs {
        let params = BucketFoldParams {
            users: range.len() as u32,
            first: range.start as u32,
            dim: shape.dim as u32,
            words: shape.dim.div_ceil(2) as u32,
        };
        let [users, changes, vectors, signatures] = inputs;
        let Page { sums, counts } = &pages[*page];
        let buffers = [users, changes, vectors, signatures, sums, counts];
        let workgroups = range.len() * shape.groups() * shape.dim.div_ceil(LANES);
        pass.dispatch(kernel, &params, &buffers, workgroups as u64)?;
    }
    Ok(())
}

/// The tables, cut into pages of at most a binding's bytes, and the slots of a page.
fn pages(gpu: &Gpu, shape: &Shape) -> Result<(Vec<Page>, usize), Error> {
    let table_bytes = (shape.rows() * shape.dim * 4) as u64;
    let limit = gpu.binding_bytes_max().min(shape.page_bytes_max);
    let slots_per_page = (limit / table_bytes).min(shape.slots as u64) as usize;
    if slots_per_page == 0 {
        let remedy = "use a smaller sdim.dim or another device";
        return Err(Error::Limit { what: "bytes of one user's table", needed: table_bytes, limit, remedy });
    }
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let mut pages = Vec::new();
    for first in (0..shape.slots).step_by(slots_per_page) {
        let slots = slots_per_page.min(shape.slots - first) as u64;
        let sums = gpu.allocate("bytes of user tables", slots * table_bytes, usage)?;
        let counts = gpu.allocate("bytes of user tables' counts", slots * shape.rows() as u64 * 4, usage)?;
        pages.push(Page { sums, counts });
    }
    Ok((pages, slots_per_page))
}

/// The hash matrix (bits, dim) as (words, bits), so that neighboring lanes read neighboring words.
fn upload_hash(gpu: &Gpu, shape: &Shape, hash: &[i16]) -> Result<wgpu::Buffer, Error> {
    let at = |bit: usize, column: usize| if column < shape.dim { hash[bit * shape.dim + column] } else { 0 };
    let mut packed = Vec::with_capacity(shape.dim.div_ceil(2) * shape.bits);
    for column in (0..shape.dim).step_by(2) {
        packed.extend((0..shape.bits).map(|bit| word_of(at(bit, column), at(bit, column + 1))));
    }
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.allocate("bytes of the hash matrix", size_of_val(&packed[..]) as u64, usage)?;
    gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&packed));
    Ok(buffer)
}

fn word_of(low: i16, high: i16) -> u32 {
    u32::from(low.cast_unsigned()) | u32::from(high.cast_unsigned()) << 16
}
