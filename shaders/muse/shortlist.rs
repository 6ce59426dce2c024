//! One pass over a chunk for a tile of candidates: products in integers, and whoever beats a candidate's k-th.
//!
//! Scores never leave the registers but for those. What instruction set computes them does not show: products are
//! integers below 2^24, and a score is one of them times a length, rounded once.

use super::block::{LANES, Quad, Slice};
use super::top::{Sorted, Tops, key_of};

/// Candidates that one pass over a tile of events serves.
pub(super) const SIDE: usize = 8;

/// Eight candidates, component by component; missing ones are zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    /// (quads) Four components of each.
    pub quads: Vec<[[i8; 4]; SIDE]>,
    /// The sum of each one's components.
    pub sums: [i32; SIDE],
    /// How many there are; those without content come last and are not counted.
    pub count: usize,
}

impl Side {
    /// Of `candidates`, each (dim), at most eight.
    pub fn new<'a>(dim: usize, candidates: impl Iterator<Item = &'a [i8]>) -> Side {
        let mut side = Side { quads: vec![[[0; 4]; SIDE]; dim.div_ceil(4)], ..Side::default() };
        for (place, candidate) in candidates.enumerate() {
            for (quad, components) in side.quads.iter_mut().zip(candidate.chunks(4)) {
                quad[place][..components.len()].copy_from_slice(components);
            }
            side.sums[place] = candidate.iter().map(|&q| i32::from(q)).sum();
            side.count = place + 1;
        }
        side
    }
}

/// How this machine multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every machine has.
    Plain,
}

impl Isa {
    /// The best that the machine has.
    pub fn detect() -> Isa {
        *Isa::all().last().expect("there is always the plain one")
    }

    /// All that the machine has, the best last.
    pub fn all() -> Vec<Isa> {
        let mut all = vec![Isa::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx2") {
                all.push(Isa::Avx2);
            }
            if std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512vnni")
                && std::arch::is_x86_feature_detected!("avx512vl")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512bw")
                && std::arch::is_x86_feature_detected!("popcnt")
            {
                all.push(Isa::Vnni);
            }
        }
        all
    }
}

/// Offers the events of `slice`, newest first, to the candidates of `side`, which are `first` and on in `tops`.
pub(super) fn shortlist(isa: Isa, slice: &Slice<'_>, side: &Side, tops: &mut Tops, first: usize) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the features were detected")]
        Isa::Vnni => unsafe { vnni::shortlist(slice, side, tops, first) },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the features were detected")]
        Isa::Avx2 => unsafe { avx2::shortlist(slice, side, tops, first) },
        Isa::Plain => plain(slice, side, tops, first, products),
    }
}

/// The products of a tile of events with the candidates of a side.
pub(super) fn tile_products(isa: Isa, tile: &[Quad], side: &Side) -> [[i32; LANES]; SIDE] {
    match isa {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the features were detected")]
        Isa::Vnni => unsafe { vnni::tile_products(tile, side) },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the features were detected")]
        Isa::Avx2 => unsafe { avx2::tile_products(tile, side) },
        Isa::Plain => products(tile, side),
    }
}

/// The best k of a candidate's list, in order.
pub(super) fn sort(isa: Isa, tops: &mut Tops, candidate: usize, sorted: &mut Sorted) {
    let k = tops.k();
    let mut top = tops.of(candidate);
    match isa {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the features were detected")]
        Isa::Vnni => unsafe { vnni::sort(&mut top, k, sorted) },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the features were detected")]
        Isa::Avx2 => unsafe { avx2::sort(&mut top, k, sorted) },
        Isa::Plain => top.sort(k, sorted),
    }
}

/// [`shortlist`], whatever multiplies.
#[inline(always)]
fn plain(
    slice: &Slice<'_>,
    side: &Side,
    tops: &mut Tops,
    first: usize,
    products: impl Fn(&[Quad], &Side) -> [[i32; LANES]; SIDE],
) {
    for tile in slice.tiles().rev() {
        let products = products(slice.tile(tile), side);
        let (inverses, lanes, age) = (&slice.chunk.inverses[tile], slice.lanes(tile), slice.age_of(tile));
        for (candidate, products) in products.iter().take(side.count).enumerate() {
            let top = tops.of(first + candidate);
            let mut scores = [0.0; LANES];
            for lane in 0..LANES {
                scores[lane] = products[lane] as f32 * inverses[lane];
            }
            if !scores.iter().fold(false, |any, score| any | (score > top.floor)) {
                continue;
            }
            for (lane, &score) in scores.iter().enumerate() {
                if score > *top.floor && inverses[lane] != 0.0 && lanes >> lane & 1 == 1 {
                    top.keys[*top.len] = key_of(score);
                    top.ages[*top.len] = age.wrapping_add(lane as u32);
                    *top.len += 1;
                }
            }
            let k = tops.k();
            if tops.is_full(first + candidate) {
                tops.of(first + candidate).shrink(k);
            }
        }
    }
}

/// The products, by the definition.
#[inline(always)]
fn products(tile: &[Quad], side: &Side) -> [[i32; LANES]; SIDE] {
    let mut sums = [[0; LANES]; SIDE];
    for (events, candidates) in tile.iter().zip(&side.quads) {
        for (sums, candidate) in sums.iter_mut().zip(candidates) {
            for (sum, event) in sums.iter_mut().zip(events) {
                for k in 0..4 {
                    *sum += i32::from(event[k]) * i32::from(candidate[k]);
                }
            }
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod vnni;
