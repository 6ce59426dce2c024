//! The GPU finds what the CPU finds, whatever it held before.

use super::*;

fn gsu(dim: usize, chunks: usize, page_bytes_max: u64) -> Gsu {
    Gsu::with_pages(&gpu(), Config { dim, chunks }, page_bytes_max).unwrap()
}

fn assert_twins(gsu: &mut Gsu, block: &Block, candidates: &[i8], k: usize) {
    let mut found = Found { ages: vec![7], ..Found::default() };
    gsu.search(block, candidates, k, &mut found).unwrap();
    assert!(found == search(block, candidates, k).unwrap(), "{} events, k = {k}", block.len());
}

/// Events of `dim` components: small ones, so that many tie; every seventh without content.
fn fill(block: &mut Block, random: &mut ChaCha8Rng, events: usize, most: i32) {
    for event in 0..events {
        let vector = vectors(random, 1, block.dim(), most);
        block.push((event % 7 != 3).then_some(&vector)).unwrap();
    }
}

#[test]
fn every_width_and_number() {
    let mut random = random(31);
    for (dim, events, most, count, k) in [
        (1, 40, 1, 5, 50),
        (3, 1_024, 1, 9, 255),
        (4, 1_025, 3, 4, 1),
        (64, 3_000, 127, 30, 50),
        (130, 2_100, 2, 3, 64),
        (512, 1_100, 127, 6, 50),
        (8, 0, 1, 3, 5),
    ] {
        let mut gsu = gsu(dim, 4, u64::MAX);
        let mut block = Block::new(dim).unwrap();
        fill(&mut block, &mut random, events, most);
        let mut candidates = vectors(&mut random, count, dim, most);
        candidates[..dim].fill(0);
        assert_twins(&mut gsu, &block, &candidates, k);
        assert_twins(&mut gsu, &block, &[], k);
        block.expire(events as u64 / 3);
        assert_twins(&mut gsu, &block, &candidates, k);
        block.expire(events as u64);
        assert_twins(&mut gsu, &block, &candidates, k);
    }
}

/// Three users, six chunks of room on three pages, windows of up to nine chunks: chunks come, change, go and come back.
#[test]
fn chunks_make_room_for_one_another() {
    let dim = 4;
    let mut random = random(32);
    let mut gsu = gsu(dim, 6, 2 * 1024 * 4);
    let mut blocks: Vec<Block> = (0..3).map(|_| Block::new(dim).unwrap()).collect();
    let candidates = vectors(&mut random, 10, dim, 20);
    for round in 0..24_u64 {
        let block = &mut blocks[(round * 5 % 7 % 3) as usize];
        fill(block, &mut random, [10, 700, 2_000][round as usize % 3], 20);
        if round % 4 == 1 {
            block.expire(block.start() + 900);
        }
        if round % 3 == 2 {
            let event = block.start() + block.len() as u64 / 2;
            block.patch(event, &vectors(&mut random, 1, dim, 20)).unwrap();
        }
        assert_twins(&mut gsu, block, &candidates, 20);
        let other = &blocks[(round % 3) as usize];
        assert_twins(&mut gsu, other, &candidates[..dim], 3);
    }
}

/// What chunks give for all candidates at once would exceed the scratch.
#[test]
fn many_candidates_take_several_submissions() {
    let mut random = random(33);
    let mut gsu = gsu(2, 8, 8 * 2 * 50 * 8);
    let mut block = Block::new(2).unwrap();
    fill(&mut block, &mut random, 2_000, 100);
    let candidates = vectors(&mut random, 21, 2, 100);
    assert_twins(&mut gsu, &block, &candidates, 50);
}

#[test]
fn a_new_block_is_never_taken_for_an_old_one() {
    let mut random = random(34);
    let mut gsu = gsu(4, 3, u64::MAX);
    let candidates = vectors(&mut random, 3, 4, 9);
    for _ in 0..5 {
        let mut block = Block::new(4).unwrap();
        fill(&mut block, &mut random, 100, 9);
        assert_twins(&mut gsu, &block, &candidates, 10);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_numbers() {
    let refuse = |dim: usize, chunks: usize, page_bytes_max: u64| {
        Gsu::with_pages(&gpu(), Config { dim, chunks }, page_bytes_max).unwrap_err().to_string()
    };
    assert!(refuse(0, 1, u64::MAX).contains("muse.dim is 0"));
    assert!(refuse(4, 0, u64::MAX).contains("0 chunks of content"));
    let error = refuse(4, 1, 4_095);
    assert!(error.contains("4096") && error.contains("4095"), "{error}");
    let error = refuse(4, 300, 4_096);
    assert!(error.contains("300") && error.contains("256"), "{error}");
    let block = Block::new(5).unwrap();
    let error = gsu(4, 1, u64::MAX).search(&block, &[], 1, &mut Found::default()).unwrap_err().to_string();
    assert!(error.contains("5 components, not 4"), "{error}");
}

#[test]
fn a_lost_device_is_an_error_and_a_new_one_finds_the_same() {
    let mut random = random(35);
    let device = gpu();
    let Device::Gpu(inner) = &device else { unreachable!() };
    let mut gsu = Gsu::new(&device, Config { dim: 4, chunks: 2 }).unwrap();
    let mut block = Block::new(4).unwrap();
    fill(&mut block, &mut random, 1_500, 90);
    let candidates = vectors(&mut random, 3, 4, 90);
    assert_twins(&mut gsu, &block, &candidates, 10);
    inner.lose();
    let error = gsu.search(&block, &candidates, 10, &mut Found::default()).unwrap_err();
    assert!(error.is_device_lost(), "{error}");
    gsu.renew().unwrap();
    assert_twins(&mut gsu, &block, &candidates, 10);
}
