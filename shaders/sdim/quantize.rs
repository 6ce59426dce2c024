//! From numbers to fixed point: the hash matrix and the item vectors.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::BITS;

/// The seed of the shipped hash matrix. Frozen: tables hashed by another matrix mean nothing to a reader.
const HASH_SEED: u64 = 0x5d1a_2205_1024_9048;
/// Fixed point of a hyperplane's components.
const HASH_SCALE: f64 = 256.0;
/// The largest component of a hyperplane, as fixed point.
pub(super) const HASH_MAX: i16 = 1024;
/// Fixed point of an item vector's components.
const VECTOR_SCALE: f32 = 16_384.0;

/// The frozen hash matrix, shape `[48][dim]`: N(0, 1) in fixed point of scale 2^-8, rounded half to even, clipped to
/// ±4. Only IEEE's exactly rounded operations are used (no libm), so every machine makes the same matrix.
pub fn hash_matrix(dim: usize) -> Vec<i16> {
    hash_matrix_of(BITS, dim)
}

/// As [`hash_matrix`], of `bits` hyperplanes; a larger matrix begins with the smaller one.
pub fn hash_matrix_of(bits: usize, dim: usize) -> Vec<i16> {
    normals(&mut ChaCha8Rng::seed_from_u64(HASH_SEED), bits * dim)
}

/// `count` components of hyperplanes.
pub(super) fn normals(random: &mut ChaCha8Rng, count: usize) -> Vec<i16> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let (first, second) = normal_pair(random);
        values.extend([fixed(first), fixed(second)]);
    }
    values.truncate(count);
    values
}

fn fixed(normal: f64) -> i16 {
    let limit = f64::from(HASH_MAX);
    (normal * HASH_SCALE).round_ties_even().clamp(-limit, limit) as i16
}

/// Two independent N(0, 1) by Marsaglia's polar method.
fn normal_pair(random: &mut ChaCha8Rng) -> (f64, f64) {
    loop {
        let (u, v) = (signed_unit(random), signed_unit(random));
        let square = u * u + v * v;
        if square > 0.0 && square < 1.0 {
            let factor = (-2.0 * logarithm(square) / square).sqrt();
            return (u * factor, v * factor);
        }
    }
}

/// Uniform in [-1, 1) with 53 bits.
fn signed_unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 * (1.0 / (1u64 << 52) as f64) - 1.0
}

/// ln(x) for normal x > 0 to some 1e-16: x = m 2^e with m in [0.7, 1.42), ln m = 2 artanh((m - 1) / (m + 1)).
fn logarithm(x: f64) -> f64 {
    let mut exponent = ((x.to_bits() >> 52) as i64 - 1023) as f64;
    let mut mantissa = f64::from_bits((x.to_bits() & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let y = (mantissa - 1.0) / (mantissa + 1.0);
    let mut series = 0.0;
    for power in (1..=23).rev().step_by(2) {
        series = series * y * y + 1.0 / f64::from(power);
    }
    exponent * std::f64::consts::LN_2 + 2.0 * y * series
}

/// Appends `vector` in fixed point of scale 2^-14, rounded half to even. Components are clipped to ±1, which a vector
/// of length at most 1 never meets; with it, a window of [`WINDOW_MAX`](super::WINDOW_MAX) items cannot overflow.
pub fn quantize(vector: &[f32], out: &mut Vec<i16>) {
    out.extend(vector.iter().map(|&x| {
        debug_assert!(x.is_finite(), "item vectors are checked where they enter");
        (x * VECTOR_SCALE).round_ties_even().clamp(-VECTOR_SCALE, VECTOR_SCALE) as i16
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_equals_the_library() {
        for i in 1..100_000 {
            let x = f64::from(i) * 1e-5;
            assert!((logarithm(x) - x.ln()).abs() <= 4e-16 * (1.0 + x.ln().abs()), "ln {x}");
        }
        assert_eq!(logarithm(1.0), 0.0);
    }

    #[test]
    fn hash_matrix_is_standard_normal_and_frozen() {
        let matrix = hash_matrix(1024);
        assert_eq!(matrix.len(), 48 * 1024);
        let values: Vec<f64> = matrix.iter().map(|&value| f64::from(value) / 256.0).collect();
        let n = values.len() as f64;
        let moment = |power: i32| values.iter().map(|value| value.powi(power)).sum::<f64>() / n;
        // Five standard errors of each moment of N(0, 1).
        assert!(moment(1).abs() < 5.0 / n.sqrt(), "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "variance {}", moment(2));
        assert!(moment(3).abs() < 5.0 * (15.0 / n).sqrt(), "skewness {}", moment(3));
        assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt(), "kurtosis {}", moment(4));
        assert!(matrix.iter().all(|value| value.abs() <= HASH_MAX));
        assert_eq!(hash_matrix(64)[..8], FROZEN);
        assert_eq!(hash_matrix(64), hash_matrix_of(160, 64)[..48 * 64]);
        let digest = |sum: u64, &value: &i16| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(value.cast_unsigned());
        assert_eq!(hash_matrix(64).iter().fold(0xcbf2_9ce4_8422_2325, digest), FROZEN_DIGEST);
    }

    /// The first row's start, and a digest that notices every value and place. They change only if published tables are
    /// to lose their meaning.
    const FROZEN: [i16; 8] = [71, -151, -52, 190, 103, -137, -37, -108];

    const FROZEN_DIGEST: u64 = 0x6f08_0a0e_5df8_8be4;

    #[test]
    fn quantize_rounds_half_to_even_and_clips() {
        let mut out = vec![7];
        let step = 1.0 / 16_384.0;
        quantize(&[0.0, -0.0, step, 0.5 * step, 1.5 * step, -2.5 * step, 1.0, -1.0, 1.001, -1.001], &mut out);
        assert_eq!(out, [7, 0, 0, 1, 0, 2, -2, 16_384, -16_384, 16_384, -16_384]);
    }
}
