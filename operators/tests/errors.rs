//! Rows that an expression fails on.

use schemas::output::Output;

use super::stream::{Cuts, Row, Sent, fold, run};
use crate::{EmitMode, Fold};

const SQL: &str = "
    CREATE VIEW t AS SELECT user_id, count(*) AS n, sum(10 / CAST(value AS BIGINT)) AS s
    FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW r AS SELECT user_id, count(*) AS n, sum(10 / CAST(value AS BIGINT)) AS s
    FROM events GROUP BY user_id, rolling(INTERVAL '1 hour');
    CREATE VIEW w AS SELECT user_id, count(*) AS n FROM events
    WHERE CAST(category AS BIGINT) > 0 GROUP BY user_id, latest(9);
    CREATE VIEW l AS SELECT user_id, count(*) AS n, sum(10 / CAST(value AS BIGINT)) AS s
    FROM events GROUP BY user_id, lifetime();
    CREATE VIEW age AS SELECT user_id, sum(10 / (age_ms - 2000)) AS s FROM events GROUP BY user_id, latest(9);
    CREATE VIEW h AS SELECT user_id, 10 / (count(*) - 3) AS n FROM events GROUP BY user_id, lifetime();
    CREATE VIEW ok AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime()";

fn rows() -> Vec<Row> {
    let row = |at: i64, value: f64, category| Row {
        user: "u".into(),
        kind: "click",
        time: at * 1000,
        value: Some(value),
        category,
        stamp: i64::MIN,
        watermark: i64::MIN,
        offset: at,
        ..Row::default()
    };
    vec![
        row(0, 1.0, Some("1")),
        row(1, 0.0, Some("x")),
        row(2, 5.0, None),
        row(3, 0.0, Some("2")),
        row(4, 2.0, Some("3")),
    ]
}

fn go(emit: EmitMode, batch_rows: usize) -> (Fold, Vec<Sent>) {
    let cuts = Cuts { steps: vec![7], batch_rows };
    let mut fold = fold(SQL, emit, batch_rows, 100);
    let sent = run(&mut fold, &rows(), &cuts);
    (fold, sent)
}

/// (view, offset) of dead letters, sorted.
fn dead(sent: &[Sent]) -> Vec<(String, String)> {
    let mut dead: Vec<(String, String)> = sent
        .iter()
        .filter(|record| record.output == Output::DeadLetter)
        .map(|record| {
            let header = |name: &str| record.headers.iter().find(|(n, _)| n == name).unwrap().1.clone();
            assert_eq!((header("wellspring.topic"), header("wellspring.partition")), ("events".into(), "100".into()));
            assert_eq!(
                record.value.as_ref().unwrap()["time"].as_i64(),
                Some(header("wellspring.offset").parse::<i64>().unwrap() * 1000)
            );
            (header("wellspring.error").split('`').nth(1).unwrap().to_owned(), header("wellspring.offset"))
        })
        .collect();
    dead.sort();
    dead
}

fn last(sent: &[Sent], view: u16) -> serde_json::Value {
    sent.iter().rfind(|record| record.output == Output::View(view)).unwrap().value.clone().unwrap()
}

#[test]
fn a_row_that_fails_is_left_out_of_that_view_only() {
    for emit in [EmitMode::Batch, EmitMode::Event] {
        for batch_rows in [1, 2, 100] {
            let (fold, sent) = go(emit, batch_rows);
            let mut want = vec![
                ("age", "2"),
                ("h", "4"),
                ("l", "1"),
                ("l", "3"),
                ("r", "1"),
                ("r", "3"),
                ("t", "1"),
                ("t", "3"),
                ("w", "1"),
            ];
            if emit == EmitMode::Event {
                // The row two seconds old is another one after each row; and the third row makes count(*) − 3 zero.
                want = vec![
                    ("age", "0"),
                    ("age", "1"),
                    ("age", "2"),
                    ("h", "2"),
                    ("l", "1"),
                    ("l", "3"),
                    ("r", "1"),
                    ("r", "3"),
                    ("t", "1"),
                    ("t", "3"),
                    ("w", "1"),
                ];
            } else {
                want.retain(|dead| dead.0 != "h");
            }
            let want: Vec<_> = want.into_iter().map(|(view, offset)| (view.to_owned(), offset.to_owned())).collect();
            assert_eq!(dead(&sent), want, "{emit:?} {batch_rows}");
            assert_eq!(fold.counters().dead_letters, want.len() as u64);
            for view in [0, 1, 3] {
                let value = last(&sent, view);
                assert_eq!(
                    (value["n"].as_i64(), value["s"].as_i64()),
                    (Some(3), Some(17)),
                    "{emit:?} {batch_rows} {value}"
                );
            }
            assert_eq!(last(&sent, 2)["n"], 3);
            assert_eq!(last(&sent, 5)["n"], 5);
            assert_eq!(last(&sent, 6)["n"], 5);
        }
    }
}
