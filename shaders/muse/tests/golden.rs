//! Worked examples of four components, and what a stream does to them.

use super::*;

#[rustfmt::skip]
const EVENTS: [[i8; 4]; 6] = [
    [60, -30, 90, 20], [50, -40, 80, 40], [-60, 30, -90, -20], [10, 90, 30, -50], [0, 0, 0, 0], [80, 10, 70, -10],
];
const CANDIDATE: [i8; 4] = [60, -30, 90, 20];

fn assert_found(block: &Block, events: [u64; 3], similarities: [f32; 3]) {
    let found = search_all(block, &CANDIDATE, 3);
    let numbers: Vec<u64> = found.ages.iter().map(|&age| block.end() - 1 - u64::from(age)).collect();
    assert_eq!(numbers, events.map(|event| event - 1), "events are e1, e2, …");
    for (found, expected) in found.similarities.iter().zip(similarities) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    }
}

fn counts(tiers: &[u8]) -> Vec<(usize, u8)> {
    tiers.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn what_is_found_and_its_tiers_equal_the_published_ones() {
    let mut block = Block::new(4).unwrap();
    for vector in &EVENTS[..5] {
        block.push(Some(vector)).unwrap();
    }
    // The fifth has no content and the third points the other way.
    assert_found(&block, [1, 2, 4], [1.0, 0.972_737_1, -0.03257312]);
    block.push(Some(&EVENTS[5])).unwrap();
    assert_found(&block, [1, 2, 6], [1.0, 0.972_737_1, 0.86693247]);

    let mut gsu = Gsu::new(&Device::Cpu, Config { dim: 4, chunks: 0 }).unwrap();
    let (mut found, mut tiers) = (Found::default(), Vec::new());
    gsu.search(&block, &CANDIDATE, 3, &mut found).unwrap();
    gsu.tiers(&block, &CANDIDATE, &found, &mut tiers).unwrap();
    assert_eq!(counts(&tiers[..TIERS]), [(19, 1), (20, 2)]);
    // All six are among the newest 50: -1 lies in tier 0, an event without content in tier 10.
    assert_eq!(counts(&tiers[TIERS..]), [(0, 1), (10, 2), (19, 1), (20, 2)]);

    block.expire(1);
    assert_found(&block, [2, 6, 4], [0.972_737_1, 0.86693247, -0.03257312]);
    gsu.search(&block, &CANDIDATE, 3, &mut found).unwrap();
    gsu.tiers(&block, &CANDIDATE, &found, &mut tiers).unwrap();
    assert_eq!(counts(&tiers[..TIERS]), [(10, 1), (19, 1), (20, 1)]);
}

#[test]
fn tiers_have_their_edges_where_they_are_published() {
    for (similarity, tier) in [
        (-1.0, 0),
        (-0.95, 1),
        (-0.1, 9),
        (-0.05, 10),
        (0.0, 10),
        (0.05, 11),
        (0.1, 11),
        (0.15, 12),
        (0.9, 19),
        (1.0, 20),
    ] {
        assert_eq!(tier_of(similarity), tier, "{similarity}");
    }
}

#[test]
fn whatever_is_like_its_candidate_has_exactly_one() {
    let mut random = random(1);
    for dim in [1, 3, 64, 128, 512] {
        let vectors = vectors(&mut random, 200, dim, 127);
        let history: Vec<_> = vectors.chunks_exact(dim).map(|vector| Some(vector.to_vec())).collect();
        let found = search(&block_of(&history, dim), &vectors, 1).unwrap();
        for (range, vector) in found.offsets.windows(2).zip(vectors.chunks_exact(dim)) {
            let expected: &[f32] = if product(vector, vector) > 0 { &[1.0] } else { &[] };
            assert_eq!(&found.similarities[range[0] as usize..range[1] as usize], expected);
        }
    }
}

#[test]
fn quantizing_rounds_and_stays_within_127() {
    let mut out = vec![9];
    quantize(&[0.0, 1.0, -1.0, 0.5, -0.5, 1.3, 1.0 / 127.0, 0.4 / 127.0], &mut out);
    assert_eq!(out, [9, 0, 127, -127, 64, -64, 127, 1, 0]);
}
