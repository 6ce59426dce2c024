//! One record of each kind, byte for byte.

use schemas::output::Output;

use super::stream::{Cuts, Out, Row, batch, fold, run};
use crate::EmitMode;

const CUTS: Cuts = Cuts { steps: Vec::new(), batch_rows: 100 };

fn row(user: &str, time: i64, value: Option<f64>) -> Row {
    Row {
        user: user.into(),
        kind: "click",
        time,
        value,
        stamp: i64::MIN,
        watermark: i64::MIN,
        offset: time,
        ..Row::default()
    }
}

fn texts(sql: &str, rows: &[Row]) -> Vec<(String, String)> {
    let cuts = Cuts { steps: vec![7], ..CUTS };
    let sent = run(&mut fold(sql, EmitMode::Batch, cuts.batch_rows, 100), rows, &cuts);
    sent.into_iter().map(|record| (record.key, record.text)).collect()
}

fn one(window: &str) -> (String, String) {
    let sql = format!(
        "CREATE VIEW v AS SELECT max(type) AS \"t\"\"x\", user_id, count(*) AS n, avg(value) AS mean, \
         max(value) / 0 AS none \
         FROM events GROUP BY user_id, {window}"
    );
    let rows = [row("u \"1\"", 61_000, Some(1.0)), row("u \"1\"", 62_000, Some(1.2))];
    let mut texts = texts(&sql, &rows);
    assert_eq!(texts.len(), 1);
    texts.remove(0)
}

#[test]
fn records_of_every_window() {
    let shown = r#""t\"x":"click","n":2,"mean":1.1,"none":null"#;
    let windowed = |start: i64, end: i64| {
        ("u \"1\"".to_owned(), format!(r#"{{"user_id":"u \"1\"","window_start":{start},"window_end":{end},{shown}}}"#))
    };
    assert_eq!(one("tumble(INTERVAL '1 minute')"), windowed(60_000, 120_000));
    assert_eq!(one("hop(INTERVAL '1 day', INTERVAL '2 minutes')"), windowed(0, 120_000));
    assert_eq!(one("session(INTERVAL '30 seconds')"), windowed(61_000, 92_000));
    let newest = format!(r#"{{"user_id":"u \"1\"","time":62000,{shown},"source":["events",100,62000]}}"#);
    for window in ["rolling(INTERVAL '1 hour')", "latest(2)", "lifetime()"] {
        assert_eq!(one(window), ("u \"1\"".to_owned(), newest.clone()));
    }
}

#[test]
fn extra_keys_stand_in_value_and_key() {
    let sql = "CREATE VIEW v AS SELECT user_id, count(*) AS n, sum(value) AS s FROM events
               GROUP BY category, user_id, latest(2)";
    let rows = [Row { category: Some("a"), ..row("u", 1, None) }, row("u", 2, Some(3.0))];
    let source = r#""source":["events",100,2]"#;
    assert_eq!(
        texts(sql, &rows),
        [
            (
                r#"["u",null]"#.to_owned(),
                format!(r#"{{"user_id":"u","time":2,"n":1,"s":3.0,"category":null,{source}}}"#)
            ),
            (
                r#"["u","a"]"#.to_owned(),
                format!(r#"{{"user_id":"u","time":2,"n":1,"s":null,"category":"a",{source}}}"#)
            ),
        ]
    );
}

#[test]
fn late_rows_tell_what_they_missed() {
    let sql =
        "CREATE VIEW a AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');
               CREATE VIEW b AS SELECT user_id, count(*) AS n FROM events WHERE value > 5
               GROUP BY user_id, session(INTERVAL '1 second');
               CREATE VIEW c AS SELECT user_id, count(*) AS n FROM events
               GROUP BY user_id, session(INTERVAL '1 second')";
    let mut fold = fold(sql, EmitMode::Batch, 100, 100);
    let mut out = Out::default();
    let late = Row { role: Some("self"), ..row("u", 1_000, Some(2.0)) };
    fold.push(0, &"events".into(), &batch(&[late]), 60_000, &mut out).unwrap();
    fold.flush(&mut out).unwrap();
    assert_eq!(out.0.len(), 1);
    assert_eq!((out.0[0].output, out.0[0].partition, out.0[0].key.as_str()), (Output::Late, 100, "u"));
    let record = r#"{"user_id":"u","type":"click","time":1000,"role":"self","value":2.0}"#;
    let place = r#""topic":"events","partition":100,"offset":1000"#;
    let missed = r#""user_id":"u","role":"self","views":["a","c"],"watermark":60000"#;
    assert_eq!(out.0[0].text, format!("{{{place},{missed},\"record\":{record}}}"));
    assert_eq!(fold.counters().late, 1);
}

#[test]
fn touched_users_and_their_items() {
    let mut fold = fold("", EmitMode::Batch, 2, 2);
    let mut out = Out::default();
    let item = |time: i64, item: Option<&str>| Row { item_id: item.map(Into::into), ..row("u", time, None) };
    let rows = [item(10, Some("a")), item(30, Some("b")), item(20, Some("c")), item(40, None)];
    fold.push(0, &"events".into(), &batch(&rows), 0, &mut out).unwrap();
    fold.end_transaction(&mut out).unwrap();
    let touched = fold.touched().next().unwrap();
    assert_eq!((touched.user_id, touched.time, touched.ordinal, touched.source), ("u", 40, 4, ("events", 100, 40)));
    assert!(touched.evicted.is_empty());
    let (user, added) = (touched.user, touched.added.iter().map(|&slot| fold.item_id(slot)).collect::<Vec<_>>());
    assert_eq!(added, ["a", "b", "c"]);
    fold.release().unwrap();
    assert_eq!(fold.touched().count(), 0);
    // Older than all of the full window of three: not added. Then two more push out the oldest.
    let rows = [item(5, Some("old")), item(50, Some("d")), item(45, Some("e"))];
    fold.push(0, &"events".into(), &batch(&rows), 0, &mut out).unwrap();
    fold.end_transaction(&mut out).unwrap();
    let touched = fold.touched().next().unwrap();
    let names = |slots: &[u32]| slots.iter().map(|&slot| fold.item_id(slot).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        (names(touched.added), names(touched.evicted)),
        (vec!["d".into(), "e".into()], vec!["a".into(), "c".into()])
    );
    assert_eq!(names(&fold.item_window(user).collect::<Vec<_>>()), ["b", "e", "d"]);
    fold.revoke(0).unwrap();
    assert_eq!((fold.touched().count(), fold.counters().users), (0, 0));
}
