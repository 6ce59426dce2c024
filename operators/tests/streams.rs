//! Random streams, cut in random ways, against the reference.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::{event::EventColumns, output::Output};
use serde_json::Value;

use super::{
    reference::{Expected, Span, expected, views},
    stream::{Cuts, Out, Row, Sent, VIEWS, batch, fold, run},
};
use crate::{EmitMode, Views};

/// One step of the generator: user, kind, seconds since the last, delay, and what else the row has.
pub(super) type Step = ((u8, u8, u16, u16), (Option<i8>, u8, u8, u8), (u8, u16, bool));

pub(super) fn step() -> impl Strategy<Value = Step> {
    let what =
        (0..5u8, 0..3u8, prop_oneof![9 => 0..90u16, 1 => 90..1500u16], prop_oneof![3 => Just(0), 1 => 0..900u16]);
    let rest = (proptest::option::of(-8..8i8), 0..5u8, 0..6u8, 0..4u8);
    (what, rest, (0..12u8, 0..600u16, proptest::bool::weighted(0.2)))
}

/// The rows of steps: disorder, ties, duplicates, stamps and minimums that lag at random.
pub(super) fn rows(steps: &[Step]) -> Vec<Row> {
    const KINDS: [&str; 3] = ["click", "view", "buy"];
    const CATEGORIES: [Option<&str>; 4] =
        [None, Some("food"), Some("a category longer than a view"), Some("café \"x\"")];
    let mut now = 1_700_000_000_000i64;
    let (mut minimums, mut rows) = ([i64::MIN; 3], Vec::new());
    for (at, ((user, kind, gap, delay), (value, item, other, category), (id, lag, moves))) in steps.iter().enumerate() {
        now += i64::from(*gap) * 1000;
        let task = usize::from(user % 3);
        if *moves {
            minimums[task] = minimums[task].max(now - i64::from(*lag) * 1000);
        }
        rows.push(Row {
            task: task as i32,
            user: if *user == 4 { "a user with an id longer than a view".into() } else { format!("u{user}") },
            kind: KINDS[usize::from(*kind)],
            time: now - i64::from(*delay) * 1000,
            event_id: (*id < 8).then(|| format!("e{}", if *id < 2 { 0 } else { at })),
            item_id: (*item > 0).then(|| format!("i{item}")),
            other_id: (*other > 3).then(|| format!("o{other}")),
            role: match other {
                4 => Some("source"),
                5 => Some("target"),
                _ => None,
            },
            value: value.map(|value| f64::from(value) * 0.25),
            category: CATEGORIES[usize::from(*category)],
            stamp: if lag % 7 == 0 { i64::MIN } else { now - i64::from(*lag) * 1000 - 1 },
            offset: at as i64,
            watermark: minimums[task],
        });
    }
    rows
}

pub(super) fn cuts() -> impl Strategy<Value = Cuts> {
    (proptest::collection::vec(any::<u8>(), 1..20), prop_oneof![Just(1), Just(7), Just(100_000)])
        .prop_map(|(steps, batch_rows)| Cuts { steps, batch_rows })
}

/// Equal, floats to 1e-9.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (x, y) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            a == b || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn check_windows(sent: &[Sent], expected: &Expected) -> Result<(), TestCaseError> {
    let names = views();
    let mut left: Vec<&(usize, Value)> = expected.windows.iter().collect();
    for record in sent {
        let Output::View(view) = record.output else { continue };
        if !matches!(names[usize::from(view)].span, Span::Hop(..) | Span::Session(_)) {
            continue;
        }
        let value = record.value.as_ref().unwrap();
        let at = left.iter().position(|(of, other)| *of == usize::from(view) && same(value, other));
        prop_assert!(at.is_some(), "view {view}: {value} should not be there; left {left:?}");
        left.swap_remove(at.unwrap());
    }
    prop_assert!(left.is_empty(), "missing: {left:?}");
    Ok(())
}

/// The last value of each key.
fn last(sent: &[Sent]) -> BTreeMap<(u16, String), Value> {
    let mut last = BTreeMap::new();
    for record in sent {
        let Output::View(view) = record.output else { continue };
        match &record.value {
            Some(value) => last.insert((view, record.key.clone()), value.clone()),
            None => {
                let before = last.remove(&(view, record.key.clone()));
                assert!(before.is_some(), "a value that was never given is taken back: {record:?}");
                before
            }
        };
    }
    last
}

fn check_last(sent: &[Sent], expected: &Expected) -> Result<(), TestCaseError> {
    let mut of_user: BTreeMap<(usize, &str), &BTreeMap<String, Value>> = BTreeMap::new();
    for (view, user, records) in &expected.values {
        of_user.insert((*view, user), records);
    }
    let plain = views();
    let is_newest = |view: &u16| !matches!(plain[usize::from(*view)].span, Span::Hop(..) | Span::Session(_));
    let got: BTreeMap<_, _> = last(sent).into_iter().filter(|((view, _), _)| is_newest(view)).collect();
    let want: BTreeMap<_, _> = of_user
        .iter()
        .flat_map(|((view, _), records)| records.iter().map(|(key, value)| ((*view as u16, key.clone()), value)))
        .collect();
    for (key, value) in &want {
        let got = got.get(key);
        prop_assert!(got.is_some_and(|got| same(got, value)), "{key:?} is {got:?}, should be {value}");
    }
    prop_assert_eq!(
        got.len(),
        want.len(),
        "too many: {:?}",
        got.keys().filter(|k| !want.contains_key(k)).collect::<Vec<_>>()
    );
    Ok(())
}

/// After every row: the values in order.
fn check_each(sent: &[Sent], expected: &Expected) -> Result<(), TestCaseError> {
    let mut got: BTreeMap<(usize, &str), Vec<&Value>> = BTreeMap::new();
    for record in sent {
        if let (Output::View(view), Some(value)) = (record.output, &record.value) {
            got.entry((usize::from(view), value["user_id"].as_str().unwrap())).or_default().push(value);
        }
    }
    let mut want: BTreeMap<(usize, &str), Vec<&Value>> = BTreeMap::new();
    for (view, user, records) in &expected.values {
        want.entry((*view, user)).or_default().extend(records.values());
    }
    for (key, want) in want {
        let empty = Vec::new();
        let got = got.get(&key).unwrap_or(&empty);
        prop_assert_eq!(got.len(), want.len(), "{:?}: {:?} should be {:?}", key, got, want);
        // The keys of one row come in the order of their bytes as rows, the reference's in that of their texts.
        for (at, want) in want.iter().enumerate() {
            prop_assert!(got.iter().any(|got| same(got, want)), "{key:?} record {at}: {want} is missing in {got:?}");
            if !matches!(key.0, 11 | 14) {
                prop_assert!(same(got[at], want), "{key:?} record {at} is {}, should be {want}", got[at]);
            }
        }
    }
    Ok(())
}

fn check_late(sent: &[Sent], expected: &Expected, names: &[String]) -> Result<(), TestCaseError> {
    let late: BTreeMap<i64, Vec<&str>> = sent
        .iter()
        .filter(|record| record.output == Output::Late)
        .map(|record| {
            let value = record.value.as_ref().unwrap();
            let views = value["views"].as_array().unwrap().iter().map(|view| view.as_str().unwrap()).collect();
            (value["offset"].as_i64().unwrap(), views)
        })
        .collect();
    let want: BTreeMap<i64, Vec<&str>> = expected
        .late
        .iter()
        .map(|(offset, views)| (*offset, views.iter().map(|view| names[*view].as_str()).collect()))
        .collect();
    prop_assert_eq!(late, want);
    Ok(())
}

pub(super) const HISTORY: usize = 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every window, in both modes and every cutting, is the reference's.
    #[test]
    fn streams_are_the_references(steps in proptest::collection::vec(step(), 1..90), cuts in cuts()) {
        let rows = rows(&steps);
        let want = expected(&rows, HISTORY, 4);
        for emit in [EmitMode::Batch, EmitMode::Event] {
            let mut fold = fold(VIEWS, emit, cuts.batch_rows, HISTORY);
            let sent = run(&mut fold, &rows, &cuts);
            check_windows(&sent, &want)?;
            check_last(&sent, &want)?;
            check_late(&sent, &want, &view_names())?;
            if emit == EmitMode::Event {
                check_each(&sent, &want)?;
            }
            let counters = fold.counters();
            prop_assert_eq!(counters.duplicates, want.duplicates);
            prop_assert_eq!(counters.rows + counters.duplicates, rows.len() as u64);
            prop_assert_eq!(counters.late, want.late.len() as u64);
            prop_assert_eq!(counters.dead_letters, 0);
        }
    }

    /// What is sent to each partition, record by record, does not depend on how the stream is cut.
    #[test]
    fn cutting_changes_nothing(steps in proptest::collection::vec(step(), 1..120), a in cuts(), b in cuts()) {
        let rows = rows(&steps);
        let per_partition = |cuts: &Cuts| {
            let sent = run(&mut fold(VIEWS, EmitMode::Event, cuts.batch_rows, HISTORY), &rows, cuts);
            let mut by: BTreeMap<(Output, i32), Vec<Sent>> = BTreeMap::new();
            sent.into_iter().for_each(|record| by.entry((record.output, record.partition)).or_default().push(record));
            by
        };
        let (a, b) = (per_partition(&a), per_partition(&b));
        prop_assert!(a.keys().eq(b.keys()));
        for (place, a) in a {
            prop_assert_eq!(a.len(), b[&place].len());
            for (a, b) in a.iter().zip(&b[&place]) {
                prop_assert!(a.key == b.key, "{place:?}: {a:?} and {b:?}");
                let is_same = a.value.as_ref().zip(b.value.as_ref()).is_none_or(|(a, b)| same(a, b));
                prop_assert!(is_same && a.value.is_some() == b.value.is_some(), "{place:?}: {a:?} and {b:?}");
            }
        }
    }

    /// A task that is folded muted, and then speaks, says what it would have said.
    #[test]
    fn muted_rows_are_only_not_spoken_of(steps in proptest::collection::vec(step(), 2..80), cuts in cuts()) {
        let rows = rows(&steps);
        let (first, second) = rows.split_at(rows.len() / 2);
        for emit in [EmitMode::Batch, EmitMode::Event] {
            let said = |is_muted: bool| {
                let mut fold = fold(VIEWS, emit, cuts.batch_rows, HISTORY);
                (0..3).for_each(|task| fold.set_muted(task, is_muted));
                let mut out = Out::default();
                for row in first {
                    let rows = batch(std::slice::from_ref(row));
                    fold.push(row.task, &"events".into(), &rows, row.watermark, &mut out).unwrap();
                    fold.advance(row.task, row.watermark);
                }
                fold.end_transaction(&mut out).unwrap();
                fold.release().unwrap();
                assert!(!is_muted || out.0.is_empty());
                (0..3).for_each(|task| fold.set_muted(task, false));
                run(&mut fold, second, &cuts)
            };
            prop_assert_eq!(said(true), said(false));
        }
    }
}

fn view_names() -> Vec<String> {
    Views::compile(VIEWS, &EventColumns::default()).unwrap().names()
}
