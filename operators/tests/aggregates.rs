//! Aggregates of many kinds give the same value however their rows come, in every window.

use serde_json::json;

use super::stream::{Cuts, Row, fold, run};
use crate::EmitMode;

const AGGREGATES: [(&str, &str); 23] = [
    ("count(value)", "4"),
    ("sum(value)", "10.0"),
    ("avg(value)", "2.5"),
    ("min(value)", "1.0"),
    ("max(category)", "\"b\""),
    ("min(type)", "\"click\""),
    ("bool_and(value > 0)", "true"),
    ("bool_or(category IS NULL)", "true"),
    ("bit_xor(time)", "1532"),
    ("var_pop(value)", "1.25"),
    ("covar_pop(value, time)", "500.0"),
    ("corr(value, value)", "1.0"),
    ("regr_slope(time, value)", "400.0"),
    ("median(value)", "2.5"),
    ("percentile_cont(0.5) WITHIN GROUP (ORDER BY value)", "2.5"),
    ("count(DISTINCT value)", "4"),
    ("sum(DISTINCT value)", "10.0"),
    ("approx_distinct(category)", "2"),
    ("array_agg(value ORDER BY time)", "[1.0,null,3.0,4.0,2.0]"),
    ("string_agg(category, '-' ORDER BY time)", "\"a-b-a\""),
    ("first_value(value ORDER BY time)", "1.0"),
    ("last_value(value ORDER BY time)", "2.0"),
    ("nth_value(value, 3 ORDER BY time)", "3.0"),
];

fn rows() -> Vec<Row> {
    let row = |time: i64, value: Option<f64>, category| Row {
        user: "u".into(),
        kind: "click",
        time,
        value,
        category,
        stamp: i64::MIN,
        watermark: i64::MIN,
        ..Row::default()
    };
    vec![
        row(1000, Some(1.0), Some("a")),
        row(4000, Some(2.0), None),
        row(2000, Some(3.0), Some("b")),
        row(1500, None, None),
        row(3000, Some(4.0), Some("a")),
    ]
}

#[test]
fn aggregates_are_what_sql_says_in_every_window_and_cutting() {
    let mut wrong = Vec::new();
    for window in [
        "tumble(INTERVAL '1 day')",
        "hop(INTERVAL '1 second', INTERVAL '9 seconds')",
        "session(INTERVAL '1 day')",
        "latest(9)",
        "lifetime()",
    ] {
        for (aggregate, want) in AGGREGATES {
            let sql =
                format!("CREATE VIEW v AS SELECT user_id, {aggregate} AS v FROM events GROUP BY user_id, {window}");
            let ways = [(EmitMode::Batch, 1), (EmitMode::Batch, 2), (EmitMode::Event, 1), (EmitMode::Event, 100)];
            for (emit, batch_rows) in ways {
                let cuts = Cuts { steps: vec![4], batch_rows };
                let sent = run(&mut fold(&sql, emit, batch_rows, 100), &rows(), &cuts);
                // Of a hop, the one window that holds all rows.
                let start = if window.starts_with("hop") { json!(0) } else { json!(null) };
                let is_whole = |value: &&serde_json::Value| start.is_null() || value["window_start"] == start;
                let got = sent.iter().filter_map(|record| record.value.as_ref()).rfind(is_whole).unwrap();
                let want: serde_json::Value = serde_json::from_str(want).unwrap();
                let is_close = match (got["v"].as_f64(), want.as_f64()) {
                    (Some(got), Some(want)) => (got - want).abs() < 1e-9 * want.abs().max(1.0),
                    _ => got["v"] == want,
                };
                if !is_close {
                    wrong.push(format!("{aggregate} over {window}, {emit:?} {batch_rows}: {got}, should be {want}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
