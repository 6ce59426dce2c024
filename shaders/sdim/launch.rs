//! The GPU backend: the launchers of the three kernels.

use super::Shape;
use super::batch::{Batch, Change};
use super::pages::{Page, Pages, Run};
use super::read::mean_of;
use super::simhash::Hasher;
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
    /// `row_scale.wgsl`
    RowScaleParams { asked, first, dim }
}
params! {
    /// `bucket_read.wgsl`
    BucketReadParams { candidates, first, groups, dim }
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

const ROW_SCALE: Source = Source {
    name: "row_scale",
    wgsl: concat!(
        include_str!("../shared/grid.wgsl"),
        include_str!("../shared/wide.wgsl"),
        include_str!("row_scale.wgsl")
    ),
    members: RowScaleParams::MEMBERS,
    size: size_of::<RowScaleParams>(),
};
const BUCKET_READ: Source = Source {
    name: "bucket_read",
    wgsl: concat!(
        include_str!("../shared/grid.wgsl"),
        include_str!("../shared/wide.wgsl"),
        include_str!("bucket_read.wgsl")
    ),
    members: BucketReadParams::MEMBERS,
    size: size_of::<BucketReadParams>(),
};

/// This room's kernels.
#[cfg(test)]
pub(crate) const SOURCES: &[Source] = &[SIMHASH, BUCKET_FOLD, NORMALIZE, ROW_SCALE, BUCKET_READ];

/// Columns of a block of `bucket_fold.wgsl`.
const LANES: usize = 64;

/// Pipelines and buffers of one `Sdim`.
#[derive(Debug)]
pub(super) struct Launcher {
    gpu: Gpu,
    shape: Shape,
    simhash: Kernel,
    bucket_fold: Kernel,
    normalize: Kernel,
    row_scale: Kernel,
    bucket_read: Kernel,
    arena: Arena,
    /// (words, bits): two i16 of a hyperplane per word
    hash: wgpu::Buffer,
    pages: Pages,
    users: Scratch,
    changes: Scratch,
    vectors: Scratch,
    signatures: Scratch,
    published: Scratch,
    tables: Scratch,
    asked: Scratch,
    asking: Scratch,
    scales: Scratch,
    reads: Scratch,
    readback: Readback,
    /// Vectors on their way into `vectors`, padded to whole words.
    packing: Vec<u32>,
}

impl Launcher {
    /// The device that all of it lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub fn new(gpu: &Gpu, shape: Shape, hasher: &Hasher) -> Result<Launcher, Error> {
        let constants = [
            ("GROUPS", shape.groups() as f64),
            ("GROUP_BITS", shape.group_bits as f64),
            ("SIGNATURE", (shape.signature_words() * 2) as f64),
        ];
        Ok(Launcher {
            gpu: gpu.clone(),
            shape,
            simhash: Kernel::new(gpu, &SIMHASH, &[("BITS", shape.bits as f64)])?,
            bucket_fold: Kernel::new(gpu, &BUCKET_FOLD, &constants)?,
            normalize: Kernel::new(gpu, &NORMALIZE, &[])?,
            row_scale: Kernel::new(gpu, &ROW_SCALE, &[])?,
            bucket_read: Kernel::new(gpu, &BUCKET_READ, &[])?,
            arena: Arena::new(gpu)?,
            hash: upload_hash(gpu, &shape, hasher.hash())?,
            pages: Pages::new(gpu, &shape)?,
            users: Scratch::new(gpu, "bytes of touched users")?,
            changes: Scratch::new(gpu, "bytes of a batch's changes")?,
            vectors: Scratch::new(gpu, "bytes of a batch's item vectors")?,
            signatures: Scratch::new(gpu, "bytes of a batch's signatures")?,
            published: Scratch::new(gpu, "bytes of the list of published tables")?,
            tables: Scratch::new(gpu, "bytes of published tables")?,
            asked: Scratch::new(gpu, "bytes of the list of rows read")?,
            asking: Scratch::new(gpu, "bytes of the rows that candidates read")?,
            scales: Scratch::new(gpu, "bytes of the scales of rows read")?,
            reads: Scratch::new(gpu, "bytes of what candidates read")?,
            readback: Readback::default(),
            packing: Vec::new(),
        })
    }

    /// Words of a packed row of i16 or f16.
    fn words(&self) -> usize {
        self.shape.dim.div_ceil(2)
    }

    /// How many pieces of `words` words one scratch buffer holds.
    fn pieces_max(&self, words: usize) -> usize {
        let limit = scratch_bytes_max(&self.gpu).min(self.shape.buffer_bytes_max);
        ((limit / (words as u64 * 4)) as usize).max(1)
    }

    /// Hashes `vectors` (items, dim); one submission per scratch buffer of them.
    pub fn simhash(&mut self, vectors: &[i16], signatures: &mut [u64]) -> Result<(), Error> {
        let (dim, signature) = (self.shape.dim, self.shape.signature_words());
        let items_max = self.pieces_max(self.words().max(signature * 2));
        for (vectors, signatures) in vectors.chunks(items_max * dim).zip(signatures.chunks_mut(items_max * signature)) {
            let items = signatures.len() / signature;
            self.pack(vectors.chunks_exact(dim))?;
            let bytes = size_of_val(signatures) as u64;
            self.signatures.reserve(&self.gpu, bytes)?;
            let params = SimhashParams { items: items as u32, words: self.words() as u32 };
            let mut pass = Pass::new(&self.gpu, &mut self.arena)?;
            let buffers = [&self.hash, self.vectors.buffer(), self.signatures.buffer()];
            pass.dispatch(&self.simhash, &params, &buffers, items as u64)?;
            pass.read(&[(self.signatures.buffer(), bytes)], &mut self.readback, |bytes| {
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

    /// Folds `batch` and reads back the published tables. One submission holds the folds and as many published tables
    /// as a scratch buffer does; the rest follow.
    pub fn encode(&mut self, batch: &Batch<'_>, tables: &mut [u16]) -> Result<(), Error> {
        let (folds, users) = self.pages.users(batch);
        self.pack(batch.vectors.iter().copied())?;
        self.users.write(&self.gpu, &users)?;
        self.changes.write::<Change>(&self.gpu, batch.changes)?;
        self.signatures.write(&self.gpu, batch.signatures)?;

        let rows = self.shape.rows();
        let tables_max = self.pieces_max(rows * self.words());
        let (first, rest) = batch.publish.split_at(tables_max.min(batch.publish.len()));
        let (first_tables, rest_tables) = tables.split_at_mut(first.len() * rows * self.shape.dim);
        self.fold_and_publish(&folds, batch.slots, first, first_tables)?;
        let rest_tables = rest_tables.chunks_mut(tables_max * rows * self.shape.dim);
        for (publish, tables) in rest.chunks(tables_max).zip(rest_tables) {
            self.fold_and_publish(&[], batch.slots, publish, tables)?;
        }
        Ok(())
    }

    /// Reads rows `asked` of slot `slot`'s table for candidates that ask for `rows` of those (candidates, groups); one
    /// submission.
    pub fn read(&mut self, slot: u32, (asked, rows): (&[u32], &[u32]), reads: &mut Vec<f32>) -> Result<(), Error> {
        let (groups, dim) = (self.shape.groups(), self.shape.dim);
        let candidates = rows.len() / groups;
        let bytes = (candidates * dim * 4) as u64;
        self.asked.write(&self.gpu, asked)?;
        self.asking.write(&self.gpu, rows)?;
        self.scales.reserve(&self.gpu, size_of_val(asked) as u64 * 2)?;
        self.reads.reserve(&self.gpu, bytes)?;
        reads.resize(candidates * dim, 0.0);

        let (Page { sums, counts }, slot) = self.pages.find(slot as usize);
        let first = (slot * self.shape.rows()) as u32;
        let mut pass = Pass::new(&self.gpu, &mut self.arena)?;
        let params = RowScaleParams { asked: asked.len() as u32, first, dim: dim as u32 };
        let buffers = [self.asked.buffer(), sums, counts, self.scales.buffer()];
        pass.dispatch(&self.row_scale, &params, &buffers, asked.len() as u64)?;
        let params = BucketReadParams { candidates: candidates as u32, first, groups: groups as u32, dim: dim as u32 };
        let [asking, asked, scales, out] = [&self.asking, &self.asked, &self.scales, &self.reads].map(Scratch::buffer);
        pass.dispatch(&self.bucket_read, &params, &[asking, asked, sums, scales, out], candidates as u64)?;
        pass.read(&[(out, bytes)], &mut self.readback, |bytes| {
            let sums: &[i32] = bytemuck::cast_slice(bytes);
            let mean = mean_of(groups);
            reads.iter_mut().zip(sums).for_each(|(read, &sum)| *read = sum as f32 * mean);
        })
    }

    /// One submission: the folds, then the tables of `publish`, read back into `tables`.
    fn fold_and_publish(
        &mut self,
        folds: &[Run],
        slots: &[u32],
        publish: &[u32],
        tables: &mut [u16],
    ) -> Result<(), Error> {
        let (dim, words) = (self.shape.dim, self.words());
        let (runs, published) = self.pages.published(slots, publish);
        let bytes = (publish.len() * self.shape.rows() * words * 4) as u64;
        self.published.write(&self.gpu, &published)?;
        self.tables.reserve(&self.gpu, bytes)?;

        let mut pass = Pass::new(&self.gpu, &mut self.arena)?;
        for run in folds {
            let params = BucketFoldParams {
                users: run.range.len() as u32,
                first: run.range.start as u32,
                dim: dim as u32,
                words: words as u32,
            };
            let inputs = [&self.users, &self.changes, &self.vectors, &self.signatures].map(Scratch::buffer);
            let [users, changes, vectors, signatures] = inputs;
            let Page { sums, counts } = self.pages.of(run);
            let buffers = [users, changes, vectors, signatures, sums, counts];
            let workgroups = run.range.len() * self.shape.groups() * dim.div_ceil(LANES);
            pass.dispatch(&self.bucket_fold, &params, &buffers, workgroups as u64)?;
        }
        for run in &runs {
            let params = NormalizeParams {
                tables: run.range.len() as u32,
                first: run.range.start as u32,
                rows: self.shape.rows() as u32,
                dim: dim as u32,
                words: words as u32,
            };
            let Page { sums, counts } = self.pages.of(run);
            let buffers = [self.published.buffer(), sums, counts, self.tables.buffer()];
            pass.dispatch(&self.normalize, &params, &buffers, (run.range.len() * self.shape.rows()) as u64)?;
        }
        // Also where nothing is published: the wait bounds the work in flight.
        pass.read(&[(self.tables.buffer(), bytes)], &mut self.readback, |bytes| {
            let padded = bytes.chunks_exact(words * 4);
            for (row, padded) in tables.chunks_exact_mut(dim).zip(padded) {
                bytemuck::cast_slice_mut(row).copy_from_slice(&padded[..dim * 2]);
            }
        })
    }
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

/// What tests see and set directly.
#[cfg(test)]
impl Launcher {
    /// Slot `slot`'s table and counts.
    pub fn table(&mut self, slot: usize) -> Result<(Vec<i32>, Vec<u32>), Error> {
        let (page, slot) = self.pages.find(slot);
        let (rows, cells) = (self.shape.rows(), self.shape.rows() * self.shape.dim);
        let pass = Pass::new(&self.gpu, &mut self.arena)?;
        let counts = pass.read(&[(&page.counts, page.counts.size())], &mut self.readback, |bytes| {
            bytemuck::cast_slice(bytes)[slot * rows..][..rows].to_vec()
        })?;
        let pass = Pass::new(&self.gpu, &mut self.arena)?;
        let sums = pass.read(&[(&page.sums, page.sums.size())], &mut self.readback, |bytes| {
            bytemuck::cast_slice(bytes)[slot * cells..][..cells].to_vec()
        })?;
        Ok((sums, counts))
    }

    /// Overwrites slot `slot`.
    pub fn load(&mut self, slot: usize, sums: &[i32], counts: &[u32]) {
        let (page, slot) = self.pages.find(slot);
        self.gpu.queue().write_buffer(&page.sums, (slot * size_of_val(sums)) as u64, bytemuck::cast_slice(sums));
        self.gpu.queue().write_buffer(&page.counts, (slot * size_of_val(counts)) as u64, bytemuck::cast_slice(counts));
    }
}
