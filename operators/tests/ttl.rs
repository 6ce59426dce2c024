//! Rows that are too old leave a history.

use super::stream::{Out, Row, batch, fold_with};

#[test]
fn a_history_keeps_no_row_older_than_its_ttl() {
    let sql = "CREATE VIEW newest AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(100);";
    let mut fold = fold_with(sql, |config| config.history_ttl_ms = Some(1000));
    let row = |time: i64, offset: i64| Row { user: "u".into(), kind: "click", time, offset, ..Row::default() };
    let mut count = |times: &[i64]| {
        let rows: Vec<Row> = times.iter().enumerate().map(|(at, &time)| row(time, at as i64)).collect();
        let mut out = Out::default();
        fold.push(0, &"events".into(), &batch(&rows), i64::MIN, &mut out).unwrap();
        fold.end_transaction(&mut out).unwrap();
        fold.release().unwrap();
        out.0.last().unwrap().value.as_ref().unwrap()["n"].as_i64().unwrap()
    };
    assert_eq!(count(&[1000, 1500, 2000]), 3);
    assert_eq!(count(&[2600]), 2, "1000 and 1500 are more than 1000 ms before 2600");
    assert_eq!(count(&[1599]), 2, "a late row that is too old is not kept");
    assert_eq!(count(&[1600]), 3);
}
