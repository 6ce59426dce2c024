//! What comes at a request's time or later changes nothing that the request is told.

use proptest::prelude::*;

use super::world::Dice;
use crate::evaluate::ranking::interest::{self, Hash, Interest};
use crate::evaluate::ranking::keys::{Keys, Source};
use crate::evaluate::ranking::log::{Behavior, Items, Labelled, Log, Mark};
use crate::evaluate::ranking::replay::Replay;

const ITEMS: u32 = 12;
const DIM: usize = 8;

#[derive(Clone)]
struct Records {
    behaviors: Vec<(u32, Behavior)>,
    requests: Vec<Labelled>,
    marks: Vec<Mark>,
}

impl Records {
    fn new(dice: &mut Dice, count: u64, span: std::ops::Range<i64>) -> Self {
        let time = |dice: &mut Dice| span.start + dice.below((span.end - span.start) as u64) as i64;
        let mut records = Self { behaviors: Vec::new(), requests: Vec::new(), marks: Vec::new() };
        for _ in 0..count {
            let (user, item) = (dice.below(3) as u32, dice.below(u64::from(ITEMS)) as u32);
            records.behaviors.push((user, Behavior { time_ms: time(dice), item, action: 1 }));
            let (user, item) = (dice.below(3) as u32, dice.below(u64::from(ITEMS)) as u32);
            records.marks.push(Mark { time_ms: time(dice), user, item, clicked: dice.below(2) == 0 });
        }
        records
    }

    fn log(&self) -> Log {
        let mut dice = Dice::new(1);
        let items = Items {
            names: (0..ITEMS).map(|item| item.to_string().into()).collect(),
            categories: (0..ITEMS).map(|item| item % 4).collect(),
            dim: DIM,
            vectors: (0..ITEMS as usize * DIM).map(|_| dice.below(100) as f32 / 100.0 - 0.5).collect(),
        };
        let Self { behaviors, requests, marks } = self.clone();
        Log::new(items, 1, vec!["price".into()], behaviors, requests, marks).unwrap()
    }
}

/// All that the first `n` candidates are told.
fn told(log: &Log, source: Source, n: usize) -> Vec<u32> {
    let keys = Keys::new(log, source);
    let replay = Replay::new(log, &keys, 20);
    let width = replay.names.len();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let mut told = bits(&replay.inputs[..n * width]);
    told.extend(replay.cosines[..n].iter().flat_map(|cosines| bits(cosines)));
    let found = |interest: &Interest| {
        let end = interest.found_offsets[n];
        let mut found = bits(&interest.found_similarities[..end]);
        found.extend(&interest.found_ages[..end]);
        found
    };
    let hash = Hash { bits: 12, group_bits: 3 };
    told.extend(bits(&interest::mean(log, &keys, 20).unwrap().reads[..n * keys.dim]));
    told.extend(bits(&interest::sdim(log, &keys, 20, hash).unwrap().reads[..n * keys.dim]));
    told.extend(found(&interest::hard(log, &keys, 20).unwrap()));
    let muse = interest::muse(log, &keys, 20).unwrap();
    told.extend(found(&muse));
    told.extend(muse.tiers[..n * interest::TIERS].iter().map(|count| u32::from(*count)));
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_future_changes_nothing(seed in any::<u64>(), from in 0..60_i64) {
        let mut dice = Dice::new(seed);
        let mut past = Records::new(&mut dice, 80, 0..60);
        for n in 0..60 {
            let items: Vec<u32> = (0..3).map(|_| dice.below(u64::from(ITEMS)) as u32).collect();
            let features = vec![items.iter().map(|item| *item as f32).collect()];
            let (user, labels) = (dice.below(3) as u32, vec![true, false, false]);
            past.requests.push(Labelled { user, time_ms: n, items, labels, features });
        }
        let mut with_future = past.clone();
        let future = Records::new(&mut dice, 40, from..70);
        with_future.behaviors.extend(future.behaviors);
        with_future.marks.extend(future.marks);
        let (past, with_future) = (past.log(), with_future.log());
        let before = past.requests.iter().take_while(|request| request.time_ms <= from);
        let n = before.map(|request| request.candidates.end).max().unwrap_or(0);
        for source in [Source::Topic, Source::CoOccurrence] {
            prop_assert_eq!(told(&past, source, n), told(&with_future, source, n));
        }
    }
}

/// Counters, counted again for each request from all records before it.
#[test]
fn counters_are_those_of_everything_strictly_before() {
    let mut dice = Dice::new(4);
    let mut records = Records::new(&mut dice, 200, 0..50);
    for n in 0..50 {
        let items: Vec<u32> = (0..4).map(|_| dice.below(u64::from(ITEMS)) as u32).collect();
        let labels = vec![true, false, false, false];
        let user = dice.below(3) as u32;
        records.requests.push(Labelled { user, time_ms: n, items, labels, features: Vec::new() });
    }
    let log = records.log();
    let replay = Replay::new(&log, &Keys::new(&log, Source::Topic), 1000);
    let input = |name: &str| replay.input(name);
    let (popularity, clicks, shown, age) = (input("popularity"), input("clicks"), input("shown"), input("repeat_age"));
    for request in &log.requests {
        for place in request.candidates.clone() {
            let item = log.candidates[place];
            let behaviors =
                records.behaviors.iter().filter(|(_, act)| act.item == item && act.time_ms < request.time_ms);
            let mark = |clicked: bool| {
                let of = |mark: &&Mark| mark.item == item && mark.clicked == clicked && mark.time_ms < request.time_ms;
                records.marks.iter().filter(of).count()
            };
            let earlier = log.requests.iter().filter(|earlier| earlier.time_ms < request.time_ms);
            let asked = earlier.flat_map(|earlier| &log.candidates[earlier.candidates.clone()]);
            let shown_before = mark(false) + asked.filter(|other| **other == item).count();
            let near = |value: f32, count: usize| (f64::from(value) - (count as f64).ln_1p()).abs() < 1e-5;
            assert!(near(popularity[place], behaviors.count()), "popularity of candidate {place}");
            assert!(near(clicks[place], mark(true)), "clicks of candidate {place}");
            assert!(near(shown[place], shown_before), "candidate {place} was shown {shown_before} times");
            let history = log.history(request, 1000).iter().rev().position(|act| act.item == item);
            let expected = history.map_or(0.0, |age| 1.0 / (1.0 + age as f32));
            assert_eq!(age[place], expected, "repeat of candidate {place}");
        }
    }
}
