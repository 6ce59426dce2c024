//! A stream's order, its links, its split, and its steps.

use crate::evaluate::prequential::{Step, steps};
use crate::evaluate::{EvaluateError, Event, Past, Stream};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Events with many ties.
fn events(seed: u64, n: usize) -> Vec<Event> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |n: u32| random.next_u32() % n;
    (0..n).map(|_| Event { user: below(7), kind: below(3), time_ms: i64::from(below(40)) }).collect()
}

#[test]
fn order_is_time_then_user_then_as_given() {
    let given = events(1, 200);
    let mut expected: Vec<(i64, u32, usize)> =
        given.iter().enumerate().map(|(i, event)| (event.time_ms, event.user, i)).collect();
    expected.sort_unstable();
    let stream = Stream::new(given.clone(), 3).unwrap();
    assert_eq!(stream.whole().events(), expected.iter().map(|(.., i)| given[*i]).collect::<Vec<_>>());
    assert_eq!((stream.split().warm_up, stream.split().scored, stream.len()), (80, 100, 200));
}

#[test]
fn links_are_those_of_a_search() {
    let stream = Stream::new(events(2, 120), 3).unwrap();
    let all = stream.whole().events();
    for past in [stream.whole(), stream.until(70)] {
        for i in 0..past.len() {
            let own = |range: std::ops::Range<usize>| range.filter(|j| all[*j].user == all[i].user);
            assert_eq!(past.previous(i), own(0..i).next_back());
            assert_eq!(past.next(i), own(i + 1..past.len()).next());
            let history: Vec<usize> = past.history(i).iter().map(|j| *j as usize).collect();
            assert_eq!(history, own(0..i + 1).collect::<Vec<_>>());
            let gap = past.previous(i).map_or(0, |j| all[i].time_ms - all[j].time_ms);
            assert_eq!((past.gap_ms(i), past.gap(i)), (gap, gap.max(1) as f64 / stream.unit_ms()));
        }
        let open: Vec<usize> = (0..past.len()).filter(|i| past.next(*i).is_none()).collect();
        assert_eq!(past.open().collect::<Vec<_>>(), open);
    }
}

#[test]
fn the_unit_is_the_median_positive_gap_of_the_warm_up() {
    let stream = Stream::new(events(3, 150), 3).unwrap();
    let past = stream.until(stream.split().warm_up);
    let mut gaps: Vec<i64> = (0..past.len()).map(|i| past.gap_ms(i)).filter(|gap| *gap > 0).collect();
    gaps.sort_unstable();
    let (below, above) = (gaps[(gaps.len() - 1) / 2], gaps[gaps.len() / 2]);
    assert_eq!(stream.unit_ms(), (below + above) as f64 / 2.0);
}

/// Every target's forecast is issued after its user's previous event, before the next one is folded.
#[test]
fn steps_fold_all_and_issue_what_is_scored() {
    let stream = Stream::new(events(4, 100), 3).unwrap();
    let from = stream.split().scored;
    let past: Past<'_> = stream.whole();
    let (mut folded, mut targets) = (from, Vec::new());
    for step in steps(past, from) {
        match step {
            Step::Fold(position) => {
                assert_eq!(position, folded);
                folded += 1;
            }
            Step::Issue { after, target } => {
                assert_eq!(past.previous(target), Some(after));
                assert!(if folded == from { after < from } else { after + 1 == folded });
                targets.push(target);
            }
        }
    }
    targets.sort_unstable();
    assert_eq!(folded, past.len());
    assert_eq!(targets, past.targets(from..past.len()).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let strange = Stream::new(vec![Event { user: 1, kind: 3, time_ms: 0 }], 3);
    assert!(matches!(strange, Err(EvaluateError::Kind { position: 0, user: 1, kind: 3, kinds: 3 })));
    let strangers = (0..100).map(|user| Event { user, kind: 0, time_ms: i64::from(user) }).collect();
    let error = Stream::new(strangers, 1).unwrap_err().to_string();
    assert!(error.contains("the first 40 of 100 events"), "{error}");
    let gone = (0..100).map(|i| Event { user: if i < 40 { 0 } else { i }, kind: 0, time_ms: i64::from(i) }).collect();
    let error = Stream::new(gone, 1).unwrap_err().to_string();
    assert!(error.starts_with("the validation part of the stream (40..50 of 100 events) has no event"), "{error}");
    assert!(Stream::new(Vec::new(), 1).is_err());
}
