//! AVX-512 with VNNI: four products of 16 events an instruction, and survivors packed in registers.

use std::arch::x86_64::*;

use super::super::block::{LANES, Quad, Slice};
use super::super::top::{Cut, Sorted, Top, Tops, score_of};
use super::{SIDE, Side};

/// See [`super::shortlist`].
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512vnni,popcnt")]
pub fn shortlist(slice: &Slice<'_>, side: &Side, tops: &mut Tops, first: usize) {
    let tiles = slice.tiles();
    let mut end = tiles.end;
    while end >= tiles.start + 2 {
        // Whoever comes after the first finds them in the cache.
        if first == 0 && end >= tiles.start + 2 + AHEAD {
            fetch(slice.tile(end - 1 - AHEAD));
            fetch(slice.tile(end - 2 - AHEAD));
        }
        step(slice, [end - 1, end - 2], side, tops, first);
        end -= 2;
    }
    if end > tiles.start {
        step(slice, [end - 1], side, tops, first);
    }
}

/// How many tiles ahead memory is asked for: machines that guess what is read next do so for rising addresses best.
const AHEAD: usize = 4;

/// Asks memory for a tile.
#[target_feature(enable = "avx512f")]
#[inline]
fn fetch(tile: &[Quad]) {
    for quad in tile {
        _mm_prefetch::<_MM_HINT_T0>(quad.as_ptr().cast());
    }
}

/// Offers the events of `tiles` to the candidates.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512vnni,popcnt")]
#[inline]
fn step<const N: usize>(slice: &Slice<'_>, tiles: [usize; N], side: &Side, tops: &mut Tops, first: usize) {
    let sums = products(tiles.map(|tile| slice.tile(tile)), side);
    let inverses = tiles.map(|tile| load_lengths(&slice.chunk.inverses[tile]));
    let zero = _mm512_setzero_ps();
    let mut known = [0; N];
    for n in 0..N {
        known[n] = _mm512_cmp_ps_mask::<_CMP_NEQ_OQ>(inverses[n], zero) & slice.lanes(tiles[n]);
    }
    for (candidate, sums) in sums.iter().enumerate().take(side.count) {
        let floor = _mm512_set1_ps(tops.floors[first + candidate]);
        let scores: [__m512; N] = std::array::from_fn(|n| _mm512_mul_ps(_mm512_cvtepi32_ps(sums[n]), inverses[n]));
        let better: [__mmask16; N] =
            std::array::from_fn(|n| _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(known[n], scores[n], floor));
        if better.iter().fold(0, |any, mask| any | mask) == 0 {
            continue;
        }
        let mut top = tops.of(first + candidate);
        for n in 0..N {
            append(&mut top, better[n], keys(scores[n]), slice.age_of(tiles[n]));
        }
        let k = tops.k();
        if tops.is_full(first + candidate) {
            shrink(&mut tops.of(first + candidate), k);
        }
    }
}

/// The products of the events of some tiles with eight candidates.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn products<const N: usize>(tiles: [&[Quad]; N], side: &Side) -> [[__m512i; N]; SIDE] {
    // One factor must be unsigned: events are taken 128 higher, and sums start so much lower.
    let mut sums = side.sums.map(|sum| [_mm512_set1_epi32(-128 * sum); N]);
    let higher = _mm512_set1_epi8(i8::MIN);
    for (quad, candidates) in side.quads.iter().enumerate() {
        let events: [__m512i; N] = std::array::from_fn(|n| _mm512_xor_si512(load(&tiles[n][quad]), higher));
        for (sums, candidate) in sums.iter_mut().zip(candidates) {
            let candidate = _mm512_set1_epi32(bytemuck::cast(*candidate));
            for n in 0..N {
                sums[n] = _mm512_dpbusd_epi32(sums[n], events[n], candidate);
            }
        }
    }
    sums
}

/// See [`super::tile_products`].
#[target_feature(enable = "avx512f,avx512vnni")]
pub fn tile_products(tile: &[Quad], side: &Side) -> [[i32; LANES]; SIDE] {
    products([tile], side).map(|[sums]| {
        let mut out = [0; LANES];
        store(&mut out, sums);
        out
    })
}

/// As `key_of`.
#[target_feature(enable = "avx512f")]
#[inline]
fn keys(scores: __m512) -> __m512i {
    let bits = _mm512_castps_si512(scores);
    let flip = _mm512_and_si512(_mm512_srai_epi32::<31>(bits), _mm512_set1_epi32(i32::MAX));
    _mm512_xor_si512(bits, flip)
}

/// Appends the chosen lanes; the list has room for a whole register.
#[target_feature(enable = "avx512f,popcnt")]
#[inline]
fn append(top: &mut Top<'_>, chosen: __mmask16, keys: __m512i, age: u32) {
    let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let ages = _mm512_add_epi32(_mm512_set1_epi32(age.cast_signed()), lanes);
    put(top, *top.len, chosen, keys, ages);
    *top.len += chosen.count_ones() as usize;
}

/// Writes the chosen lanes side by side to `place` and on.
#[target_feature(enable = "avx512f,popcnt")]
#[inline]
fn put(top: &mut Top<'_>, place: usize, chosen: __mmask16, keys: __m512i, ages: __m512i) {
    let room = "a list has room for a register more";
    store(top.keys[place..].first_chunk_mut().expect(room), _mm512_maskz_compress_epi32(chosen, keys));
    let ages = _mm512_maskz_compress_epi32(chosen, ages);
    store(bytemuck::cast_mut(top.ages[place..].first_chunk_mut::<LANES>().expect(room)), ages);
}

/// As [`Top::shrink`].
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,popcnt")]
#[inline]
fn shrink(top: &mut Top<'_>, k: usize) {
    let Some(Cut { key, ties }) = top.cut(k, |tiles, key| above(tiles, key)) else { return };
    let (len, mut kept, mut ties) = (*top.len, 0, ties as u32);
    let cut = _mm512_set1_epi32(key);
    for place in (0..len).step_by(LANES) {
        let room = "lists are whole registers";
        let keys = load_keys(top.keys[place..].first_chunk().expect(room));
        let ages = load_keys(bytemuck::cast_ref(top.ages[place..].first_chunk::<LANES>().expect(room)));
        let mut chosen = _mm512_cmpgt_epi32_mask(keys, cut);
        if ties > 0 {
            let mut equal = _mm512_cmpeq_epi32_mask(keys, cut);
            while equal != 0 && ties > 0 {
                chosen |= equal & equal.wrapping_neg();
                equal &= equal - 1;
                ties -= 1;
            }
        }
        put(top, kept, chosen, keys, ages);
        kept += chosen.count_ones() as usize;
    }
    *top.len = kept;
    *top.floor = score_of(key);
}

/// How many keys are above `key`.
#[target_feature(enable = "avx512f")]
#[inline]
fn above(tiles: &[[i32; LANES]], key: i32) -> usize {
    let (key, one) = (_mm512_set1_epi32(key), _mm512_set1_epi32(1));
    let mut counts = [_mm512_setzero_si512(); 2];
    for (index, tile) in tiles.iter().enumerate() {
        let above = _mm512_cmpgt_epi32_mask(load_keys(tile), key);
        let count = &mut counts[index % 2];
        *count = _mm512_mask_add_epi32(*count, above, *count, one);
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(counts[0], counts[1])) as usize
}

/// As [`Top::sort`].
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,popcnt")]
pub fn sort(top: &mut Top<'_>, k: usize, sorted: &mut Sorted) {
    shrink(top, k);
    let (len, one) = (*top.len, _mm512_set1_epi32(1));
    top.pad();
    for first in (0..len).step_by(LANES) {
        let keys = load_keys(top.keys[first..].first_chunk().expect("lists are whole registers"));
        let mut better = _mm512_setzero_si512();
        let own = len.min(first + LANES);
        for &other in &top.keys[..first] {
            let mask = _mm512_cmpge_epi32_mask(_mm512_set1_epi32(other), keys);
            better = _mm512_mask_add_epi32(better, mask, better, one);
        }
        for (place, &other) in top.keys[first..own].iter().enumerate() {
            let other = _mm512_set1_epi32(other);
            let later = 0xfffe_u16 << place;
            let mask = _mm512_cmpgt_epi32_mask(other, keys) | _mm512_cmpeq_epi32_mask(other, keys) & later;
            better = _mm512_mask_add_epi32(better, mask, better, one);
        }
        for &other in &top.keys[own..len] {
            let mask = _mm512_cmpgt_epi32_mask(_mm512_set1_epi32(other), keys);
            better = _mm512_mask_add_epi32(better, mask, better, one);
        }
        let mut places = [0; LANES];
        store(&mut places, better);
        for (place, &better) in (first..own).zip(&places) {
            sorted.keys[better as usize] = top.keys[place];
            sorted.ages[better as usize] = top.ages[place];
        }
    }
    sorted.len = len.min(k);
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(quad: &Quad) -> __m512i {
    #[expect(unsafe_code, reason = "64 bytes are read")]
    unsafe {
        _mm512_loadu_si512(quad.as_ptr().cast())
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_keys(keys: &[i32; LANES]) -> __m512i {
    #[expect(unsafe_code, reason = "64 bytes are read")]
    unsafe {
        _mm512_loadu_si512(keys.as_ptr().cast())
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_lengths(lengths: &[f32; LANES]) -> __m512 {
    #[expect(unsafe_code, reason = "64 bytes are read")]
    unsafe {
        _mm512_loadu_ps(lengths.as_ptr())
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(out: &mut [i32; LANES], values: __m512i) {
    #[expect(unsafe_code, reason = "64 bytes are written")]
    unsafe {
        _mm512_storeu_si512(out.as_mut_ptr().cast(), values);
    }
}
