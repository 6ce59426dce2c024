//! SimTier: how many similarities lie in each of 22 tiers.

use super::Found;
use super::block::{Block, LANES, square};
use super::shortlist::{Isa, SIDE, Side, tile_products};
use crate::sdim::vectorized;

/// Tiers of width 0.1: 0 is -1 itself, 10 ends with 0, 20 with 1; 21 stays empty, for cosines here are never above 1.
pub const TIERS: usize = 22;
/// The newest events that have tiers of their own.
pub const NEWEST: usize = 50;

/// The tier of a similarity, as published: ceil(r / 0.1) + 10.
pub fn tier_of(similarity: f32) -> u8 {
    ((similarity / 0.1).ceil() as i32 + 10) as u8
}

/// Counts (candidates, 44) of `candidates` (candidates, dim): of what was found for each, and of the newest 50 events,
/// one without content counting as a similarity of 0.
pub(super) fn tiers(isa: Isa, block: &Block, candidates: &[i8], found: &Found, tiers: &mut Vec<u8>) {
    let dim = block.dim();
    tiers.clear();
    tiers.resize(candidates.len() / dim * 2 * TIERS, 0);
    let mut numbers = vec![0; found.similarities.len()];
    numbers_of(&found.similarities, &mut numbers);
    for (tiers, range) in tiers.chunks_exact_mut(2 * TIERS).zip(found.offsets.windows(2)) {
        numbers[range[0] as usize..range[1] as usize].iter().for_each(|&tier| tiers[usize::from(tier)] += 1);
    }
    for (candidates, tiers) in candidates.chunks(SIDE * dim).zip(tiers.chunks_mut(SIDE * 2 * TIERS)) {
        newest(isa, block, candidates, tiers);
    }
}

/// Counts the newest events of up to eight candidates.
fn newest(isa: Isa, block: &Block, candidates: &[i8], tiers: &mut [u8]) {
    let dim = block.dim();
    let side = Side::new(dim, candidates.chunks_exact(dim));
    let mut squares = [0; SIDE];
    squares.iter_mut().zip(candidates.chunks_exact(dim)).for_each(|(own, candidate)| *own = square(candidate));
    let limit = block.len().min(NEWEST) as u32;
    for slice in block.slices().take(2) {
        for tile in slice.tiles().rev() {
            let age = slice.age_of(tile);
            let known = |lane: usize| age.wrapping_add(lane as u32) < limit;
            let lanes: u32 = (0..LANES).map(|lane| u32::from(known(lane)) << lane).sum();
            if lanes == 0 {
                return;
            }
            let products = tile_products(isa, slice.tile(tile), &side);
            let mut numbers = [[0; LANES]; SIDE];
            numbers_of_products(&squares, &products, &slice.chunk.squares[tile], &mut numbers);
            for (numbers, tiers) in numbers.iter().zip(tiers.chunks_exact_mut(2 * TIERS)) {
                for (lane, &tier) in numbers.iter().enumerate() {
                    tiers[TIERS + usize::from(tier)] += (lanes >> lane & 1) as u8;
                }
            }
        }
    }
}

vectorized! {
    /// The tiers of eight candidates and 16 events; a similarity is 0 where either has no content.
    fn numbers_of_products(
        own: &[u32; SIDE],
        products: &[[i32; LANES]; SIDE],
        squares: &[u32; LANES],
        numbers: &mut [[u8; LANES]; SIDE],
    ) {
        for ((numbers, products), &own) in numbers.iter_mut().zip(products).zip(own) {
            let own = f64::from(own);
            for lane in 0..LANES {
                // The product is 0 where the squares are.
                let square = (own * f64::from(squares[lane])).max(1.0);
                numbers[lane] = tier_of((f64::from(products[lane]) / square.sqrt()) as f32);
            }
        }
    }
}

vectorized! {
    fn numbers_of(similarities: &[f32], tiers: &mut [u8]) {
        for (tier, &similarity) in tiers.iter_mut().zip(similarities) {
            *tier = tier_of(similarity);
        }
    }
}
