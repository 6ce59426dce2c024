//! A bounded stream's state does not grow.

use super::stream::{Out, Row, VIEWS, batch, fold};
use crate::EmitMode;

#[test]
fn tiny_batches_leave_nothing_behind() {
    let mut fold = fold(VIEWS, EmitMode::Batch, 1024, 16);
    let mut held = (0, 0);
    for round in 0..100_000i64 {
        let time = 1_700_000_000_000 + round * 1000;
        let row = Row {
            user: format!("u{}", round % 10),
            kind: "click",
            time,
            item_id: Some(format!("an item longer than a view, number {round}")),
            event_id: Some(format!("event {round}, which is longer than a view too")),
            value: Some(1.0),
            stamp: time,
            watermark: time,
            offset: round,
            ..Row::default()
        };
        fold.push(0, &"events".into(), &batch(&[row]), time, &mut Out::default()).unwrap();
        fold.advance(0, time);
        fold.end_transaction(&mut Out::default()).unwrap();
        fold.release().unwrap();
        if round == 2_000 {
            held = fold.held();
        }
    }
    assert!(held.0 <= 10 * (16 + 3) + 1, "{held:?}");
    assert!(fold.held().0 <= held.0 && fold.held().1 <= held.1 + (256 << 10), "{:?}, was {held:?}", fold.held());
}
