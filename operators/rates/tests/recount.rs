//! Counters equal a naive recount of the log, whatever is forgotten on the way.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::rates::{ItemCounts, Limits, Rates, RatesError, UserRates};

/// A record: who, what, which item.
#[derive(Clone, Copy, Debug)]
enum Record {
    Behavior(usize, Option<u64>),
    Shown(usize, u64),
    Clicked(usize, u64),
}

const USERS: usize = 4;

fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (0..USERS, 0..12_u64, 0..7_u8).prop_map(|(user, item, kind)| match kind {
        0 => Record::Behavior(user, None),
        1..=3 => Record::Behavior(user, Some(item)),
        4 | 5 => Record::Shown(user, item),
        _ => Record::Clicked(user, item),
    });
    prop::collection::vec(record, 0..200)
}

fn play(rates: &mut Rates, users: &mut [UserRates], records: &[Record]) {
    for record in records {
        match *record {
            Record::Behavior(user, item) => rates.behavior(&mut users[user], item),
            Record::Shown(user, item) => rates.shown(&mut users[user], item),
            Record::Clicked(user, item) => rates.clicked(&mut users[user], item),
        }
    }
}

/// What was touched by each record, in order; and all counts ever.
#[derive(Default)]
struct Naive {
    items: HashMap<u64, ItemCounts>,
    pairs: HashMap<(u64, u64), u32>,
    users: [UserRates; USERS],
}

impl Naive {
    fn count(records: &[Record]) -> Self {
        let mut naive = Self::default();
        for user in 0..USERS {
            let own = records.iter().filter_map(|record| match *record {
                Record::Behavior(of, item) if of == user => Some(item),
                _ => None,
            });
            let all: Vec<Option<u64>> = own.collect();
            let items: Vec<u64> = all.iter().copied().flatten().collect();
            for item in &items {
                naive.items.entry(*item).or_default().behaviors += 1;
            }
            for pair in items.windows(2) {
                *naive.pairs.entry((pair[0], pair[1])).or_default() += 1;
                naive.items.entry(pair[0]).or_default().followed += 1;
            }
            let of = &mut naive.users[user];
            (of.behaviors, of.last_item) = (all.len() as u32, items.last().copied());
        }
        for record in records {
            match *record {
                Record::Shown(user, item) => {
                    naive.items.entry(item).or_default().shown += 1;
                    naive.users[user].shown += 1;
                }
                Record::Clicked(user, item) => {
                    naive.items.entry(item).or_default().clicked += 1;
                    naive.users[user].clicked += 1;
                }
                Record::Behavior(..) => {}
            }
        }
        naive
    }
}

proptest! {
    #[test]
    fn counters_equal_a_recount(records in records()) {
        let mut rates = Rates::new(Limits::default());
        let mut users = [UserRates::default(); USERS];
        play(&mut rates, &mut users, &records);
        let naive = Naive::count(&records);
        prop_assert_eq!(users, naive.users);
        for item in 0..12 {
            prop_assert_eq!(rates.item(item), naive.items.get(&item).copied().unwrap_or_default());
            for to in 0..12 {
                let transitions = naive.pairs.get(&(item, to)).copied().unwrap_or(0);
                prop_assert_eq!(rates.transition(item, to), transitions);
            }
        }
        prop_assert_eq!(rates.items(), naive.items.len());
        prop_assert_eq!(rates.transitions(), naive.pairs.len());
        let sum = |count: fn(&ItemCounts) -> u32| naive.items.values().map(|item| u64::from(count(item))).sum::<u64>();
        let totals = rates.totals();
        prop_assert_eq!(totals.behaviors, sum(|item| item.behaviors));
        prop_assert_eq!((totals.shown, totals.clicked), (sum(|item| item.shown), sum(|item| item.clicked)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_goes_on_from_bytes(records in records(), cut in 0..200_usize, max in 2..9_usize) {
        let limits = Limits { items_max: max, transitions_max: max };
        let mut whole = Rates::new(limits);
        let mut users = [UserRates::default(); USERS];
        let cut = cut.min(records.len());
        play(&mut whole, &mut users, &records[..cut]);
        let mut second = Rates::from_bytes(limits, &whole.to_bytes()).unwrap();
        let mut second_users = users;
        for (rates, users) in [(&mut whole, &mut users), (&mut second, &mut second_users)] {
            for record in &records[cut..] {
                play(rates, users, std::slice::from_ref(record));
                prop_assert!(rates.items() <= max.max(2) && rates.transitions() <= max.max(2));
            }
        }
        prop_assert_eq!(whole.to_bytes(), second.to_bytes());
        prop_assert_eq!(users, second_users);
    }

    /// An item that was touched more recently than max / 2 others has all its counts.
    #[test]
    fn what_is_touched_is_kept(others in prop::collection::vec(100..200_u64, 0..100)) {
        let mut rates = Rates::new(Limits { items_max: 8, transitions_max: 8 });
        let mut user = UserRates::default();
        for (n, three) in others.chunks(3).enumerate() {
            rates.shown(&mut user, 7);
            for other in three {
                rates.shown(&mut user, *other);
            }
            prop_assert_eq!(rates.item(7).shown as usize, n + 1);
        }
    }
}

#[test]
fn damaged_bytes_are_refused() {
    let mut rates = Rates::new(Limits::default());
    rates.behavior(&mut UserRates::default(), Some(3));
    let bytes = rates.to_bytes();
    let read = |bytes: &[u8]| Rates::from_bytes(Limits::default(), bytes).err();
    assert_eq!(read(&bytes), None);
    assert_eq!(read(b"wsrates0"), Some(RatesError::Magic));
    assert_eq!(read(&bytes[..20]), Some(RatesError::Length(56, 12)));
    assert_eq!(read(&bytes[..bytes.len() - 1]), Some(RatesError::Length(80, 79)));
    let mut many = bytes.clone();
    many[8 + 24..8 + 32].fill(0xff);
    assert!(matches!(read(&many), Some(RatesError::Length(..))), "a count that cannot be is no allocation");
}
