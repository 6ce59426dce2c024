//! Mutations of a corpus.

use crate::streams::Dice;

/// Numbers that break things, as text and as bytes.
const EDGES: [i64; 10] =
    [0, -1, 1, i64::MAX, i64::MIN, u32::MAX as i64, i32::MIN as i64, 7_258_118_400_000, 65_536, -62_135_596_800_000];
/// Pieces that mean something to some reader.
const WORDS: [&[u8]; 14] =
    [b"\"", b"\\", b"\\ud800", b"null", b"{", b"}", b"[", b"]", b",", b":", b"\xff", b"1e999", b"user_id", b"time"];

/// Inputs without end.
pub struct Mutations {
    seeds: Vec<Vec<u8>>,
    dice: Dice,
    input: Vec<u8>,
}

impl Mutations {
    pub fn new(seeds: Vec<Vec<u8>>) -> Self {
        assert!(!seeds.is_empty(), "a corpus has a seed at least");
        Self { seeds, dice: Dice(2026), input: Vec::new() }
    }

    /// The next input.
    pub fn next(&mut self) -> &[u8] {
        let Self { seeds, dice, input } = self;
        input.clear();
        input.extend_from_slice(&seeds[dice.below(seeds.len() as u64) as usize]);
        for _ in 0..=dice.below(4) {
            let at = dice.below(input.len() as u64 + 1) as usize;
            match dice.below(8) {
                0 if at < input.len() => input[at] ^= 1 << dice.below(8),
                1 if at < input.len() => input[at] = dice.next() as u8,
                2 => input.truncate(at),
                3 => insert(input, at, WORDS[dice.below(WORDS.len() as u64) as usize]),
                4 => insert(input, at, EDGES[dice.below(10) as usize].to_string().as_bytes()),
                5 => {
                    let bytes = EDGES[dice.below(10) as usize].to_le_bytes();
                    let width = [1, 2, 4, 8][dice.below(4) as usize];
                    let end = (at + width).min(input.len());
                    input[at..end].copy_from_slice(&bytes[..end - at]);
                }
                6 => {
                    let other = &seeds[dice.below(seeds.len() as u64) as usize];
                    let from = dice.below(other.len() as u64 + 1) as usize;
                    let piece = other[from..other.len().min(from + dice.below(64) as usize)].to_vec();
                    insert(input, at, &piece);
                }
                _ => {
                    let end = (at + dice.below(32) as usize).min(input.len());
                    input.drain(at..end);
                }
            }
        }
        input
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}
