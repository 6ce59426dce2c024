//! What must hold for every sequence of changes.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const DIM: usize = 6;

/// The table of `items` by the definition, straight from vectors and signatures.
fn rebuilt(items: impl Iterator<Item = usize>, vectors: &[i16], signatures: &[u64]) -> (Vec<i32>, Vec<u32>) {
    let (mut sums, mut counts) = (vec![0; GROUPS * BUCKETS * DIM], vec![0; GROUPS * BUCKETS]);
    for item in items {
        for group in 0..GROUPS {
            let row = group * BUCKETS + (signatures[item] >> (3 * group) & 7) as usize;
            counts[row] += 1;
            for k in 0..DIM {
                sums[row * DIM + k] += i32::from(vectors[item * DIM + k]);
            }
        }
    }
    (sums, counts)
}

/// Feeds `events` (user, item, evictions besides) through windows, cut into batches of `batch` events.
fn stream(sdim: &mut Sdim, events: &[(usize, usize, usize)], batch: usize, vectors: &[i16], signatures: &[u64]) {
    const USERS: usize = 3;
    let mut windows: [VecDeque<usize>; USERS] = Default::default();
    for (round, events) in events.chunks(batch).enumerate() {
        let mut changes: [Vec<(usize, i32)>; USERS] = Default::default();
        for &(user, item, evictions) in events {
            changes[user].push((item, 1));
            windows[user].push_back(item);
            for _ in 0..evictions {
                changes[user].extend(windows[user].pop_front().map(|item| (item, -1)));
            }
        }
        let case = Case::new();
        let case = changes.into_iter().enumerate().fold(case, |case, (user, own)| case.user(user, round == 0, own));
        case.encode(sdim, vectors, signatures).unwrap();
    }
    for (user, window) in windows.iter().enumerate() {
        let expected = rebuilt(window.iter().copied(), vectors, signatures);
        assert!(sdim.table(user) == expected, "user {user} is not the rebuild of {} items", window.len());
    }
}

fn fixture(device: &Device, seed: u64) -> (Sdim, Vec<i16>, Vec<u64>) {
    let mut sdim = Sdim::new(device, Config::new(DIM, 3), &hash_matrix(DIM)).unwrap();
    let vectors = vectors(&mut random(seed), 30, DIM);
    let signatures = sdim.simhash(&vectors).unwrap();
    (sdim, vectors, signatures)
}

#[test]
fn any_interleaving_equals_the_rebuild() {
    for device in backends() {
        let (sdim, vectors, signatures) = fixture(&device, 1);
        let sdim = std::cell::RefCell::new(sdim);
        let events = prop::collection::vec((0..3usize, 0..30usize, 0..3usize), 1..120);
        let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(events in events, batch in 1..50usize)| {
            stream(&mut sdim.borrow_mut(), &events, batch, &vectors, &signatures);
        });
    }
}

#[test]
fn a_hundred_thousand_changes_equal_the_rebuild() {
    for device in backends() {
        let (mut sdim, vectors, signatures) = fixture(&device, 2);
        let mut random = random(3);
        let events: Vec<_> = (0..50_000)
            .map(|index| {
                let draw = below(&mut random, 100);
                (
                    below(&mut random, 3),
                    below(&mut random, 30),
                    if index < 900 { 0 } else { 1 + draw / 99 - draw / 98 % 2 },
                )
            })
            .collect();
        stream(&mut sdim, &events, 5_000, &vectors, &signatures);
    }
}

#[test]
fn a_window_of_identical_unit_items_does_not_overflow() {
    for device in backends() {
        let mut sdim = Sdim::new(&device, Config::new(1, 1), &hash_matrix(1)).unwrap();
        let signatures = sdim.simhash(&[-16_384]).unwrap();
        let case = Case::new().user(0, true, (0..WINDOW_MAX).map(|_| (0, 1)));
        let tables = case.encode(&mut sdim, &[-16_384], &signatures).unwrap();
        let (sums, counts) = sdim.table(0);
        for row in 0..128 {
            let hit = counts[row] > 0;
            assert_eq!(sums[row], if hit { -(WINDOW_MAX as i32 * 16_384) } else { 0 });
            assert_eq!(tables[row], if hit { half::f16::from_f32(-1.0).to_bits() } else { 0 });
        }
        assert_eq!(counts.iter().filter(|&&count| count == WINDOW_MAX as u32).count(), 16);
    }
}

/// The bound of the module's documentation, met with equality but for the rounding: |z| = |x| |r| < 2^31.
#[test]
fn the_widest_vector_along_the_longest_hyperplane_does_not_overflow() {
    let step = (LENGTH_MAX / (DIM_MAX as f32).sqrt() * 16_384.0).ceil() as i64;
    let bound = step * 1024 * DIM_MAX as i64;
    assert!(bound < i64::from(i32::MAX), "{bound}");
    for device in backends() {
        let hash: Vec<i16> =
            (0..BITS).flat_map(|bit| std::iter::repeat_n(if bit % 2 == 0 { 1024 } else { -1024 }, DIM_MAX)).collect();
        let mut sdim = Sdim::new(&device, Config::new(DIM_MAX, 1), &hash).unwrap();
        let signatures = sdim.simhash(&vec![step as i16; DIM_MAX]).unwrap();
        assert_eq!(signatures, [0x5555_5555_5555]);
    }
}

#[test]
fn doubling_a_vector_leaves_its_signature() {
    for device in backends() {
        for dim in [1, 6, 64] {
            let mut sdim = Sdim::new(&device, Config::new(dim, 1), &hash_matrix(dim)).unwrap();
            let half: Vec<i16> = vectors(&mut random(dim as u64), 200, dim).iter().map(|x| x / 2).collect();
            let whole: Vec<i16> = half.iter().map(|x| x * 2).collect();
            assert_eq!(sdim.simhash(&half).unwrap(), sdim.simhash(&whole).unwrap());
        }
    }
}
