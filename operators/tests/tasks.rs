//! Tasks that come and go, and rows that are not what they should be.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use schemas::output::Output;

use super::stream::{Out, Row, batch, fold};
use crate::{EmitMode, FoldError};

const SQL: &str =
    "CREATE VIEW t AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');
                   CREATE VIEW e AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime()";

fn row(task: i32, id: &str) -> Row {
    let (user, event_id) = (format!("u{task}"), Some(id.to_owned()));
    Row { task, user, event_id, kind: "click", time: 1_000, stamp: i64::MIN, watermark: i64::MIN, ..Row::default() }
}

#[test]
fn a_revoked_task_leaves_nothing() {
    let mut fold = fold(SQL, EmitMode::Batch, 100, 8);
    let (topic, mut out): (Arc<str>, _) = ("events".into(), Out::default());
    for task in [0, 1] {
        fold.push(task, &topic, &batch(&[row(task, "a")]), i64::MIN, &mut out).unwrap();
    }
    fold.flush(&mut out).unwrap();
    for task in [0, 1] {
        fold.push(task, &topic, &batch(&[row(task, "b")]), i64::MIN, &mut out).unwrap();
    }
    fold.revoke(0).unwrap();
    assert_eq!(fold.counters().users, 1);
    fold.assign(0);
    // The event id of the dropped state is new again; that of the other task is not.
    for task in [0, 1] {
        fold.push(task, &topic, &batch(&[row(task, "a")]), i64::MIN, &mut out).unwrap();
        fold.advance(task, i64::MAX);
    }
    fold.end_transaction(&mut out).unwrap();
    assert_eq!(fold.counters().duplicates, 1);
    let mut counts: Vec<(Output, i32, i64)> = out
        .0
        .iter()
        .map(|record| (record.output, record.partition, record.value.as_ref().unwrap()["n"].as_i64().unwrap()))
        .collect();
    counts.sort();
    let (t, e) = (Output::View(0), Output::View(1));
    assert_eq!(counts, [(t, 0, 1), (t, 1, 2), (e, 0, 1), (e, 1, 2)]);
    let touched: Vec<String> = fold.touched().map(|touched| touched.user_id.to_owned()).collect();
    assert_eq!(touched, ["u1", "u0"]);
    fold.release().unwrap();
    for task in [0, 1] {
        fold.revoke(task).unwrap();
    }
    fold.release().unwrap();
    let slots = fold.held().0;
    fold.assign(0);
    for round in 0..slots {
        fold.push(0, &topic, &batch(&[row(0, &round.to_string())]), i64::MIN, &mut out).unwrap();
    }
    assert_eq!(fold.held().0, slots, "freed slots are used again");
}

#[test]
fn rows_of_another_shape_are_errors() {
    let mut fold = fold(SQL, EmitMode::Batch, 100, 8);
    let (topic, mut out): (Arc<str>, _) = ("events".into(), Out::default());
    let rows = batch(&[row(0, "a")]);
    assert!(matches!(fold.push(9, &topic, &rows, 0, &mut out), Err(FoldError::NotAssigned(9))));
    let without = |name: &str| {
        let kept = rows.schema().fields().iter().map(|f| f.name().clone()).filter(|n| n != name).collect::<Vec<_>>();
        RecordBatch::try_from_iter(kept.into_iter().map(|n| (n.clone(), rows.column_by_name(&n).unwrap().clone())))
            .unwrap()
    };
    for name in ["time", "stamp", "user_id"] {
        let error = fold.push(0, &topic, &without(name), 0, &mut out).unwrap_err();
        assert!(matches!(&error, FoldError::Absent(column) if column == name), "{error}");
    }
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["much"]));
    let columns = without("value").schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let columns = columns.into_iter().map(|n| (n.clone(), rows.column_by_name(&n).unwrap().clone()));
    let wrong = RecordBatch::try_from_iter(columns.chain([("value".to_owned(), texts)])).unwrap();
    let error = fold.push(0, &topic, &wrong, 0, &mut out).unwrap_err().to_string();
    assert!(error.contains("`value`") && error.contains("Utf8View") && error.contains("Float64"), "{error}");
    assert!(out.0.is_empty() && fold.counters().rows == 0);
}
