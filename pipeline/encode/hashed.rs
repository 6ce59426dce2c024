//! Item vectors without a catalogue: a seeded hash of the item's id (`sdim.items = "hashed"`).

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Part of the contract: vectors are the same wherever they are computed.
const SEED: u64 = 0x5744_494d_6974_656d;

/// The unit vector of an item: `dim` numbers, each about normal before scaling, from a stream seeded by the id's hash.
pub fn hashed_vector(item_id: &str, dim: usize) -> Vec<f32> {
    let mut state = xxh3_64_with_seed(item_id.as_bytes(), SEED);
    let raw: Vec<i64> = (0..dim).map(|_| centered(split_mix(&mut state))).collect();
    let norm = (raw.iter().map(|&x| x * x).sum::<i64>() as f64).sqrt().max(1.0);
    raw.into_iter().map(|x| (x as f64 / norm) as f32).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The sum of four 16-bit uniforms about zero: near enough to a normal, and exact on every machine.
fn centered(bits: u64) -> i64 {
    (0..4).map(|i| i64::from((bits >> (16 * i)) as u16)).sum::<i64>() - 2 * 65_535
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_unit_and_spread() {
        let (a, b) = (hashed_vector("a", 64), hashed_vector("b", 64));
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        assert!((dot(&a, &a) - 1.0).abs() < 1e-5);
        assert!(dot(&a, &b).abs() < 0.6);
        assert_eq!(a, hashed_vector("a", 64));
    }
}
