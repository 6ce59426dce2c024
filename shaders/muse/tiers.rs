//! SimTier: how many similarities lie in each of 22 tiers.

use super::Found;
use super::block::{Block, LANES, square};
use super::cpu::cosines;
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
    let mut numbers = [0; 256];
    for (tiers, range) in tiers.chunks_exact_mut(2 * TIERS).zip(found.offsets.windows(2)) {
        let similarities = &found.similarities[range[0] as usize..range[1] as usize];
        numbers_of(similarities, &mut numbers[..similarities.len()]);
        numbers[..similarities.len()].iter().for_each(|&tier| tiers[usize::from(tier)] += 1);
    }
    for (candidates, tiers) in candidates.chunks(SIDE * dim).zip(tiers.chunks_mut(SIDE * 2 * TIERS)) {
        newest(isa, block, candidates, tiers);
    }
}

/// Counts the newest events of up to eight candidates.
fn newest(isa: Isa, block: &Block, candidates: &[i8], tiers: &mut [u8]) {
    let dim = block.dim();
    let side = Side::new(dim, candidates.chunks_exact(dim));
    let limit = block.len().min(NEWEST) as u32;
    for slice in block.slices().take(2) {
        for tile in slice.tiles().rev() {
            let age = slice.age_of(tile);
            let known = |lane: usize| age.wrapping_add(lane as u32) < limit;
            if !(0..LANES).any(known) {
                return;
            }
            let products = tile_products(isa, slice.tile(tile), &side);
            for ((candidate, products), tiers) in
                candidates.chunks_exact(dim).zip(&products).zip(tiers.chunks_exact_mut(2 * TIERS))
            {
                let mut similarities = [0.0; LANES];
                let mut numbers = [0; LANES];
                cosines(square(candidate), products, &slice.chunk.squares[tile], &mut similarities);
                numbers_of(&similarities, &mut numbers);
                for (_, &tier) in numbers.iter().enumerate().filter(|(lane, _)| known(*lane)) {
                    tiers[TIERS + usize::from(tier)] += 1;
                }
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
