//! The CPU backend: the search, and the cosines of what was found.

use rayon::prelude::*;

use super::Found;
use super::block::{Block, LANES, square};
use super::shortlist::{Isa, SIDE, Side, shortlist, sort};
use super::top::{Sorted, Tops, score_of};
use crate::sdim::vectorized;

/// Candidates whose lists are held at once; the window is read once for each tile of them.
const TILE: usize = 64;
/// Pairs of a candidate and an event below which one thread is faster.
const PARALLEL_MIN: usize = 1 << 22;

/// Searches; its memory is kept from one search to the next.
#[derive(Debug)]
pub(super) struct Searcher {
    isa: Isa,
    tops: Tops,
}

impl Default for Searcher {
    fn default() -> Searcher {
        Searcher::new(Isa::detect())
    }
}

/// What was found for a tile of candidates.
#[derive(Debug, Default)]
struct Part {
    lens: Vec<u32>,
    ages: Vec<u32>,
    similarities: Vec<f32>,
}

impl Searcher {
    pub fn new(isa: Isa) -> Searcher {
        Searcher { isa, tops: Tops::default() }
    }

    /// Appends what is found for `candidates` (candidates, dim) to `found`.
    pub fn search(&mut self, block: &Block, candidates: &[i8], k: usize, found: &mut Found) {
        let dim = block.dim();
        let tiles = candidates.chunks(TILE * dim);
        if tiles.len() < 2 || candidates.len() / dim * block.len() < PARALLEL_MIN || rayon::current_num_threads() < 2 {
            for tile in tiles {
                self.tile(block, tile, k);
                let Found { offsets, ages, similarities } = found;
                merge(self.isa, &mut self.tops, block, tile, (ages, similarities), |_, end| offsets.push(end));
            }
            return;
        }
        let isa = self.isa;
        let parts: Vec<Part> = candidates
            .par_chunks(TILE * dim)
            .map_init(
                || Searcher::new(isa),
                |searcher, tile| {
                    searcher.tile(block, tile, k);
                    let mut part = Part::default();
                    let Part { lens, ages, similarities } = &mut part;
                    merge(isa, &mut searcher.tops, block, tile, (ages, similarities), |len, _| lens.push(len));
                    part
                },
            )
            .collect();
        for part in parts {
            for len in part.lens {
                found.offsets.push(found.offsets.last().expect("offsets begin with 0") + len);
            }
            found.ages.extend(part.ages);
            found.similarities.extend(part.similarities);
        }
    }

    /// Reads the window once for a tile of candidates.
    fn tile(&mut self, block: &Block, candidates: &[i8], k: usize) {
        let dim = block.dim();
        self.tops.begin(candidates.len() / dim, k);
        let sides: Vec<Side> =
            candidates.chunks(SIDE * dim).map(|side| Side::new(dim, side.chunks_exact(dim))).collect();
        for slice in block.slices() {
            for (index, side) in sides.iter().enumerate() {
                shortlist(self.isa, &slice, side, &mut self.tops, index * SIDE);
            }
        }
    }
}

/// Takes the lists of a tile of candidates apart: the best k of each, the best first. `next` hears how many they are and
/// how many there are in all.
fn merge(
    isa: Isa,
    tops: &mut Tops,
    block: &Block,
    candidates: &[i8],
    (ages, similarities): (&mut Vec<u32>, &mut Vec<f32>),
    mut next: impl FnMut(u32, u32),
) {
    let mut sorted = Sorted::default();
    for (candidate, vector) in candidates.chunks_exact(block.dim()).enumerate() {
        let own = square(vector);
        // A candidate without content is like nothing.
        if own > 0 {
            sort(isa, tops, candidate, &mut sorted);
            finish(block, own, &sorted.keys[..sorted.len], &sorted.ages[..sorted.len], ages, similarities);
        }
        next(if own > 0 { sorted.len as u32 } else { 0 }, ages.len() as u32);
    }
}

/// Appends what was found for a candidate of squared length `own`.
pub(super) fn finish(
    block: &Block,
    own: u32,
    keys: &[i32],
    found: &[u32],
    ages: &mut Vec<u32>,
    similarities: &mut Vec<f32>,
) {
    ages.extend_from_slice(found);
    for (keys, found) in keys.chunks(LANES).zip(found.chunks(LANES)) {
        let (mut scores, mut squares, mut cosines) = ([0.0; LANES], [1; LANES], [0.0; LANES]);
        for (lane, (&key, &age)) in keys.iter().zip(found).enumerate() {
            scores[lane] = score_of(key);
            squares[lane] = block.square(age);
        }
        cosines_of_scores(own, &scores, &squares, &mut cosines);
        similarities.extend_from_slice(&cosines[..found.len()]);
    }
}

vectorized! {
    /// The cosines of a candidate and events, from scores: a score, times the event's length, is an integer below 2^23
    /// but for a relative error of 2^-24; so rounding gives back the product, and the cosine is that of the integers.
    fn cosines_of_scores(
        own: u32,
        scores: &[f32; LANES],
        squares: &[u32; LANES],
        cosines: &mut [f32; LANES],
    ) {
        let own = f64::from(own);
        for lane in 0..LANES {
            let square = f64::from(squares[lane]);
            let inverse = (1.0 / square.sqrt()) as f32;
            let product = (f64::from(scores[lane]) / f64::from(inverse)).round_ties_even();
            cosines[lane] = (product / (own * square).sqrt()) as f32;
        }
    }
}
