//! What must hold for every history.

use proptest::prelude::*;

use super::*;

/// What happens to a block.
#[derive(Debug, Clone)]
enum Step {
    /// Events come, each a vector of a small set, or none.
    Push(Vec<Option<usize>>),
    /// So many of the oldest go.
    Expire(usize),
    /// A vector comes late, for an event that far back.
    Patch(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = prop::collection::vec(prop::option::weighted(0.9, 0..24usize), 1..700).prop_map(Step::Push);
    let step = prop_oneof![
        3 => push,
        1 => (0..900usize).prop_map(Step::Expire),
        2 => (0..1500usize, 0..24usize).prop_map(|(back, vector)| Step::Patch(back, vector)),
    ];
    prop::collection::vec(step, 1..9)
}

/// 24 vectors, among them copies, multiples, opposites and zero: ties of every kind.
fn pool(dim: usize) -> Vec<i8> {
    let mut pool = vectors(&mut random(dim as u64), 24, dim, 40);
    for component in 0..dim {
        let own = pool[component];
        pool[dim + component] = own;
        pool[2 * dim + component] = 2 * own;
        pool[3 * dim + component] = -own;
        pool[4 * dim + component] = 0;
        pool[5 * dim + component] = 3 * own;
    }
    pool
}

#[test]
fn the_search_equals_the_naive_one_whatever_comes_goes_or_comes_late() {
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    let dims = prop::sample::select(vec![1usize, 2, 4, 5, 33, 64]);
    let found_at_most = prop::sample::select(vec![1usize, 3, 50, 255]);
    proptest!(config, |(steps in steps(), dim in dims, k in found_at_most)| {
        let pool = pool(dim);
        let vector = |index: usize| pool[index * dim..(index + 1) * dim].to_vec();
        let mut block = Block::new(dim).unwrap();
        let (mut history, mut start) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Push(events) => for event in events {
                    let vector = event.map(vector);
                    prop_assert_eq!(block.push(vector.as_deref()).unwrap(), history.len() as u64);
                    history.push(vector);
                },
                Step::Expire(events) => {
                    start = (start + events).min(history.len());
                    block.expire(start as u64);
                }
                Step::Patch(back, index) => if let Some(event) = history.len().checked_sub(back + 1) {
                    let stands = block.patch(event as u64, &vector(index)).unwrap();
                    prop_assert_eq!(stands, event >= start);
                    if stands {
                        history[event] = Some(vector(index));
                    }
                },
            }
            prop_assert_eq!((block.start(), block.end()), (start as u64, history.len() as u64));
            prop_assert_eq!(search_all(&block, &pool, k), naive(&history[start..], &pool, dim, k));
        }
    });
}

#[test]
fn long_histories_equal_the_naive_search() {
    let mut random = random(3);
    for (dim, events, most) in [(64, 5_000, 127), (64, 3_000, 2), (512, 1_500, 127), (130, 1_025, 50)] {
        let pool = vectors(&mut random, events, dim, most);
        let history: Vec<_> = pool.chunks_exact(dim).map(|vector| Some(vector.to_vec())).collect();
        let candidates = vectors(&mut random, 70, dim, most);
        let mut block = block_of(&history, dim);
        assert_eq!(search_all(&block, &candidates, 50), naive(&history, &candidates, dim, 50));
        block.expire(1_030);
        assert_eq!(search_all(&block, &candidates, 50), naive(&history[1_030.min(events)..], &candidates, dim, 50));
    }
}

/// Lists that grow to their limit again and again: every event is more similar than all before it, or less.
#[test]
fn histories_in_order_of_similarity_equal_the_naive_search() {
    let mut history: Vec<_> = (0..4_000).map(|step| Some(vec![100, (step / 40) as i8])).collect();
    for _ in 0..2 {
        assert_eq!(search_all(&block_of(&history, 2), &[1, 0], 50), naive(&history, &[1, 0], 2, 50));
        history.reverse();
    }
}

#[test]
fn a_candidate_finds_the_same_whoever_stands_beside_it_and_on_any_number_of_threads() {
    let mut random = random(4);
    let vectors = vectors(&mut random, 9_000, 16, 127);
    let history: Vec<_> = vectors.chunks_exact(16).map(|vector| Some(vector.to_vec())).collect();
    let (block, candidates) = (block_of(&history, 16), &vectors[..1_000 * 16]);
    let pool = |threads: usize| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let one = pool(1).install(|| search(&block, candidates, 20).unwrap());
    assert_eq!(pool(3).install(|| search(&block, candidates, 20).unwrap()), one);
    for candidate in [0, 7, 8, 63, 64, 999] {
        let own = search(&block, &candidates[candidate * 16..][..16], 20).unwrap();
        let range = one.offsets[candidate] as usize..one.offsets[candidate + 1] as usize;
        assert_eq!(own.ages, one.ages[range.clone()]);
        assert_eq!(own.similarities, one.similarities[range]);
    }
}

#[test]
fn tiers_count_what_was_found_and_the_newest_fifty() {
    let mut random = random(5);
    for (dim, events) in [(3, 7), (64, 50), (20, 1_050), (20, 2_000)] {
        let pool = vectors(&mut random, events, dim, 9);
        let unknown = |index: usize| index.is_multiple_of(5);
        let history: Vec<_> =
            pool.chunks_exact(dim).enumerate().map(|(i, vector)| (!unknown(i)).then(|| vector.to_vec())).collect();
        let candidates = vectors(&mut random, 21, dim, 9);
        for expired in [0, 3, events.saturating_sub(30), events] {
            let mut block = block_of(&history, dim);
            block.expire(expired as u64);
            for isa in Isa::all() {
                let found = search(&block, &candidates, 40).unwrap();
                let mut tiers = vec![1; 3];
                super::super::tiers::tiers(isa, &block, &candidates, &found, &mut tiers);
                let newest = &history[expired.max(events.saturating_sub(NEWEST))..];
                for (index, own) in candidates.chunks_exact(dim).enumerate() {
                    let mut expected = [0; 2 * TIERS];
                    for place in found.offsets[index]..found.offsets[index + 1] {
                        expected[usize::from(tier_of(found.similarities[place as usize]))] += 1;
                    }
                    for event in newest {
                        let zero = vec![0; dim];
                        let event = event.as_ref().unwrap_or(&zero);
                        let squares = product(own, own) * product(event, event);
                        let cosine =
                            if squares == 0 { 0.0 } else { product(own, event) as f64 / (squares as f64).sqrt() };
                        expected[TIERS + usize::from(tier_of(cosine as f32))] += 1;
                    }
                    assert_eq!(tiers[index * 2 * TIERS..][..2 * TIERS], expected);
                }
            }
        }
    }
}

#[test]
fn misfits_are_refused() {
    assert!(Block::new(0).unwrap_err().to_string().contains("muse.dim is 0"));
    assert!(Block::new(513).unwrap_err().to_string().contains("512"));
    let mut block = Block::new(2).unwrap();
    assert!(block.push(Some(&[1])).unwrap_err().to_string().contains("1 components, not 2"));
    assert!(block.push(Some(&[1, -128])).unwrap_err().to_string().contains("-128"));
    assert_eq!(block.end(), 0);
    block.push(None).unwrap();
    assert!(block.patch(1, &[1, 1]).unwrap_err().to_string().contains("event 1 has not come"));
    assert!(search(&block, &[1, 2, 3], 5).unwrap_err().to_string().contains("3 components"));
    assert!(search(&block, &[1, 2], 0).unwrap_err().to_string().contains("0 events"));
    assert!(search(&block, &[1, 2], 256).unwrap_err().to_string().contains("255"));
    let mut gsu = Gsu::new(&Device::Cpu, Config { dim: 2, chunks: 0 }).unwrap();
    let error = gsu.tiers(&block, &[1, 2], &Found::default(), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("found for 0"), "{error}");
    assert!(search(&block, &[1, 2], 5).unwrap().ages.is_empty());
    assert_eq!(search(&block, &[], 5).unwrap().offsets, [0]);
}
