//! Counts by hand, vectors of matrices whose structure is known.

use std::collections::HashMap;

use proptest::prelude::*;

use super::orthonormal::{eigen, gram, orthonormalize};
use super::{Counts, Vectors, WINDOW};

fn cosine(vectors: &Vectors, dim: usize, a: u32, b: u32) -> f32 {
    let of = |item| {
        let at = vectors.items.binary_search(&item).expect("an item that is told of");
        &vectors.vectors[at * dim..][..dim]
    };
    of(a).iter().zip(of(b)).map(|(x, y)| x * y).sum()
}

fn counted(histories: &[Vec<u32>], pairs_max: usize) -> Counts {
    let mut counts = Counts::new(pairs_max);
    for history in histories {
        for (at, &item) in history.iter().enumerate() {
            counts.add(item, history[..at].iter().rev().copied());
        }
    }
    counts
}

#[test]
fn pairs_weigh_one_over_their_distance() {
    let mut counts = counted(&[vec![1, 2, 1, 3], vec![7, 0, 0, 0, 0, 0, 8]], 100);
    let pairs = counts.pairs();
    let pair = |a: u64, b: u64| pairs.iter().find(|(pair, _)| *pair == a << 32 | b).map_or(0, |(_, weight)| *weight);
    assert_eq!(pair(1, 2), 120);
    assert_eq!(pair(1, 3), 60 + 20);
    assert_eq!(pair(2, 3), 30);
    assert_eq!(pair(0, 7), 60 + 30 + 20 + 15 + 12);
    assert_eq!(pair(7, 8), 0, "six behaviors apart");
    assert_eq!(pair(1, 1) + pair(0, 0), 0, "an item says nothing of itself");
}

proptest! {
    #[test]
    fn pairs_equal_a_recount(histories in prop::collection::vec(prop::collection::vec(0..9_u32, 0..30), 0..8)) {
        let mut naive: HashMap<u64, u32> = HashMap::new();
        for history in &histories {
            for (at, &a) in history.iter().enumerate() {
                for (distance, &b) in (1..=WINDOW as u32).zip(&history[at + 1..]) {
                    if a != b {
                        *naive.entry(u64::from(a.min(b)) << 32 | u64::from(a.max(b))).or_default() += 60 / distance;
                    }
                }
            }
        }
        let mut naive: Vec<(u64, u32)> = naive.into_iter().collect();
        naive.sort_unstable();
        // So few pairs at a time that they are merged again and again.
        let mut counts = counted(&histories, 40);
        prop_assert_eq!(counts.pairs(), &naive[..]);
        prop_assert!(counted(&histories, 5).pairs().len() <= 5);
    }
}

/// Ten kinds of ten items; a history stays within a kind.
fn kinds() -> Vec<Vec<u32>> {
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    (0..400).map(|user| (0..20).map(|_| user % 10 * 10 + next() % 10).collect()).collect()
}

#[test]
fn items_of_a_kind_lie_together() {
    let vectors = counted(&kinds(), 1 << 20).vectors(10, 1);
    assert_eq!(vectors.items, (0..100).collect::<Vec<_>>());
    for a in 0..100 {
        for b in 0..a {
            let cosine = cosine(&vectors, 10, a, b);
            if a / 10 == b / 10 {
                assert!(cosine > 0.8, "items {a} and {b} of a kind: {cosine}");
            } else {
                assert!(cosine.abs() < 0.2, "items {a} and {b} of two kinds: {cosine}");
            }
        }
    }
    assert_eq!(vectors, counted(&kinds(), 1 << 20).vectors(10, 1), "equal logs, equal bits");
}

/// Two pairs that never meet: M is a permutation times a number, all its singular values are equal.
#[test]
fn a_tiny_matrix() {
    let vectors = counted(&[vec![4, 9], vec![2, 6]], 100).vectors(8, 3);
    assert_eq!(vectors.items, [2, 4, 6, 9]);
    for (at, vector) in vectors.vectors.chunks_exact(8).enumerate() {
        for (other, second) in vectors.vectors.chunks_exact(8).enumerate() {
            let dot: f32 = vector.iter().zip(second).map(|(x, y)| x * y).sum();
            assert!((dot - f32::from(u8::from(at == other))).abs() < 1e-4, "{at} and {other}: {dot}");
        }
    }
    let nothing = Counts::new(9).vectors(8, 3);
    assert!(nothing.items.is_empty() && nothing.vectors.is_empty());
}

#[test]
fn versions_are_turned_to_lie_alike() {
    let dim = 10;
    let older = counted(&kinds(), 1 << 20).vectors(dim, 1);
    // Of the newer version, half a turn of some axes, others swapped; one item is new, one is gone.
    let mut newer = older.clone();
    for vector in newer.vectors.chunks_exact_mut(dim) {
        vector.swap(0, 4);
        vector.swap(1, 7);
        vector[3] = -vector[3];
    }
    newer.items[99] = 200;
    let aligned = newer.aligned(&older, dim);
    assert_eq!(aligned.items[99], 200);
    let far = aligned.vectors.iter().zip(&older.vectors).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 0.05, "{far}");
}

#[test]
fn columns_become_orthonormal_and_dependent_ones_zero() {
    // The third column is the first twice.
    let mut x: Vec<f32> =
        (0..50).flat_map(|i| [(i as f32).sin(), (i as f32).cos() + 2.0, 2.0 * (i as f32).sin()]).collect();
    orthonormalize(&mut x, 3);
    let gram = gram(&x, 3);
    let expected = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    assert!(gram.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{gram:?}");
}

#[test]
fn eigenvectors_of_a_known_matrix() {
    let (values, vectors) = eigen(vec![2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 5.0], 3);
    assert!(values.iter().zip([5.0, 3.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{values:?}");
    let half = 0.5_f64.sqrt();
    assert!((vectors[3].abs() - half).abs() < 1e-12 && (vectors[3] - vectors[4]).abs() < 1e-12, "{vectors:?}");
    assert!((vectors[2].abs() - 1.0).abs() < 1e-12);
}
