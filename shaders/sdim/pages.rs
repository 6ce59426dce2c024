//! Where the tables lie on a GPU: pages of as many slots as one binding holds, and batches in the order of pages.

use std::ops::Range;

use super::Shape;
use super::batch::Batch;
use crate::{Error, Gpu};

/// Changes of one user that one dispatch folds; more are folded by further dispatches of the same submission. It bounds
/// how long a dispatch runs, for drivers that kill long ones; and lavapipe silently leaves a kernel's loops after
/// 65,535 turns in all, of which `bucket_fold` takes two per change.
const CHANGES_PER_DISPATCH: u32 = 16_384;
/// A pass has room for a dispatch per page, of each kernel, and for long users besides.
const PAGES_MAX: usize = 256;

/// Every slot's table and counts.
#[derive(Debug)]
pub(super) struct Pages {
    pages: Vec<Page>,
    slots_per_page: usize,
}

/// The tables of some consecutive slots.
#[derive(Debug)]
pub(super) struct Page {
    /// (slots, groups, buckets, dim)
    pub sums: wgpu::Buffer,
    /// (slots, groups, buckets)
    pub counts: wgpu::Buffer,
}

/// Consecutive entries of a list that lie on one page: one dispatch.
#[derive(Debug)]
pub(super) struct Run {
    page: usize,
    pub range: Range<usize>,
}

/// A touched user, as `bucket_fold.wgsl` reads him.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct User {
    slot: u32,
    fresh: u32,
    begin: u32,
    end: u32,
}

/// A published table, as `normalize.wgsl` reads it.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Published {
    slot: u32,
    position: u32,
}

impl Pages {
    /// Empty tables.
    pub fn new(gpu: &Gpu, shape: &Shape) -> Result<Pages, Error> {
        let table_bytes = (shape.rows() * shape.dim * 4) as u64;
        let limit = gpu.binding_bytes_max().min(shape.buffer_bytes_max);
        let slots_per_page = (limit / table_bytes).min(shape.slots as u64) as usize;
        if slots_per_page == 0 {
            let remedy = "use a smaller sdim.dim or another device";
            return Err(Error::Limit { what: "bytes of one user's table", needed: table_bytes, limit, remedy });
        }
        if shape.slots.div_ceil(slots_per_page) > PAGES_MAX {
            let (needed, limit) = (shape.slots as u64, (slots_per_page * PAGES_MAX) as u64);
            let remedy = "hold fewer users' tables, or use another device";
            return Err(Error::Limit { what: "slots of user tables", needed, limit, remedy });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let mut pages = Vec::new();
        for first in (0..shape.slots).step_by(slots_per_page) {
            let slots = slots_per_page.min(shape.slots - first) as u64;
            let sums = gpu.allocate("bytes of user tables", slots * table_bytes, usage)?;
            let counts = gpu.allocate("bytes of user tables' counts", slots * shape.rows() as u64 * 4, usage)?;
            pages.push(Page { sums, counts });
        }
        Ok(Pages { pages, slots_per_page })
    }

    /// The page of a run.
    pub fn of(&self, run: &Run) -> &Page {
        &self.pages[run.page]
    }

    /// The page of a slot, and the slot's place on it.
    pub fn find(&self, slot: usize) -> (&Page, usize) {
        (&self.pages[slot / self.slots_per_page], slot % self.slots_per_page)
    }

    /// The touched users by round and page: a user's changes beyond [`CHANGES_PER_DISPATCH`] wait for the next round.
    pub fn users(&self, batch: &Batch<'_>) -> (Vec<Run>, Vec<User>) {
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

    /// The tables to publish by page; `position` is the place in the output.
    pub fn published(&self, slots: &[u32], publish: &[u32]) -> (Vec<Run>, Vec<Published>) {
        let slot_of = |position: &u32| slots[publish[*position as usize] as usize];
        let mut order: Vec<u32> = (0..publish.len() as u32).collect();
        order.sort_unstable_by_key(|position| (slot_of(position), *position));
        let per_page = self.slots_per_page as u32;
        let runs = runs(order.iter().map(|position| (0, (slot_of(position) / per_page) as usize)));
        let published = |position: &u32| Published { slot: slot_of(position) % per_page, position: *position };
        (runs, order.iter().map(published).collect())
    }
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
