//! State that went out and came back is the state.

use std::sync::Arc;

use arrow::array::RecordBatch;
use proptest::prelude::*;
use schemas::output::Output;
use serde_json::{Value, json};

use super::{
    stream::{Out, Row, VIEWS, batch, fold, run, run_with},
    streams::{HISTORY, cuts, rows, step},
};
use crate::{EmitMode, Fold, FoldError, ViewIdentity};

/// Exports of three tasks, oldest first.
#[derive(Default)]
pub(super) struct Chains([Vec<RecordBatch>; 3]);

impl Chains {
    pub(super) fn export(&mut self, fold: &mut Fold) {
        for (task, chain) in self.0.iter_mut().enumerate() {
            chain.extend(fold.export(task as i32).unwrap().batches);
        }
    }

    pub(super) fn restore(
        &self,
        fold: &mut Fold,
        watermarks: [i64; 3],
        views: &[ViewIdentity],
    ) -> Result<(), FoldError> {
        for (task, chain) in self.0.iter().enumerate() {
            let mut restore = fold.restore(task as i32, watermarks[task], views).unwrap();
            chain.iter().rev().try_for_each(|batch| restore.add(batch))?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// A worker that restarts between transactions from all exports so far says what one says that never stopped.
    #[test]
    fn restored_state_is_the_state(
        steps in proptest::collection::vec(step(), 1..120),
        cuts in cuts(),
        restarts in proptest::collection::vec(0..3u8, 1..9),
    ) {
        let rows = rows(&steps);
        for emit in [EmitMode::Batch, EmitMode::Event] {
            let want = run(&mut fold(VIEWS, emit, cuts.batch_rows, HISTORY), &rows, &cuts);
            let (mut chains, mut at) = (Chains::default(), 0);
            let got = run_with(&mut fold(VIEWS, emit, cuts.batch_rows, HISTORY), &rows, &cuts, &mut |worker| {
                let step = restarts[at % restarts.len()];
                at += 1;
                if step > 0 {
                    chains.export(worker);
                }
                if step > 1 {
                    let watermarks = [0, 1, 2].map(|task| worker.state.tasks[&task].watermark);
                    let mut fresh = fold(VIEWS, emit, cuts.batch_rows, HISTORY);
                    chains.restore(&mut fresh, watermarks, &worker.views.identities()).unwrap();
                    assert_eq!(fresh.counters().users, worker.counters().users);
                    *worker = fresh;
                }
            });
            prop_assert_eq!(want, got);
        }
    }
}

const BEFORE: &str = "
    CREATE VIEW kept AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();
    CREATE VIEW gone AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(2);
    CREATE VIEW changed AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW buys AS SELECT user_id, count(*) AS n FROM events WHERE type = 'buy' GROUP BY user_id, latest(9);";
const AFTER: &str = "
    CREATE VIEW fresh AS SELECT user_id, count(*) AS n FROM events WHERE value > 1 GROUP BY user_id, latest(9);
    CREATE VIEW changed AS SELECT user_id, sum(1) AS n FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW buys AS SELECT user_id, count(*) AS n FROM events WHERE type = 'buy' GROUP BY user_id, latest(9);
    CREATE VIEW kept AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();";

fn row(time: i64, kind: &'static str, value: f64) -> Row {
    Row { user: "u".into(), kind, time, value: Some(value), stamp: i64::MIN, watermark: i64::MIN, ..Row::default() }
}

fn push(fold: &mut Fold, rows: &[Row]) -> Out {
    let (topic, mut out): (Arc<str>, _) = ("events".into(), Out::default());
    fold.push(0, &topic, &batch(rows), i64::MIN, &mut out).unwrap();
    fold.end_transaction(&mut out).unwrap();
    fold.release().unwrap();
    out
}

#[test]
fn views_that_changed_start_empty_but_for_the_history() {
    let mut old = fold(BEFORE, EmitMode::Batch, 100, 8);
    push(&mut old, &[row(1000, "buy", 1.0), row(2000, "view", 2.0), row(3000, "buy", 3.0)]);
    let mut chains = Chains::default();
    chains.export(&mut old);
    let mut new = fold(AFTER, EmitMode::Batch, 100, 8);
    chains.restore(&mut new, [i64::MIN; 3], &old.views.identities()).unwrap();
    let mut out = push(&mut new, &[row(4000, "buy", 0.5)]);
    new.advance(0, i64::MAX);
    new.flush(&mut out).unwrap();
    let count = |view: u16| {
        let of = out.0.iter().find(|sent| sent.output == Output::View(view)).unwrap();
        of.value.as_ref().unwrap()["n"].clone()
    };
    assert_eq!([0, 1, 2, 3].map(count), [2, 1, 3, 4].map(|n| json!(n)));
}

#[test]
fn an_export_holds_who_changed_since_the_last() {
    let mut worker = fold(BEFORE, EmitMode::Batch, 100, 8);
    let other = |time| Row { user: "v".into(), ..row(time, "view", 0.0) };
    push(&mut worker, &[row(1000, "buy", 1.0), other(1000)]);
    assert_eq!(
        (worker.export(0).unwrap().users, worker.export(0).unwrap().users, worker.export(1).unwrap().users),
        (2, 0, 0)
    );
    push(&mut worker, &[other(2000)]);
    let export = worker.export(0).unwrap();
    assert_eq!((export.users, export.batches.len(), export.batches[0].num_rows()), (1, 1, 1));
    // Restored users have not changed: the chain that they came from holds them.
    let mut fresh = fold(BEFORE, EmitMode::Batch, 100, 8);
    fresh.restore(0, i64::MIN, &worker.views.identities()).unwrap().add(&export.batches[0]).unwrap();
    assert_eq!(fresh.export(0).unwrap().users, 0);
}

#[test]
fn smaller_bounds_hold_at_once() {
    let mut worker = fold(BEFORE, EmitMode::Batch, 100, 8);
    push(&mut worker, &(1..=6).map(|n| row(n * 1000, "buy", 1.0)).collect::<Vec<_>>());
    let mut chains = Chains::default();
    chains.export(&mut worker);
    let mut small = fold(BEFORE, EmitMode::Batch, 100, 2);
    chains.restore(&mut small, [i64::MIN; 3], &worker.views.identities()).unwrap();
    small.release().unwrap();
    let out = push(&mut small, &[row(7000, "buy", 1.0)]);
    let buys = out.0.iter().find(|sent| sent.output == Output::View(3)).unwrap();
    assert_eq!(buys.value.as_ref().unwrap()["n"], Value::from(2));
}

#[test]
fn what_is_no_export_is_an_error() {
    let mut worker = fold(BEFORE, EmitMode::Batch, 100, 8);
    push(&mut worker, &[row(1000, "buy", 1.0)]);
    let export = worker.export(0).unwrap().batches.remove(0);
    let identities = worker.views.identities();
    for column in 0..export.num_columns() {
        let mut broken = export.clone();
        broken.remove_column(column);
        let mut fresh = fold(BEFORE, EmitMode::Batch, 100, 8);
        let error = fresh.restore(0, i64::MIN, &identities).unwrap().add(&broken).unwrap_err();
        assert!(matches!(error, FoldError::Snapshot(_)), "{error}");
    }
}
