//! Forgotten users.

use std::sync::Arc;

use schemas::output::Output;

use super::stream::{Out, Row, batch, fold};
use crate::{EmitMode, Fold};

const SQL: &str = "
    CREATE VIEW minutes AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW ever AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();
    CREATE VIEW kinds AS SELECT user_id, type, count(*) AS n FROM events GROUP BY user_id, type, latest(9);";

fn push(fold: &mut Fold, user: &str, kind: &'static str, time: i64, out: &mut Out) {
    let topic: Arc<str> = "events".into();
    let row = Row { user: user.into(), kind, time, item_id: Some("i".into()), stamp: i64::MIN, ..Row::default() };
    fold.push(0, &topic, &batch(&[row]), i64::MIN, out).unwrap();
}

fn commit(fold: &mut Fold, out: &mut Out) {
    fold.end_transaction(out).unwrap();
    fold.release().unwrap();
}

/// View, key, and count; none is a record without a value.
fn said(out: &Out) -> Vec<(u16, String, Option<i64>)> {
    let of = |sent: &super::stream::Sent| {
        let Output::View(view) = sent.output else { panic!("{sent:?}") };
        (view, sent.key.clone(), sent.value.as_ref().map(|value| value["n"].as_i64().unwrap()))
    };
    out.0.iter().map(of).collect()
}

#[test]
fn a_forgotten_user_is_taken_back_and_begins_anew() {
    let (mut fold, mut out) = (fold(SQL, EmitMode::Batch, 100, 8), Out::default());
    for (user, kind) in [("ada", "click"), ("bob", "click"), ("ada", "buy")] {
        push(&mut fold, user, kind, 1_000, &mut out);
    }
    commit(&mut fold, &mut out);
    let mut out = Out::default();
    push(&mut fold, "ada", "view", 2_000, &mut out);
    let slot = fold.forget(0, "ada", &mut out).unwrap();
    assert!(slot.is_some());
    assert_eq!(fold.touched_users(), 0);
    assert_eq!(fold.counters().users, 1);
    commit(&mut fold, &mut out);
    let gone = |view, key: &str| (view, key.to_owned(), None);
    assert_eq!(said(&out), [gone(1, "ada"), gone(2, r#"["ada","buy"]"#), gone(2, r#"["ada","click"]"#)]);
    // He comes back as somebody new, in the slot that was his; the other one is as he was.
    let mut out = Out::default();
    push(&mut fold, "ada", "click", 3_000, &mut out);
    push(&mut fold, "bob", "click", 3_000, &mut out);
    commit(&mut fold, &mut out);
    fold.advance(0, i64::MAX);
    commit(&mut fold, &mut out);
    let n = |view, key: &str, n| (view, key.to_owned(), Some(n));
    let mut all = said(&out);
    all.sort();
    let kinds = [n(2, r#"["ada","click"]"#, 1), n(2, r#"["bob","click"]"#, 2)];
    assert_eq!(all, [&[n(0, "ada", 1), n(0, "bob", 2), n(1, "ada", 1), n(1, "bob", 2)], &kinds[..]].concat());
}

#[test]
fn an_export_tells_who_is_gone() {
    let (mut worker, mut out) = (fold(SQL, EmitMode::Batch, 100, 8), Out::default());
    for user in ["ada", "bob"] {
        push(&mut worker, user, "click", 1_000, &mut out);
    }
    commit(&mut worker, &mut out);
    let first = worker.export(0).unwrap();
    assert!(!first.forgets);
    worker.forget(0, "ada", &mut out).unwrap();
    worker.forget(0, "nobody", &mut out).unwrap();
    commit(&mut worker, &mut out);
    let second = worker.export(0).unwrap();
    assert!(second.forgets);
    let mut fresh = fold(SQL, EmitMode::Batch, 100, 8);
    let mut restore = fresh.restore(0, i64::MIN, &worker.view_identities()).unwrap();
    for batch in second.batches.iter().rev().chain(first.batches.iter().rev()) {
        restore.add(batch).unwrap();
    }
    let users: Vec<&str> = fresh.users(0).map(|user| user.user_id).collect();
    assert_eq!(users, ["bob"]);
}

#[test]
fn a_muted_task_forgets_without_a_word() {
    let (mut fold, mut out) = (fold(SQL, EmitMode::Event, 100, 8), Out::default());
    fold.set_muted(0, true);
    push(&mut fold, "ada", "click", 1_000, &mut out);
    fold.forget(0, "ada", &mut out).unwrap();
    commit(&mut fold, &mut out);
    assert_eq!((out.0.len(), fold.users(0).count()), (0, 0));
}
