//! The CPU backend: the search, and the cosines of what was found.

use rayon::prelude::*;

use super::Found;
use super::block::{Block, LANES, square};
use super::select::{Isa, SIDE, Side, select};
use super::top::{Tops, score_of};
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
                merge(&mut self.tops, block, tile, ages, similarities, |_, end| offsets.push(end));
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
                    merge(&mut searcher.tops, block, tile, ages, similarities, |len, _| lens.push(len));
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
                select(self.isa, &slice, side, &mut self.tops, index * SIDE);
            }
        }
    }
}

/// Takes the lists of a tile of candidates apart: the best k of each, the best first. `next` hears how many they are and
/// how many there are in all.
fn merge(
    tops: &mut Tops,
    block: &Block,
    candidates: &[i8],
    ages: &mut Vec<u32>,
    similarities: &mut Vec<f32>,
    mut next: impl FnMut(u32, u32),
) {
    let mut order = [0; 256];
    let k = tops.k();
    for (candidate, vector) in candidates.chunks_exact(block.dim()).enumerate() {
        let own = square(vector);
        // A candidate without content is like nothing.
        let len = if own == 0 { 0 } else { sorted(tops, candidate, k, &mut order) };
        let top = tops.of(candidate);
        let (mut scores, mut squares) = ([0.0; 256], [1; 256]);
        for (place, &from) in order[..len].iter().enumerate() {
            let age = top.ages[usize::from(from)];
            ages.push(age);
            scores[place] = score_of(top.keys[usize::from(from)]);
            squares[place] = block.square(age);
        }
        let first = similarities.len();
        similarities.resize(first + len, 0.0);
        let mut cosines = [0.0; 256];
        let padded = len.next_multiple_of(LANES);
        cosines_of_scores(own, &scores[..padded], &squares[..padded], &mut cosines[..padded]);
        similarities[first..].copy_from_slice(&cosines[..len]);
        next(len as u32, ages.len() as u32);
    }
}

/// Cuts a candidate's list to k and finds its order.
fn sorted(tops: &mut Tops, candidate: usize, k: usize, order: &mut [u8; 256]) -> usize {
    sort(tops, candidate, k, order);
    tops.lens[candidate]
}

vectorized! {
    fn sort(tops: &mut Tops, candidate: usize, k: usize, order: &mut [u8; 256]) {
        let mut top = tops.of(candidate);
        top.shrink(k);
        top.order(order);
    }
}

vectorized! {
    /// The cosines of a candidate and events, from scores: a score, times the event's length, is an integer below 2^23
    /// but for a relative error of 2^-24; so rounding gives back the product, and the cosine is that of the integers.
    fn cosines_of_scores(own: u32, scores: &[f32], squares: &[u32], cosines: &mut [f32]) {
        let own = f64::from(own);
        for ((cosine, &score), &square) in cosines.iter_mut().zip(scores).zip(squares) {
            let square = f64::from(square);
            let inverse = (1.0 / square.sqrt()) as f32;
            let product = (f64::from(score) / f64::from(inverse)).round_ties_even();
            *cosine = (product / (own * square).sqrt()) as f32;
        }
    }
}

vectorized! {
    /// The cosines of a candidate and events, from products.
    pub(super) fn cosines(own: u32, products: &[i32; LANES], squares: &[u32; LANES], cosines: &mut [f32; LANES]) {
        let own = f64::from(own);
        for lane in 0..LANES {
            // 0 where either has no content: the product is 0 then.
            let square = (own * f64::from(squares[lane])).max(1.0);
            cosines[lane] = (f64::from(products[lane]) / square.sqrt()) as f32;
        }
    }
}
