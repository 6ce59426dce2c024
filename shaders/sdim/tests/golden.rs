//! Worked examples in exact dyadic numbers: dim 4, 4 hyperplanes in 2 groups of 2 bits.

use super::*;

#[rustfmt::skip]
const HASH: [f64; 16] = [
    1.0, -0.5, 0.25, 0.25,  0.5, 1.0, -1.0, 0.25,  -0.25, 0.75, 0.5, -1.0,  0.25, -0.5, 1.0, 0.75,
];
/// s1 to s5, q, -q
#[rustfmt::skip]
const VECTORS: [[f32; 4]; 7] = [
    [1.0, 0.0, 0.5, -0.5], [0.5, 0.5, -0.5, 0.25], [-1.0, 0.5, 0.25, 0.5], [0.75, -0.25, 0.25, 0.5],
    [1.0, -0.75, 0.5, 0.25], [1.0, -0.25, 0.25, 0.25], [-1.0, 0.25, -0.25, -0.25],
];
/// (group 0, group 1) of each; s4 has a product of exactly 0, whose bit is 0.
const SIGNATURES: [(u64, u64); 7] = [(1, 3), (3, 0), (0, 3), (1, 2), (1, 2), (3, 2), (0, 1)];

#[rustfmt::skip]
const STATE_A: [f64; 32] = [
    -1.0, 0.5, 0.25, 0.5,   1.75, -0.25, 0.75, 0.0,  0.0, 0.0, 0.0, 0.0,        0.5, 0.5, -0.5, 0.25,
    0.5, 0.5, -0.5, 0.25,   0.0, 0.0, 0.0, 0.0,      0.75, -0.25, 0.25, 0.5,    0.0, 0.5, 0.75, 0.0,
];
#[rustfmt::skip]
const STATE_B: [f64; 32] = [
    -1.0, 0.5, 0.25, 0.5,   1.75, -1.0, 0.75, 0.75,  0.0, 0.0, 0.0, 0.0,        0.5, 0.5, -0.5, 0.25,
    0.5, 0.5, -0.5, 0.25,   0.0, 0.0, 0.0, 0.0,      1.75, -1.0, 0.75, 0.75,    -1.0, 0.5, 0.25, 0.5,
];

fn sdim(device: &Device) -> Sdim {
    let shape = Shape::new(Config { dim: 4, slots: 3, bits: 4, group_bits: 2 });
    let hash = HASH.map(|value| (value * 256.0) as i16);
    Sdim::with_shape(device, shape, &hash).unwrap()
}

fn quantized() -> Vec<i16> {
    let mut out = Vec::new();
    VECTORS.iter().for_each(|vector| quantize(vector, &mut out));
    out
}

/// The reader's side, in f64: the mean over groups of the normalized rows; and the sum form, without normalizing.
fn attention(sums: &[i32], counts: &[u32], signature: u64) -> ([f64; 4], [f64; 4]) {
    let (mut attention, mut plain) = ([0.0; 4], [0.0; 4]);
    for group in 0..2 {
        let row = group * 4 + (signature >> (2 * group)) as usize % 4;
        let values = &sums[row * 4..][..4];
        let length = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        for (k, &value) in values.iter().enumerate().filter(|_| counts[row] > 0) {
            attention[k] += f64::from(value) / length / 2.0;
            plain[k] += f64::from(value) / 16_384.0 / 2.0;
        }
    }
    (attention, plain)
}

fn assert_near(found: [f64; 4], expected: [f64; 4]) {
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6), "{found:?}");
}

/// The reads of q and of -q from slot 1.
fn assert_reads(sdim: &mut Sdim, candidates: &[i16], q: [f64; 4]) {
    let mut reads = Vec::new();
    sdim.read(1, candidates, &mut reads).unwrap();
    let read = |candidate: usize| std::array::from_fn(|k| f64::from(reads[candidate * 4 + k]));
    assert_near(read(0), q);
    assert_near(read(1), [-0.4, 0.2, 0.1, 0.2]);
}

fn assert_state(sdim: &mut Sdim, slot: usize, state: &[f64; 32], counts: [u32; 8]) {
    let expected: Vec<i32> = state.iter().map(|value| (value * 16_384.0) as i32).collect();
    assert_eq!(sdim.table(slot), (expected, counts.to_vec()));
}

#[test]
fn signatures_equal_the_published_ones() {
    for device in backends() {
        let expected = SIGNATURES.map(|(first, second)| first | second << 2);
        assert_eq!(sdim(&device).simhash(&quantized()).unwrap(), expected, "{}", device.name());
    }
}

#[test]
fn states_and_attention_equal_the_published_ones() {
    for device in backends() {
        let mut sdim = sdim(&device);
        let vectors = quantized();
        let signatures = sdim.simhash(&vectors).unwrap();
        let (q, negated) = (signatures[5], signatures[6]);

        let a = Case::new().user(1, true, [(0, 1), (1, 1), (2, 1), (3, 1)]);
        a.encode(&mut sdim, &vectors, &signatures).unwrap();
        assert_state(&mut sdim, 1, &STATE_A, [1, 2, 0, 1, 1, 0, 1, 2]);
        let (sums, counts) = sdim.table(1);
        let (normalized, plain) = attention(&sums, &counts, q);
        assert_near(normalized, [0.664648433, 0.148250653, -0.148250653, 0.396873939]);
        assert_near(plain, [0.625, 0.125, -0.125, 0.375]);
        assert_near(attention(&sums, &counts, negated).0, [-0.4, 0.2, 0.1, 0.2]);
        assert_reads(&mut sdim, &vectors[20..], [0.664648433, 0.148250653, -0.148250653, 0.396873939]);

        // s5 arrives, s1 leaves; beside it the rebuild from s2 to s5.
        let b = Case::new().user(1, false, [(4, 1), (0, -1)]).user(2, true, [(4, 1), (3, 1), (2, 1), (1, 1)]);
        let tables = b.encode(&mut sdim, &vectors, &signatures).unwrap();
        assert_state(&mut sdim, 1, &STATE_B, [1, 2, 0, 1, 1, 0, 2, 1]);
        assert_eq!(sdim.table(1), sdim.table(2));
        assert_eq!(tables[..32], tables[32..]);
        let (sums, counts) = sdim.table(1);
        let (normalized, plain) = attention(&sums, &counts, q);
        assert_near(normalized, [0.661525008, 0.057821578, -0.112703708, 0.303321439]);
        assert_near(plain, [1.125, -0.25, 0.125, 0.5]);
        assert_near(attention(&sums, &counts, negated).0, [-0.4, 0.2, 0.1, 0.2]);
        assert_reads(&mut sdim, &vectors[20..], [0.661525008, 0.057821578, -0.112703708, 0.303321439]);
    }
}

/// E\[sum of colliding s_j\] = sum of w_j s_j with w_j = (1 - arccos(q . s_j) / pi)^2, over random hyperplanes.
#[test]
fn collisions_follow_the_angular_kernel() {
    const DRAWS: usize = 200_000;
    let shape = Shape::new(Config { dim: 4, slots: 1, bits: 2, group_bits: 2 });
    let mut random = random(7);
    let vectors = quantized();
    let (mut sum, mut squares) = ([0.0; 4], [0.0; 4]);
    for _ in 0..DRAWS {
        let hash = quantize::normals(&mut random, 8);
        let mut signatures = [0; 7];
        simhash::Hasher::new(&shape, &hash).simhash(&vectors, &mut signatures);
        for k in 0..4 {
            let colliding = (0..4).filter(|&j| signatures[j] == signatures[5]).map(|j| f64::from(VECTORS[j][k]));
            let value = colliding.sum::<f64>();
            sum[k] += value;
            squares[k] += value * value;
        }
    }
    for (k, expected) in [1.310350296, 0.014222123, 0.331986283, 0.230158567].into_iter().enumerate() {
        let mean = sum[k] / DRAWS as f64;
        let error = ((squares[k] / DRAWS as f64 - mean * mean) / DRAWS as f64).sqrt();
        assert!((mean - expected).abs() < 5.0 * error, "component {k}: {mean} +- {error}, not {expected}");
    }
}
