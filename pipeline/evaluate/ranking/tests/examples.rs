//! Requests as a model takes them: what was found stands among the request's own behaviors.

use shaders::ranking::Long;

use super::world::world;
use crate::evaluate::ranking::batch::{Batches, embedding_rows};
use crate::evaluate::ranking::interest;
use crate::evaluate::ranking::keys::{Keys, Source};
use crate::evaluate::ranking::log::Request;
use crate::evaluate::ranking::replay::Replay;

#[test]
fn what_was_found_stands_among_the_behaviors() {
    let log = world(20, 150, 4, 9);
    let keys = Keys::new(&log, Source::Topic);
    let replay = Replay::new(&log, &keys, 120);
    let rows = embedding_rows(&log);
    let batches = Batches { log: &log, keys: &keys, replay: &replay, rows: &rows, history_max: 120 };
    let muse = interest::muse(&log, &keys, 120).unwrap();
    let requests: Vec<&Request> = log.requests.iter().skip(7).step_by(5).collect();
    let examples = batches.examples(Long::Muse, &muse, &requests);
    let range = |offsets: &[u32], at: usize| offsets[at] as usize..offsets[at + 1] as usize;
    let mut at = 0;
    for (number, request) in requests.iter().enumerate() {
        let history = log.history(request, 120);
        let own = range(&examples.behavior_offsets, number);
        let ages = &examples.behavior_ages[own.clone()];
        assert!(ages.is_sorted() && ages[..50] == (0..50).collect::<Vec<u32>>()[..], "the newest fifty come first");
        for (behavior, age) in own.clone().zip(ages) {
            let there = history[history.len() - 1 - *age as usize];
            assert_eq!(examples.behavior_keys[behavior * keys.dim..][..keys.dim], *keys.at(0).of(there.item));
            assert_eq!(examples.behavior_actions[behavior], there.action);
        }
        for candidate in range(&examples.candidate_offsets, number) {
            let place = request.candidates.start + candidate - examples.candidate_offsets[number] as usize;
            let item = log.candidates[place];
            assert_eq!(examples.candidate_rows[candidate], rows[item as usize]);
            assert_eq!(examples.labels[candidate] == 1.0, log.labels[place]);
            let found = range(&examples.found_offsets, at);
            let expected = &muse.found_ages[muse.found_offsets[place]..muse.found_offsets[place + 1]];
            let places = examples.found_behaviors[found.clone()].iter();
            let found_ages: Vec<u32> = places.map(|place| ages[*place as usize]).collect();
            assert_eq!(found_ages, expected);
            assert_eq!(found_ages.len(), 50, "fifty of more than fifty are found");
            // The similarity is that of the behavior that it stands for.
            for (age, similarity) in found_ages.iter().zip(&examples.found_similarities[found]) {
                let other = history[history.len() - 1 - *age as usize].item;
                let cosine = crate::evaluate::ranking::keys::dot(keys.at(0).of(item), keys.at(0).of(other));
                assert!((cosine - similarity).abs() < 0.03, "{cosine} and {similarity}");
            }
            at += 1;
        }
    }
    assert_eq!(at, examples.candidates());
    let all = batches.examples(Long::All, &interest::Interest::default(), &requests);
    let behaviors: usize = requests.iter().map(|request| request.behaviors.min(120)).sum();
    assert_eq!((all.behavior_ages.len(), all.found_offsets.len()), (behaviors, 0));
}

#[test]
fn rare_items_are_unknown() {
    let log = world(20, 150, 4, 9);
    let rows = embedding_rows(&log);
    let mut candidates = vec![0; rows.len()];
    for request in log.of_part(crate::evaluate::ranking::Part::Train) {
        log.candidates[request.candidates.clone()].iter().for_each(|item| candidates[*item as usize] += 1);
    }
    assert!(rows.iter().zip(&candidates).all(|(row, n)| (*row > 0) == (*n >= 5)));
    let mut known: Vec<u32> = rows.into_iter().filter(|row| *row > 0).collect();
    known.sort_unstable();
    assert_eq!(known, (1..=known.len() as u32).collect::<Vec<_>>(), "rows are dense");
}
