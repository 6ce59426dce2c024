//! Streams of rows for tests: how they are cut into batches, and what came out.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringViewArray},
    datatypes::Schema,
};
use schemas::{
    event::EventColumns,
    output::{Emit, Output, Record},
};

use crate::{EmitMode, Fold, FoldConfig, Views};

/// The nine views of the acceptance checks, and more.
pub(super) const VIEWS: &str = include_str!("views.sql");

/// One row of the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) task: i32,
    pub(super) user: String,
    pub(super) kind: &'static str,
    pub(super) time: i64,
    pub(super) event_id: Option<String>,
    pub(super) item_id: Option<String>,
    pub(super) other_id: Option<String>,
    pub(super) role: Option<&'static str>,
    pub(super) value: Option<f64>,
    pub(super) category: Option<&'static str>,
    pub(super) stamp: i64,
    pub(super) offset: i64,
    /// The minimum in force before it.
    pub(super) watermark: i64,
}

/// A record that was emitted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) output: Output,
    pub(super) partition: i32,
    pub(super) key: String,
    pub(super) value: Option<serde_json::Value>,
    pub(super) text: String,
    pub(super) headers: Vec<(String, String)>,
}

/// Keeps records.
#[derive(Default)]
pub(super) struct Out(pub(super) Vec<Sent>);

impl Emit for Out {
    fn emit(&mut self, _: i32, record: Record<'_>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.0.push(Sent {
            output: record.output,
            partition: record.partition,
            key: text(record.key.unwrap()),
            value: record.value.map(|value| serde_json::from_slice(value).unwrap()),
            text: record.value.map(text).unwrap_or_default(),
            headers: record.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
        });
    }
}

/// The rows as a batch; columns that no row has are left away.
pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let texts = |of: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringViewArray>())
    };
    let longs = |of: &dyn Fn(&Row) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("time", longs(&|row| row.time)),
        ("stamp", longs(&|row| row.stamp)),
        ("source_partition", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.task + 100)))),
        ("source_offset", longs(&|row| row.offset)),
        ("ignored", longs(&|_| 7)),
        ("user_id", texts(&|row| Some(row.user.clone()))),
        ("type", texts(&|row| Some(row.kind.into()))),
        ("event_id", texts(&|row| row.event_id.clone())),
        ("item_id", texts(&|row| row.item_id.clone())),
        ("role", texts(&|row| row.role.map(Into::into))),
        ("value", Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>())),
        ("category", texts(&|row| row.category.map(Into::into))),
    ];
    if rows.iter().any(|row| row.other_id.is_some()) {
        columns.push(("other_id", texts(&|row| row.other_id.clone())));
    }
    if columns.iter().all(|(_, column)| column.is_empty()) {
        let fields: Vec<_> = columns.iter().map(|(name, column)| (*name, column.data_type().clone())).collect();
        let fields: Vec<_> = fields.into_iter().map(|(n, t)| arrow::datatypes::Field::new(n, t, true)).collect();
        return RecordBatch::new_empty(Arc::new(Schema::new(fields)));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A fold of `sql` over tasks 0, 1, 2.
pub(super) fn fold(sql: &str, emit: EmitMode, batch_rows: usize, history: usize) -> Fold {
    fold_with(sql, |config| *config = FoldConfig { emit, batch_rows, history_max_events: history, ..config.clone() })
}

/// A fold of `sql` over tasks 0, 1, 2 with a changed configuration.
pub(super) fn fold_with(sql: &str, change: impl Fn(&mut FoldConfig)) -> Fold {
    let columns = EventColumns::default();
    let views = Arc::new(Views::compile(sql, &columns).unwrap());
    let mut config = FoldConfig {
        columns,
        dedupe_ids: 4,
        history_max_events: 1024,
        history_ttl_ms: None,
        user_ttl_ms: None,
        batch_rows: 1024,
        emit: EmitMode::Batch,
        item_window: 3,
        keeps_arrivals: false,
        keeps_order: false,
    };
    change(&mut config);
    let mut fold = Fold::new(views, config);
    (0..3).for_each(|task| fold.assign(task));
    fold
}

/// How a stream is cut: after each row one of the bytes, round and round, says what is done.
#[derive(Clone, Debug)]
pub(super) struct Cuts {
    pub(super) steps: Vec<u8>,
    pub(super) batch_rows: usize,
}

/// Runs a stream to its end, where all windows are closed.
pub(super) fn run(fold: &mut Fold, rows: &[Row], cuts: &Cuts) -> Vec<Sent> {
    run_with(fold, rows, cuts, &mut |_| {})
}

/// The same; `between` is called after each transaction but the last.
pub(super) fn run_with(fold: &mut Fold, rows: &[Row], cuts: &Cuts, between: &mut dyn FnMut(&mut Fold)) -> Vec<Sent> {
    let mut out = Out::default();
    let topic: Arc<str> = "events".into();
    let mut waiting: Vec<Row> = Vec::new();
    let push = |fold: &mut Fold, waiting: &mut Vec<Row>, out: &mut Out| {
        if let Some(first) = waiting.first() {
            fold.push(first.task, &topic, &batch(waiting), first.watermark, out).unwrap();
            waiting.clear();
        }
    };
    for (at, row) in rows.iter().enumerate() {
        let is_same = waiting.first().is_none_or(|first| (first.task, first.watermark) == (row.task, row.watermark));
        if !is_same {
            push(fold, &mut waiting, &mut out);
        }
        fold.advance(row.task, if waiting.is_empty() { row.watermark } else { i64::MIN });
        waiting.push(row.clone());
        let step = cuts.steps[at % cuts.steps.len()];
        if step % 8 < 4 {
            push(fold, &mut waiting, &mut out);
        }
        match step % 8 {
            0 => fold.flush(&mut out).unwrap(),
            1 => {
                fold.end_transaction(&mut out).unwrap();
                fold.release().unwrap();
                between(fold);
            }
            2 => fold.push(row.task, &topic, &batch(&[]), row.watermark, &mut out).unwrap(),
            _ => {}
        }
    }
    push(fold, &mut waiting, &mut out);
    (0..3).for_each(|task| fold.advance(task, i64::MAX));
    fold.end_transaction(&mut out).unwrap();
    fold.release().unwrap();
    out.0
}
