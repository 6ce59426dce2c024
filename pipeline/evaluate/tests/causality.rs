//! No forecast knows what came after its issue.

use super::worlds;
use crate::evaluate::baselines::all;
use crate::evaluate::{Event, Outcome, Scores, Stream, prequential};

const EVENTS: usize = 6000;

fn scores(events: &[Event], kinds: usize, number: usize) -> Scores {
    let stream = Stream::new(events.to_vec(), kinds).unwrap();
    prequential(&stream, all()[number].as_mut()).unwrap()
}

#[test]
fn later_events_change_no_earlier_score() {
    let process = worlds::hawkes();
    let (events, kinds) = (worlds::stream(&process, EVENTS).whole().events().to_vec(), process.kinds());
    let cut = EVENTS * 7 / 10 + 33;
    let mut other = events.clone();
    for event in &mut other[cut..] {
        event.kind = (event.kind + 1) % kinds as u32;
        event.time_ms += (event.time_ms - events[cut - 1].time_ms) * 3;
    }
    for (number, model) in all().iter().enumerate() {
        let (before, after) = (scores(&events, kinds, number), scores(&other, kinds, number));
        let same = before.positions.partition_point(|position| *position < cut);
        assert_eq!(before.each[..same], after.each[..same], "{}", model.name());
        assert_ne!(before.each[same..], after.each[same..], "{}", model.name());
    }
}

#[test]
fn what_happens_in_the_gap_changes_no_score() {
    let process = worlds::hawkes();
    let stream = worlds::stream(&process, EVENTS);
    let (past, kinds) = (stream.whole(), process.kinds());
    // The longest gap: many blocks are learned in it.
    let span = |i: &usize| i - past.previous(*i).unwrap().max(stream.split().scored);
    let target = past.targets(stream.split().scored..EVENTS).max_by_key(span).unwrap();
    let issued = past.previous(target).unwrap();
    assert!(span(&target) > 600, "the gap is only {} events long", span(&target));
    let events = past.events().to_vec();
    let mut other = events.clone();
    for position in issued.max(stream.split().scored) + 1..target {
        other[position].kind = (events[position].kind + 1) % kinds as u32;
        // To the event after it, which keeps the order.
        other[position].time_ms = events[position + 1].time_ms;
    }
    other[target] = events[target];
    for (number, model) in all().iter().enumerate() {
        let (before, after) = (scores(&events, kinds, number), scores(&other, kinds, number));
        let at = |scores: &Scores, time_ms: i64, user: u32| {
            let stream = Stream::new(if scores == &before { events.clone() } else { other.clone() }, kinds).unwrap();
            let position = stream.whole().events().iter().position(|e| e.time_ms == time_ms && e.user == user).unwrap();
            scores.each[scores.positions.binary_search(&position).unwrap()]
        };
        let Event { user, time_ms, .. } = events[target];
        assert_eq!(at(&before, time_ms, user), at(&after, time_ms, user), "{}", model.name());
        assert_ne!(before.each.last(), after.each.last(), "{}: the gap was learned from", model.name());
    }
}

#[test]
fn batches_and_their_order_change_no_forecast() {
    let process = worlds::hawkes();
    let stream = worlds::stream(&process, EVENTS);
    let split = stream.split();
    let past = stream.until(split.scored);
    let targets: Vec<usize> = past.targets(split.warm_up..split.scored).step_by(7).collect();
    let after: Vec<usize> = targets.iter().map(|target| past.previous(*target).unwrap()).collect();
    for mut model in all() {
        model.fit(past).unwrap();
        let outcomes: Vec<Outcome> = targets.iter().map(|target| Outcome::at(past, *target)).collect();
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        model.issue(past, &after).unwrap();
        model.score(&outcomes, &mut together).unwrap();
        for (after, outcome) in after.iter().zip(&outcomes).rev() {
            model.issue(past.until(after + 1), &[*after]).unwrap();
            model.score(&[*outcome], &mut alone).unwrap();
        }
        alone.reverse();
        assert_eq!(together, alone, "{}", model.name());
    }
}
