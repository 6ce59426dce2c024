//! A user is looked at without anything of him moving.

use super::stream::{Out, Row, batch, fold_with};
use crate::Whereabouts;

const SQL: &str = "
    CREATE VIEW minutes AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW newest AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(2);
    CREATE VIEW kinds AS SELECT user_id, type, count(*) AS n FROM events GROUP BY user_id, type, latest(9);
    CREATE VIEW ever AS SELECT user_id, sum(value) AS spend FROM events GROUP BY user_id, lifetime();";

#[test]
fn a_look_shows_what_was_said_last_and_moves_nothing() {
    let mut fold = fold_with(SQL, |_| {});
    let row = |kind, time, offset, value| Row { user: "u".into(), kind, time, offset, value, ..Row::default() };
    let rows = [row("buy", 1000, 0, Some(2.5)), row("view", 2000, 1, None), row("view", 61_000, 2, Some(1.0))];
    let mut said = Out::default();
    fold.push(0, &"events".into(), &batch(&rows), i64::MIN, &mut said).unwrap();
    fold.end_transaction(&mut said).unwrap();
    fold.release().unwrap();

    assert_eq!(fold.whereabouts(0, "nobody").unwrap(), Whereabouts::Nowhere);
    let Whereabouts::Memory(user) = fold.whereabouts(0, "u").unwrap() else { panic!("he is in memory") };
    for _ in 0..2 {
        let mut shown = Out::default();
        fold.newest_values(user, &mut shown).unwrap();
        assert_eq!(shown.0, said.0, "the values of the latest-value views, as they were sent");
    }
    let history: Vec<_> = fold.newest(user, usize::MAX).map(|slot| fold.row(slot)).collect();
    let told: Vec<_> = history.iter().map(|row| (row.time_ms, row.kind, row.value)).collect();
    assert_eq!(told, [(1000, "buy", Some(2.5)), (2000, "view", None), (61_000, "view", Some(1.0))]);
    let windows: Vec<_> = fold.open_windows(user).map(|open| (open.view, open.start_ms, open.end_ms)).collect();
    assert_eq!(windows, [("minutes", 0, 60_000), ("minutes", 60_000, 120_000)]);
    let value = fold.column("value").unwrap();
    assert_eq!(
        fold.newest(user, usize::MAX).map(|slot| fold.number(slot, value)).collect::<Vec<_>>(),
        [Some(2.5), None, Some(1.0)]
    );
    assert_eq!(fold.column("nothing"), None);

    let mut later = Out::default();
    fold.set_muted(0, true);
    fold.newest_values(user, &mut later).unwrap();
    assert!(later.0.is_empty(), "who is muted says nothing");
}
