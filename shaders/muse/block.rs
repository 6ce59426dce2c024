//! A user's content block: the vectors of his behaviors, in chunks, in the order in which they came.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::DIM_MAX;
use crate::Error;

/// Events of a chunk.
pub const CHUNK_EVENTS: usize = 1024;
/// Events that stand side by side, so that one instruction works on all of them.
pub(super) const LANES: usize = 16;

/// Four components of 16 events, the newest first.
pub(super) type Quad = [[i8; 4]; LANES];

/// The content vectors of one user's history: int8, q = round(127 v), with their lengths.
///
/// Events have numbers, 0, 1, …, in the order in which they are appended. The newest chunk grows; older ones change
/// only where a vector that was unknown becomes known. The window's start is an offset: expiring moves it, and drops
/// chunks that lie before it.
#[derive(Debug)]
pub struct Block {
    dim: usize,
    /// No two blocks of a process have the same: devices know by it what they hold.
    id: u64,
    start: u64,
    end: u64,
    /// Number of the first chunk that is held.
    first_chunk: u64,
    chunks: VecDeque<Chunk>,
}

/// Up to [`CHUNK_EVENTS`] events. Lane l of a tile is its event 15 - l: ages rise with lanes.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// (tiles, quads)
    pub vectors: Vec<Quad>,
    /// (tiles) Squared lengths; 0: no content.
    pub squares: Vec<[u32; LANES]>,
    /// (tiles) 1 / length; 0: no content.
    pub inverses: Vec<[f32; LANES]>,
    /// Events that were appended.
    pub events: usize,
    /// Vectors that came late.
    pub patches: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Block {
    /// No events yet, of vectors of `dim` components.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `dim` is 1 to [`DIM_MAX`].
    pub fn new(dim: usize) -> Result<Block, Error> {
        check_dim(dim)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Block { dim, id, start: 0, end: 0, first_chunk: 0, chunks: VecDeque::new() })
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The number of the oldest event of the window.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The number that the next event gets.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Events of the window.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the window holds no event.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes of memory that the events take.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::bytes).sum()
    }

    /// Appends an event, the newest; `vector` (dim) has components of ±127, and none or a zero vector says that the
    /// item's content is not known, or not yet. Returns the event's number.
    ///
    /// # Errors
    /// [`Error::Shape`] where the vector has another dim or a component of -128.
    pub fn push(&mut self, vector: Option<&[i8]>) -> Result<u64, Error> {
        vector.map_or(Ok(()), |vector| check_one(self.dim, vector))?;
        let event = self.end;
        if self.chunk_of(event) == self.chunks.len() {
            self.chunks.push_back(Chunk::default());
        }
        let (chunk, place) = (self.chunk_of(event), event as usize % CHUNK_EVENTS);
        let (quads, chunk) = (self.quads(), &mut self.chunks[chunk]);
        chunk.reserve(place, quads);
        chunk.set(place, quads, vector.unwrap_or(&[]));
        chunk.events += 1;
        self.end += 1;
        Ok(event)
    }

    /// Gives `event` a content vector that was not known when it came. Whether the event still stands in the window.
    ///
    /// # Errors
    /// As [`Block::push`]; also for an event that has not come.
    pub fn patch(&mut self, event: u64, vector: &[i8]) -> Result<bool, Error> {
        check_one(self.dim, vector)?;
        if event >= self.end {
            return Err(Error::Shape(format!("event {event} has not come: there are {}", self.end)));
        }
        if event < self.start {
            return Ok(false);
        }
        let (chunk, quads) = (self.chunk_of(event), self.quads());
        let chunk = &mut self.chunks[chunk];
        chunk.set(event as usize % CHUNK_EVENTS, quads, vector);
        chunk.patches += 1;
        Ok(true)
    }

    /// Moves the window's start to event `start`, never back and never beyond the end.
    pub fn expire(&mut self, start: u64) {
        self.start = start.clamp(self.start, self.end);
        while !self.chunks.is_empty() && (self.first_chunk + 1) * CHUNK_EVENTS as u64 <= self.start {
            self.chunks.pop_front();
            self.first_chunk += 1;
        }
    }

    /// Where the chunk of `event` stands in `chunks`, or would.
    fn chunk_of(&self, event: u64) -> usize {
        (event / CHUNK_EVENTS as u64 - self.first_chunk) as usize
    }

    /// Groups of four components, the last padded with zeros.
    pub(super) fn quads(&self) -> usize {
        self.dim.div_ceil(4)
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The chunks of the window, the newest first, each with its number.
    pub(super) fn slices(&self) -> impl Iterator<Item = Slice<'_>> {
        let newest_first = self.chunks.iter().enumerate().rev();
        newest_first.map(|(index, chunk)| {
            let number = self.first_chunk + index as u64;
            let first_event = number * CHUNK_EVENTS as u64;
            let start = self.start.saturating_sub(first_event) as usize;
            Slice { number, chunk, start, age: self.end.wrapping_sub(first_event) as u32, quads: self.quads() }
        })
    }

    /// The squared length of the event that is `age` events older than the newest.
    pub(super) fn square(&self, age: u32) -> u32 {
        let event = self.end - 1 - u64::from(age);
        let place = event as usize % CHUNK_EVENTS;
        self.chunks[self.chunk_of(event)].squares[place / LANES][LANES - 1 - place % LANES]
    }
}

/// A chunk, and what of it lies in the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice<'a> {
    pub number: u64,
    pub chunk: &'a Chunk,
    /// Place in the chunk of the window's first event.
    pub start: usize,
    /// Age of the chunk's first event, and one more.
    pub age: u32,
    pub quads: usize,
}

impl<'a> Slice<'a> {
    /// The tiles that the window touches, the oldest first.
    pub fn tiles(&self) -> std::ops::Range<usize> {
        self.start / LANES..self.chunk.inverses.len()
    }

    pub fn tile(&self, tile: usize) -> &'a [Quad] {
        &self.chunk.vectors[tile * self.quads..(tile + 1) * self.quads]
    }

    /// The lanes of a tile that stand in the window; some may hold no event yet.
    pub fn lanes(&self, tile: usize) -> u16 {
        let before = self.start.saturating_sub(tile * LANES);
        if before >= LANES { 0 } else { u16::MAX >> before }
    }

    /// The age of a tile's lane 0; lanes that hold no event yet wrap around.
    pub fn age_of(&self, tile: usize) -> u32 {
        self.age.wrapping_sub(((tile + 1) * LANES) as u32)
    }
}

impl Chunk {
    fn bytes(&self) -> usize {
        self.vectors.capacity() * size_of::<Quad>()
            + self.squares.capacity() * size_of::<[u32; LANES]>()
            + self.inverses.capacity() * size_of::<[f32; LANES]>()
    }

    /// Makes room for the event at `place`.
    fn reserve(&mut self, place: usize, quads: usize) {
        let tiles = place / LANES + 1;
        if tiles > self.inverses.len() {
            self.vectors.resize(tiles * quads, [[0; 4]; LANES]);
            self.squares.resize(tiles, [0; LANES]);
            self.inverses.resize(tiles, [0.0; LANES]);
        }
    }

    fn set(&mut self, place: usize, quads: usize, vector: &[i8]) {
        let (tile, lane) = (place / LANES, LANES - 1 - place % LANES);
        let quads = &mut self.vectors[tile * quads..(tile + 1) * quads];
        for (at, quad) in quads.iter_mut().enumerate() {
            let components = vector.get(4 * at..).unwrap_or_default();
            match components.first_chunk() {
                Some(components) => quad[lane] = *components,
                None => {
                    quad[lane] = [0; 4];
                    quad[lane][..components.len()].copy_from_slice(components);
                }
            }
        }
        let square = square(vector);
        self.squares[tile][lane] = square;
        self.inverses[tile][lane] = inverse(square);
    }
}

/// The squared length of a vector.
pub(super) fn square(vector: &[i8]) -> u32 {
    vector.iter().map(|&q| u32::from(q.unsigned_abs()).pow(2)).sum()
}

/// 1 / length, rounded alike on every machine; 0 of 0.
fn inverse(square: u32) -> f32 {
    if square == 0 { 0.0 } else { (1.0 / f64::from(square).sqrt()) as f32 }
}

/// # Errors
/// [`Error::Shape`] unless `dim` is 1 to [`DIM_MAX`].
pub(super) fn check_dim(dim: usize) -> Result<(), Error> {
    if dim == 0 || dim > DIM_MAX {
        return Err(Error::Shape(format!("muse.dim is {dim}, but must be 1 to {DIM_MAX}")));
    }
    Ok(())
}

/// # Errors
/// [`Error::Shape`] unless the vector is whole and within ±127.
pub(super) fn check(dim: usize, vectors: &[i8]) -> Result<(), Error> {
    if !vectors.len().is_multiple_of(dim) {
        return Err(Error::Shape(format!("{} components are no whole number of vectors of {dim}", vectors.len())));
    }
    if vectors.contains(&i8::MIN) {
        return Err(Error::Shape("a content vector has a component of -128, but they lie within ±127".to_owned()));
    }
    Ok(())
}

fn check_one(dim: usize, vector: &[i8]) -> Result<(), Error> {
    if vector.len() != dim {
        return Err(Error::Shape(format!("a content vector has {} components, not {dim}", vector.len())));
    }
    check(dim, vector)
}
