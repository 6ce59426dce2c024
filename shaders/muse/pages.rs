//! Which chunks lie where on a GPU: pages of as many as one binding holds; those not used for longest make room.

use std::collections::{BTreeSet, HashMap};

use super::Config;
use super::block::{CHUNK_EVENTS, LANES, Slice};
use crate::{Error, Gpu};

/// A pass has room for a dispatch per page.
const PAGES_MAX: usize = 256;
/// Tiles of a chunk.
const TILES: usize = CHUNK_EVENTS / LANES;

/// Chunks of all users.
#[derive(Debug)]
pub(super) struct Pages {
    pages: Vec<Page>,
    slots_per_page: usize,
    quads: usize,
    slots: Vec<Held>,
    /// Where (block, chunk) lies.
    places: HashMap<(u64, u64), usize>,
    /// (when last used, slot)
    order: BTreeSet<(u64, usize)>,
    clock: u64,
}

/// Some consecutive slots.
#[derive(Debug)]
pub(super) struct Page {
    /// (slots, tiles, quads, 16) words
    pub vectors: wgpu::Buffer,
    /// (slots, tiles, 16)
    pub inverses: wgpu::Buffer,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    chunk: Option<(u64, u64)>,
    used: u64,
    events: usize,
    patches: u64,
}

impl Pages {
    /// Empty slots.
    pub fn new(gpu: &Gpu, config: Config, page_bytes_max: u64) -> Result<Pages, Error> {
        let quads = config.dim.div_ceil(4);
        let chunk_bytes = (CHUNK_EVENTS * quads * 4) as u64;
        let limit = gpu.binding_bytes_max().min(page_bytes_max);
        let slots_per_page = (limit / chunk_bytes).min(config.chunks as u64) as usize;
        if config.chunks == 0 {
            return Err(Error::Shape("0 chunks of content, but a GPU must hold 1 or more".to_owned()));
        }
        if slots_per_page == 0 {
            let remedy = "use a smaller muse.dim or another device";
            return Err(Error::Limit { what: "bytes of a chunk", needed: chunk_bytes, limit, remedy });
        }
        if config.chunks.div_ceil(slots_per_page) > PAGES_MAX {
            let (needed, limit) = (config.chunks as u64, (slots_per_page * PAGES_MAX) as u64);
            let remedy = "hold fewer (muse.memory_limit), or use another device";
            return Err(Error::Limit { what: "chunks of content", needed, limit, remedy });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let mut pages = Vec::new();
        for first in (0..config.chunks).step_by(slots_per_page) {
            let slots = slots_per_page.min(config.chunks - first) as u64;
            let vectors = gpu.allocate("bytes of content chunks", slots * chunk_bytes, usage)?;
            let inverses =
                gpu.allocate("bytes of content chunks' lengths", slots * (CHUNK_EVENTS * 4) as u64, usage)?;
            pages.push(Page { vectors, inverses });
        }
        let slots = vec![Held::default(); config.chunks];
        let order = (0..config.chunks).map(|slot| (0, slot)).collect();
        Ok(Pages { pages, slots_per_page, quads, slots, places: HashMap::new(), order, clock: 0 })
    }

    /// How many chunks are held at once.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// A page.
    pub fn page(&self, page: usize) -> &Page {
        &self.pages[page]
    }

    /// From here on, chunks that were used before may make room.
    pub fn begin(&mut self) {
        self.clock += 1;
    }

    /// Makes sure that the chunk is held as it is now; returns its page and its slot there. No more than [`Pages::slots`]
    /// may be asked for from one beginning to the next.
    pub fn hold(&mut self, gpu: &Gpu, block: u64, slice: &Slice<'_>) -> (usize, u32) {
        let key = (block, slice.number);
        let slot = match self.places.get(&key) {
            Some(&slot) => slot,
            None => self.make_room(key),
        };
        self.order.remove(&(self.slots[slot].used, slot));
        self.order.insert((self.clock, slot));
        self.slots[slot].used = self.clock;
        self.upload(gpu, slot, slice);
        (slot / self.slots_per_page, (slot % self.slots_per_page) as u32)
    }

    /// Gives the slot that was not used for longest to another chunk.
    fn make_room(&mut self, key: (u64, u64)) -> usize {
        let &(used, slot) = self.order.first().expect("there is a slot");
        assert!(used < self.clock, "no more chunks than slots are asked for");
        if let Some(old) = self.slots[slot].chunk {
            self.places.remove(&old);
        }
        self.places.insert(key, slot);
        self.slots[slot] = Held { chunk: Some(key), used, ..Held::default() };
        slot
    }

    /// Sends what is new: tiles of events that were appended, all of them where a vector came late.
    fn upload(&mut self, gpu: &Gpu, slot: usize, slice: &Slice<'_>) {
        let (held, chunk) = (&mut self.slots[slot], slice.chunk);
        if held.events == chunk.events && held.patches == chunk.patches {
            return;
        }
        let first = if held.patches == chunk.patches { held.events / LANES } else { 0 };
        let (page, slot) = (&self.pages[slot / self.slots_per_page], slot % self.slots_per_page);
        let vectors: &[u8] = bytemuck::cast_slice(&chunk.vectors[first * self.quads..]);
        let place = (slot * TILES + first) * self.quads * LANES * 4;
        gpu.queue().write_buffer(&page.vectors, place as u64, vectors);
        // All of them: another chunk may have stood here.
        let mut inverses = [[0.0; LANES]; TILES];
        inverses[..chunk.inverses.len()].copy_from_slice(&chunk.inverses);
        gpu.queue().write_buffer(&page.inverses, (slot * CHUNK_EVENTS * 4) as u64, bytemuck::cast_slice(&inverses));
        (held.events, held.patches) = (chunk.events, chunk.patches);
    }
}
