//! What views.sql means, row by row, in O(n²).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::stream::Row;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

pub(super) type Fields = Map<String, Value>;
/// An extra `GROUP BY` key: its column and value.
type Key = (&'static str, Value);
/// Rows of a key.
type Keyed<'a> = (Option<Key>, Vec<&'a Row>);

#[derive(Clone, Copy)]
pub(super) enum Span {
    Hop(i64, i64),
    Session(i64),
    Rolling(i64),
    Latest(usize),
    Lifetime,
}

/// A view in plain Rust.
pub(super) struct Plain {
    pub(super) span: Span,
    /// By row and age.
    passes: fn(&Row, i64) -> bool,
    key: Option<fn(&Row) -> Key>,
    values: fn(&[&Row], i64) -> Value,
    having: fn(&Fields) -> bool,
}

fn sum(values: impl Iterator<Item = Option<f64>>) -> Value {
    let values: Vec<f64> = values.flatten().collect();
    if values.is_empty() { Value::Null } else { json!(values.iter().sum::<f64>()) }
}

fn total(rows: &[&Row]) -> Value {
    sum(rows.iter().map(|row| row.value))
}

fn distinct<T: Ord>(values: impl Iterator<Item = Option<T>>) -> usize {
    values.flatten().collect::<BTreeSet<T>>().len()
}

fn values_of(rows: &[&Row]) -> Vec<f64> {
    rows.iter().filter_map(|row| row.value).collect()
}

fn mean(rows: &[&Row]) -> Value {
    let values = values_of(rows);
    if values.is_empty() { Value::Null } else { json!(values.iter().sum::<f64>() / values.len() as f64) }
}

fn spread(rows: &[&Row]) -> Value {
    let values = values_of(rows);
    if values.is_empty() {
        return Value::Null;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    json!((values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt())
}

fn category(row: &Row) -> Key {
    ("category", json!(row.category))
}

fn kind(row: &Row) -> Key {
    ("type", json!(row.kind))
}

/// The views of views.sql, in order.
pub(super) fn views() -> Vec<Plain> {
    first_views().into_iter().chain(more_views()).collect()
}

fn view(span: Span, values: fn(&[&Row], i64) -> Value) -> Plain {
    Plain { span, passes: |_, _| true, key: None, values, having: |_| true }
}

fn first_views() -> Vec<Plain> {
    vec![
        Plain {
            passes: |row, _| row.kind == "click",
            ..view(Span::Hop(MINUTE, MINUTE), |rows, _| {
                json!({"clicks": rows.len(), "spend": total(rows), "first_time": rows.iter().map(|r| r.time).min(),
                       "items": distinct(rows.iter().map(|r| r.item_id.clone()))})
            })
        },
        view(Span::Hop(5 * MINUTE, 15 * MINUTE), |rows, _| json!({"n": rows.len(), "mean_value": mean(rows)})),
        Plain {
            passes: |row, _| row.other_id.is_none(),
            ..view(Span::Session(3 * MINUTE), |rows, _| {
                let top = values_of(rows).into_iter().reduce(f64::max);
                json!({"n": rows.len(), "top": top, "kinds": distinct(rows.iter().map(|r| Some(r.kind)))})
            })
        },
        view(
            Span::Rolling(10 * MINUTE),
            |rows, _| json!({"n": rows.len(), "total": total(rows), "spread": spread(rows)}),
        ),
        view(
            Span::Latest(5),
            |rows, _| json!({"n": rows.len(), "total": total(rows), "newest": rows.iter().map(|r| r.time).max()}),
        ),
        Plain {
            passes: |row, _| row.other_id.is_some(),
            having: |fields| fields["n"].as_i64() >= Some(2),
            ..view(Span::Hop(24 * HOUR, 24 * HOUR), |rows, _| {
                let net = |row: &&Row| row.value.map(|v| if row.role == Some("source") { -v } else { v });
                json!({"n": rows.len(), "net": sum(rows.iter().map(net)),
                       "partners": distinct(rows.iter().map(|r| r.other_id.clone()))})
            })
        },
        view(Span::Latest(8), |rows, now| {
            let count = |of: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| of(row)).count();
            json!({"n_1m": count(&|r| now - r.time < MINUTE),
                   "buys": count(&|r| now - r.time < 10 * MINUTE && r.kind == "buy"),
                   "recent": sum(rows.iter().map(|r| Some(r.value? * (-(now - r.time) as f64 / 3_600_000.0).exp()))),
                   "categories": distinct(rows.iter().map(|r| r.category))})
        }),
        view(
            Span::Lifetime,
            |rows, _| json!({"n": rows.len(), "total": total(rows), "since": rows.iter().map(|r| r.time).min()}),
        ),
    ]
}

fn more_views() -> Vec<Plain> {
    vec![
        Plain { key: Some(kind), ..view(Span::Hop(HOUR, HOUR), |rows, _| json!({"n": rows.len()})) },
        view(Span::Hop(5 * MINUTE, 2 * MINUTE), |rows, _| {
            let mut times: Vec<i64> = rows.iter().map(|row| row.time).collect();
            times.sort_unstable();
            json!({"times": times})
        }),
        Plain {
            key: Some(kind),
            ..view(Span::Session(2 * MINUTE), |rows, _| json!({"n": rows.len(), "total": total(rows)}))
        },
        Plain { key: Some(category), ..view(Span::Rolling(5 * MINUTE), |rows, _| json!({"n": rows.len()})) },
        Plain {
            passes: |row, _| row.kind != "view",
            having: |fields| fields["total"].as_f64().is_some_and(|total| total > 1.0),
            ..view(Span::Latest(3), |rows, _| json!({"total": total(rows)}))
        },
        Plain {
            passes: |_, age| age < MINUTE,
            ..view(Span::Latest(3), |rows, _| json!({"n": rows.len(), "total": total(rows)}))
        },
        Plain {
            key: Some(category),
            having: |fields| fields["n"].as_i64() >= Some(2),
            ..view(Span::Lifetime, |rows, _| json!({"n": rows.len()}))
        },
    ]
}

/// What a stream should end in.
#[derive(Default)]
pub(super) struct Expected {
    /// Records of windowed views, as (view, record).
    pub(super) windows: Vec<(usize, Value)>,
    /// After each row, per latest-value view: the records by key.
    pub(super) values: Vec<(usize, String, BTreeMap<String, Value>)>,
    /// Offsets of late rows, and the views they missed.
    pub(super) late: BTreeMap<i64, Vec<usize>>,
    pub(super) duplicates: u64,
}

/// A session, or a fixed window.
struct Held<'a> {
    view: usize,
    user: String,
    key: Option<Key>,
    start: i64,
    end: i64,
    rows: Vec<&'a Row>,
}

/// Runs the views over a stream; `history` and `dedupe` are the bounds per user.
pub(super) fn expected(rows: &[Row], history: usize, dedupe: usize) -> Expected {
    let views = views();
    let mut expected = Expected::default();
    let mut held: Vec<Held<'_>> = Vec::new();
    let mut histories: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    let mut ever: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    let mut recent: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for row in rows {
        if let Some(id) = &row.event_id {
            let recent = recent.entry(&row.user).or_default();
            if recent.contains(&id) {
                expected.duplicates += 1;
                continue;
            }
            recent.push(id);
            recent.drain(..recent.len().saturating_sub(dedupe));
        }
        let kept = histories.entry(&row.user).or_default();
        let at = kept.iter().rposition(|other| other.time <= row.time).map_or(0, |at| at + 1);
        kept.insert(at, row);
        kept.drain(..kept.len().saturating_sub(history));
        ever.entry(&row.user).or_default().push(row);
        for (index, view) in views.iter().enumerate() {
            let is_in = match view.span {
                Span::Hop(slide, size) => hop(view, index, slide, size, row, &mut held),
                Span::Session(gap) => session(view, index, gap, row, &mut held),
                _ => {
                    let records = newest(view, kept, &ever[row.user.as_str()]);
                    expected.values.push((index, row.user.clone(), records));
                    true
                }
            };
            if !is_in {
                expected.late.entry(row.offset).or_default().push(index);
            }
        }
    }
    for window in held {
        let view = &views[window.view];
        let mut record = json!({"user_id": window.user, "window_start": window.start, "window_end": window.end});
        let fields = fields(view, &window.rows, 0, &window.key);
        if (view.having)(&fields) {
            record.as_object_mut().unwrap().extend(fields);
            expected.windows.push((window.view, record));
        }
    }
    expected
}

fn fields(view: &Plain, rows: &[&Row], now: i64, key: &Option<Key>) -> Fields {
    let mut fields: Fields = key.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    fields.extend((view.values)(rows, now).as_object().unwrap().clone());
    fields
}

fn hop<'a>(view: &Plain, index: usize, slide: i64, size: i64, row: &'a Row, held: &mut Vec<Held<'a>>) -> bool {
    if !(view.passes)(row, 0) {
        return true;
    }
    let (watermark, key) = (row.stamp.max(row.watermark), view.key.map(|key| key(row)));
    let mut is_in = false;
    let mut start = row.time.div_euclid(slide) * slide;
    while start > row.time - size {
        if start + size > watermark {
            is_in = true;
            let own = |window: &&mut Held<'_>| {
                (window.view, window.start, &window.key) == (index, start, &key) && window.user == row.user
            };
            match held.iter_mut().find(own) {
                Some(window) => window.rows.push(row),
                None => held.push(Held {
                    view: index,
                    user: row.user.clone(),
                    key: key.clone(),
                    start,
                    end: start + size,
                    rows: vec![row],
                }),
            }
        }
        start -= slide;
    }
    is_in
}

fn session<'a>(view: &Plain, index: usize, gap: i64, row: &'a Row, held: &mut Vec<Held<'a>>) -> bool {
    if !(view.passes)(row, 0) {
        return true;
    }
    let (watermark, key) = (row.stamp.max(row.watermark), view.key.map(|key| key(row)));
    let near = |window: &Held<'_>| {
        (window.view, &window.key) == (index, &key)
            && window.user == row.user
            && window.end >= watermark
            && row.time <= window.end
            && row.time >= window.start - gap
    };
    let mut merged = Held {
        view: index,
        user: row.user.clone(),
        key: key.clone(),
        start: row.time,
        end: row.time + gap,
        rows: vec![row],
    };
    if merged.end < watermark && !held.iter().any(near) {
        return false;
    }
    let (joined, rest): (Vec<_>, Vec<_>) = std::mem::take(held).into_iter().partition(near);
    *held = rest;
    for window in joined {
        merged.start = merged.start.min(window.start);
        merged.end = merged.end.max(window.end);
        merged.rows.extend(window.rows);
    }
    held.push(merged);
    true
}

/// The records of a latest-value view for one user, by key.
fn newest(view: &Plain, history: &[&Row], ever: &[&Row]) -> BTreeMap<String, Value> {
    let newest = *history.last().unwrap();
    let now = newest.time;
    let passing = |rows: &[&'_ Row]| -> Vec<Row> {
        rows.iter().filter(|row| (view.passes)(row, now - row.time)).map(|row| (*row).clone()).collect()
    };
    let rows = match view.span {
        Span::Rolling(size) => {
            let inside: Vec<&Row> = history.iter().copied().filter(|row| row.time > now - size).collect();
            passing(&inside)
        }
        Span::Latest(most) => {
            let rows = passing(history);
            rows[rows.len().saturating_sub(most)..].to_vec()
        }
        _ => passing(ever),
    };
    let mut groups: BTreeMap<String, Keyed<'_>> = BTreeMap::new();
    if view.key.is_none() {
        groups.insert(newest.user.clone(), (None, Vec::new()));
    }
    for row in &rows {
        let key = view.key.map(|key| key(row));
        let name = key.as_ref().map_or(row.user.clone(), |(_, key)| json!([row.user, key]).to_string());
        groups.entry(name).or_insert((key, Vec::new())).1.push(row);
    }
    let record = |(name, (key, rows)): (String, Keyed<'_>)| {
        let fields = fields(view, &rows, now, &key);
        (view.having)(&fields).then(|| {
            let mut record = json!({"user_id": newest.user, "time": now});
            record.as_object_mut().unwrap().extend(fields);
            record["source"] = json!(["events", newest.task + 100, newest.offset]);
            (name, record)
        })
    };
    groups.into_iter().filter_map(record).collect()
}
