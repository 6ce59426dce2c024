//! The search against a naive reference, the published numbers, and itself.

mod golden;
mod properties;
mod twins;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::shortlist::Isa;
use super::*;
use crate::Choice;

fn gpu() -> Device {
    Device::open(Choice::Gpu).unwrap_or_else(|error| panic!("{error}"))
}

fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// `count` vectors (dim) with components within ±`most`.
fn vectors(random: &mut ChaCha8Rng, count: usize, dim: usize, most: i32) -> Vec<i8> {
    let span = (2 * most + 1) as u32;
    (0..count * dim).map(|_| ((random.next_u32() % span) as i32 - most) as i8).collect()
}

fn product(a: &[i8], b: &[i8]) -> i64 {
    a.iter().zip(b).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
}

/// The search by its definition: `history` holds each event's vector, oldest first; everything is scored and sorted.
fn naive(history: &[Option<Vec<i8>>], candidates: &[i8], dim: usize, k: usize) -> Found {
    let mut found = Found { offsets: vec![0], ..Found::default() };
    for candidate in candidates.chunks_exact(dim) {
        let own = product(candidate, candidate);
        let mut scored = Vec::new();
        for (age, vector) in history.iter().rev().enumerate() {
            let Some(vector) = vector else { continue };
            let square = product(vector, vector);
            if square > 0 && own > 0 {
                let dot = product(candidate, vector);
                let score = dot as f32 * ((1.0 / (square as f64).sqrt()) as f32);
                scored.push((score, age as u32, (dot as f64 / ((own * square) as f64).sqrt()) as f32));
            }
        }
        // Stable: of equal ones the newer comes first.
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, age, similarity) in scored.into_iter().take(k) {
            found.ages.push(age);
            found.similarities.push(similarity);
        }
        found.offsets.push(found.ages.len() as u32);
    }
    found
}

fn block_of(history: &[Option<Vec<i8>>], dim: usize) -> Block {
    let mut block = Block::new(dim).unwrap();
    for vector in history {
        block.push(vector.as_deref()).unwrap();
    }
    block
}

/// Searches with every instruction set of the machine; all must find the same.
fn search_all(block: &Block, candidates: &[i8], k: usize) -> Found {
    let found = search(block, candidates, k).unwrap();
    for isa in Isa::all() {
        let mut own = Found { offsets: vec![0], ..Found::default() };
        cpu::Searcher::new(isa).search(block, candidates, k, &mut own);
        assert_eq!(own, found, "{isa:?}");
    }
    found
}
