//! Content vectors: int8, q = round(127 v).

use crate::sdim::vectorized;

/// Appends `vector` as int8, q = round(127 v), half to even; components beyond ±1 are clipped.
pub fn quantize(vector: &[f32], out: &mut Vec<i8>) {
    out.extend(vector.iter().map(|&v| {
        debug_assert!(v.is_finite(), "content vectors are checked where they enter");
        (v * 127.0).round_ties_even().clamp(-127.0, 127.0) as i8
    }));
}

/// Appends vectors of scale 2^-14, as [`sdim::quantize`](fn@crate::sdim::quantize) makes them, as int8: round(127 v), half
/// away from zero.
pub fn narrow(vectors: &[i16], out: &mut Vec<i8>) {
    let start = out.len();
    out.resize(start + vectors.len(), 0);
    narrow_into(vectors, &mut out[start..]);
}

vectorized! {
    fn narrow_into(vectors: &[i16], out: &mut [i8]) {
        for (out, &x) in out.iter_mut().zip(vectors) {
            let scaled = i32::from(x) * 127;
            // Whole parts are cut off towards zero: half of the sign is added before.
            let half = (1 << 13) - (scaled >> 31 & (1 << 14));
            *out = ((scaled + half) / (1 << 14)) as i8;
        }
    }
}

vectorized! {
    /// The largest product of a vector (dim) with one of `others` (others, dim), and the sum of all; none of no others.
    pub fn products(own: &[i8], others: &[i8]) -> Option<(i32, i32)> {
        let mut found = None;
        for other in others.chunks_exact(own.len().max(1)) {
            let product: i32 = own.iter().zip(other).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
            let (most, sum) = found.unwrap_or((product, 0));
            found = Some((product.max(most), sum + product));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_rounded_as_vectors_are() {
        let all: Vec<i16> = (-(1 << 14)..=1 << 14).collect();
        let mut small = vec![7];
        narrow(&all, &mut small);
        assert_eq!((small.len(), small[0]), (all.len() + 1, 7));
        for (&x, &q) in all.iter().zip(&small[1..]) {
            let exact = f64::from(x) / 16_384.0 * 127.0;
            assert!((f64::from(q) - exact).abs() <= 0.5, "{x}");
            let mirrored = small[1 + all.len() - 1 - (i32::from(x) + (1 << 14)) as usize];
            assert_eq!(mirrored, -q, "{x}");
        }
    }

    #[test]
    fn products_are_those_of_integers() {
        assert_eq!(products(&[127, -127, 1], &[]), None);
        assert_eq!(products(&[127, -127, 1], &[-127, 127, 0, 1, 1, 5, 2, 1, 0]), Some((127, 5 + 127 - 2 * 127 * 127)));
    }
}
