//! AVX2: components widened to i16, and pairs of them multiplied and added.

use std::arch::x86_64::*;

use super::super::block::{LANES, Quad, Slice};
use super::super::top::{Sorted, Top, Tops};
use super::{SIDE, Side};

/// See [`super::shortlist`].
#[target_feature(enable = "avx2")]
pub fn shortlist(slice: &Slice<'_>, side: &Side, tops: &mut Tops, first: usize) {
    super::plain(slice, side, tops, first, |tile, side| tile_products(tile, side));
}

/// See [`super::sort`].
#[target_feature(enable = "avx2")]
pub fn sort(top: &mut Top<'_>, k: usize, sorted: &mut Sorted) {
    top.sort(k, sorted);
}

/// See [`super::tile_products`].
#[target_feature(enable = "avx2")]
pub fn tile_products(tile: &[Quad], side: &Side) -> [[i32; LANES]; SIDE] {
    let mut out = [[0; LANES]; SIDE];
    // Two candidates at a time fit the registers, and so do the 16 events.
    for pair in 0..SIDE / 2 {
        let mut sums = [[_mm256_setzero_si256(); 2]; 2];
        for (events, candidates) in tile.iter().zip(&side.quads) {
            let (halves, _) = events.as_chunks::<8>();
            for (half, events) in halves.iter().enumerate() {
                let events: [u8; 32] = bytemuck::cast(*events);
                let events = load(&events);
                // Components 0 and 2, and 1 and 3, of each event, as i16.
                let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(events));
                let odd = _mm256_srai_epi16::<8>(events);
                for (n, sums) in sums.iter_mut().enumerate() {
                    let [c0, c1, c2, c3] = candidates[2 * pair + n].map(i16::from);
                    let evens = _mm256_set1_epi32(bytemuck::cast([c0, c2]));
                    let odds = _mm256_set1_epi32(bytemuck::cast([c1, c3]));
                    let products = _mm256_add_epi32(_mm256_madd_epi16(even, evens), _mm256_madd_epi16(odd, odds));
                    sums[half] = _mm256_add_epi32(sums[half], products);
                }
            }
        }
        for (n, sums) in sums.into_iter().enumerate() {
            let (halves, _) = out[2 * pair + n].as_chunks_mut::<8>();
            for (half, sum) in halves.iter_mut().zip(sums) {
                store(half, sum);
            }
        }
    }
    out
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8; 32]) -> __m256i {
    #[expect(unsafe_code, reason = "32 bytes are read")]
    unsafe {
        _mm256_loadu_si256(bytes.as_ptr().cast())
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(out: &mut [i32; 8], values: __m256i) {
    #[expect(unsafe_code, reason = "32 bytes are written")]
    unsafe {
        _mm256_storeu_si256(out.as_mut_ptr().cast(), values);
    }
}
