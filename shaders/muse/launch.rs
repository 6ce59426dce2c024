//! The GPU backend: the launchers of the two kernels.

use super::block::{Block, Slice, square};
use super::cpu::finish;
use super::pages::{Page, Pages};
use super::{Config, Found};
use crate::buffers::{Readback, Scratch, scratch_bytes_max};
use crate::kernel::{Kernel, Source, params};
use crate::pass::{Arena, Pass};
use crate::{Error, Gpu};

params! {
    /// `shortlist.wgsl`
    ShortlistParams { slices, first, window, candidates, quads, k }
}
params! {
    /// `merge.wgsl`
    MergeParams { candidates, entries, k }
}

const SHORTLIST: Source = Source {
    name: "shortlist",
    wgsl: concat!(include_str!("../shared/grid.wgsl"), include_str!("shortlist.wgsl")),
    members: ShortlistParams::MEMBERS,
    size: size_of::<ShortlistParams>(),
};
const MERGE: Source = Source {
    name: "merge",
    wgsl: concat!(include_str!("../shared/grid.wgsl"), include_str!("merge.wgsl")),
    members: MergeParams::MEMBERS,
    size: size_of::<MergeParams>(),
};

/// This room's kernels.
#[cfg(test)]
pub(crate) const SOURCES: &[Source] = &[SHORTLIST, MERGE];

/// Candidates of a workgroup of `shortlist.wgsl`.
const SIDE: usize = 4;

/// A slice, as `shortlist.wgsl` reads it.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Placed {
    slot: u32,
    start: u32,
    age: u32,
    index: u32,
}

/// Pipelines and buffers of one `Gsu`.
#[derive(Debug)]
pub(super) struct Launcher {
    gpu: Gpu,
    page_bytes_max: u64,
    shortlist: Kernel,
    merge: Kernel,
    arena: Arena,
    pages: Pages,
    slices: Scratch,
    candidates: Scratch,
    entries: Scratch,
    found: Scratch,
    readback: Readback,
    /// Candidates on their way, padded to whole words.
    packing: Vec<[i8; 4]>,
}

impl Launcher {
    pub fn new(gpu: &Gpu, config: Config, page_bytes_max: u64) -> Result<Launcher, Error> {
        Ok(Launcher {
            gpu: gpu.clone(),
            page_bytes_max,
            shortlist: Kernel::new(gpu, &SHORTLIST, &[])?,
            merge: Kernel::new(gpu, &MERGE, &[])?,
            arena: Arena::new(gpu)?,
            pages: Pages::new(gpu, config, page_bytes_max)?,
            slices: Scratch::new(gpu, "bytes of the list of chunks")?,
            candidates: Scratch::new(gpu, "bytes of candidates")?,
            entries: Scratch::new(gpu, "bytes of what chunks give")?,
            found: Scratch::new(gpu, "bytes of what is found")?,
            readback: Readback::default(),
            packing: Vec::new(),
        })
    }

    /// The device that all of it lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub fn page_bytes_max(&self) -> u64 {
        self.page_bytes_max
    }

    /// As [`super::Gsu::search`]: a submission for as many candidates as scratch holds, and more where the window has
    /// more chunks than the GPU holds.
    pub fn search(&mut self, block: &Block, candidates: &[i8], k: usize, found: &mut Found) -> Result<(), Error> {
        let slices: Vec<Slice<'_>> = block.slices().collect();
        let entries = slices.len() * k;
        let limit = scratch_bytes_max(&self.gpu).min(self.page_bytes_max);
        let candidates_max = (limit as usize / (entries.max(1) * 8)).max(1);
        for candidates in candidates.chunks(candidates_max * block.dim()) {
            self.pack(block, candidates)?;
            let count = candidates.len() / block.dim();
            self.entries.reserve(&self.gpu, (count * entries * 8) as u64)?;
            self.found.reserve(&self.gpu, (count * k * 8) as u64)?;
            let best = self.submit(block, &slices, count, k)?;
            for (vector, best) in candidates.chunks_exact(block.dim()).zip(best.chunks_exact(k)) {
                take(block, square(vector), best, found);
            }
        }
        Ok(())
    }

    /// Uploads candidates as whole words.
    fn pack(&mut self, block: &Block, candidates: &[i8]) -> Result<(), Error> {
        self.packing.clear();
        for quad in candidates.chunks_exact(block.dim()).flat_map(|vector| vector.chunks(4)) {
            let mut word = [0; 4];
            word[..quad.len()].copy_from_slice(quad);
            self.packing.push(word);
        }
        self.candidates.write(&self.gpu, &self.packing)
    }

    /// The best k of each candidate (candidates, k): key and age; key 0 where there is none.
    fn submit(&mut self, block: &Block, slices: &[Slice<'_>], count: usize, k: usize) -> Result<Vec<[u32; 2]>, Error> {
        if slices.is_empty() {
            return Ok(vec![[0; 2]; count * k]);
        }
        let mut rounds = slices.chunks(self.pages.slots()).enumerate().peekable();
        while let Some((round, own)) = rounds.next() {
            let runs = self.place(block, own, round * self.pages.slots())?;
            let mut pass = Pass::new(&self.gpu, &mut self.arena)?;
            for (page, run) in runs {
                let params = ShortlistParams {
                    slices: run.len() as u32,
                    first: run.start as u32,
                    window: slices.len() as u32,
                    candidates: count as u32,
                    quads: block.quads() as u32,
                    k: k as u32,
                };
                let Page { vectors, inverses } = self.pages.page(page);
                let [slices, candidates, entries] =
                    [&self.slices, &self.candidates, &self.entries].map(Scratch::buffer);
                let workgroups = (run.len() * count.div_ceil(SIDE)) as u64;
                pass.dispatch(&self.shortlist, &params, &[slices, vectors, inverses, candidates, entries], workgroups)?;
            }
            if rounds.peek().is_some() {
                pass.read(&[], &mut self.readback, |_| ())?;
                continue;
            }
            let entries = (slices.len() * k) as u32;
            let params = MergeParams { candidates: count as u32, entries, k: k as u32 };
            pass.dispatch(&self.merge, &params, &[self.entries.buffer(), self.found.buffer()], count as u64)?;
            let bytes = (count * k * 8) as u64;
            return pass.read(&[(self.found.buffer(), bytes)], &mut self.readback, |bytes| {
                bytemuck::pod_collect_to_vec(bytes)
            });
        }
        unreachable!("the last round returns");
    }

    /// Brings the chunks of `slices` to the GPU and lists them by page; the first is the window's `first`.
    fn place(
        &mut self,
        block: &Block,
        slices: &[Slice<'_>],
        first: usize,
    ) -> Result<Vec<(usize, std::ops::Range<usize>)>, Error> {
        self.pages.begin();
        let mut placed: Vec<(usize, Placed)> = Vec::with_capacity(slices.len());
        for (slice, index) in slices.iter().zip(first..) {
            let (page, slot) = self.pages.hold(&self.gpu, block.id(), slice);
            let (start, age) = (slice.start as u32, slice.age);
            placed.push((page, Placed { slot, start, age, index: index as u32 }));
        }
        placed.sort_by_key(|(page, _)| *page);
        let mut runs: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
        for (place, &(page, _)) in placed.iter().enumerate() {
            match runs.last_mut() {
                Some((last, run)) if *last == page => run.end = place + 1,
                _ => runs.push((page, place..place + 1)),
            }
        }
        let placed: Vec<Placed> = placed.into_iter().map(|(_, placed)| placed).collect();
        self.slices.write(&self.gpu, &placed)?;
        Ok(runs)
    }
}

/// Appends what was found for a candidate of squared length `own`: the first of `best` whose key is not 0.
fn take(block: &Block, own: u32, best: &[[u32; 2]], found: &mut Found) {
    // A candidate without content is like nothing.
    let best = best.iter().take_while(|[key, _]| own > 0 && *key != 0);
    let (keys, ages): (Vec<i32>, Vec<u32>) = best.map(|&[key, age]| ((key ^ 0x8000_0000).cast_signed(), age)).unzip();
    finish(block, own, &keys, &ages, &mut found.ages, &mut found.similarities);
    found.offsets.push(found.ages.len() as u32);
}
