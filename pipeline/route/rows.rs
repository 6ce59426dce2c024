//! Rows for one destination, as they gather for a packed record.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, RecordBatch, StringViewBuilder,
};
use arrow::datatypes::SchemaRef;
use schemas::event::{ColumnType, EventColumns};

use crate::decode::{Event, Value};

/// The row of an event for one of the users it concerns.
#[derive(Clone, Copy, Debug)]
pub struct Half<'a> {
    /// Whose row it is.
    pub user_id: &'a str,
    /// The other party, as this user sees him.
    pub other_id: Option<&'a str>,
    /// `source`, `target`, `self`, or none for a personal event.
    pub role: Option<&'static str>,
}

/// The rows of `event`: one, or one half for each party.
pub fn halves<'a>(event: &'a Event<'_>) -> (Half<'a>, Option<Half<'a>>) {
    let user_id = &*event.user_id;
    let other_id = event.other_id.as_deref();
    match other_id {
        None => (Half { user_id, other_id, role: None }, None),
        Some(other) if other == user_id => (Half { user_id, other_id, role: Some("self") }, None),
        Some(other) => {
            let target = Half { user_id: other, other_id: Some(user_id), role: Some("target") };
            (Half { user_id, other_id, role: Some("source") }, Some(target))
        }
    }
}

/// Where a row came from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The source partition's watermark before the row, in ms.
    pub stamp: i64,
    /// The source partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// Arrow builders for the wire schema.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    stamp: Int64Builder,
    partition: Int32Builder,
    offset: Int64Builder,
    /// user_id, type, event_id, item_id, other_id, role, merchant_id, category
    text: [StringViewBuilder; 8],
    time: Int64Builder,
    value: Float64Builder,
    declared: Vec<Declared>,
    bytes: usize,
}

/// What a row takes on the wire beside its text: the fixed-width columns and the views.
const ROW_BYTES: usize = 36 + 8 * 16;
/// Longer text stands outside its view.
const INLINE_BYTES: usize = 12;

#[derive(Debug)]
enum Declared {
    Int64(Int64Builder),
    Float64(Float64Builder),
    Text(StringViewBuilder),
    Boolean(BooleanBuilder),
}

impl Rows {
    /// No rows yet, of `columns`.
    pub fn new(columns: &EventColumns) -> Self {
        let declared = columns.declared().iter().map(|(_, kind)| match kind {
            ColumnType::Int64 => Declared::Int64(Int64Builder::new()),
            ColumnType::Float64 => Declared::Float64(Float64Builder::new()),
            ColumnType::String => Declared::Text(StringViewBuilder::new()),
            ColumnType::Boolean => Declared::Boolean(BooleanBuilder::new()),
        });
        Self {
            schema: columns.wire_schema(),
            stamp: Int64Builder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            text: std::array::from_fn(|_| StringViewBuilder::new()),
            time: Int64Builder::new(),
            value: Float64Builder::new(),
            declared: declared.collect(),
            bytes: 0,
        }
    }

    /// About how many bytes the rows will take on the wire.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends one row.
    pub fn push(&mut self, origin: Origin, half: Half<'_>, event: &Event<'_>) {
        self.stamp.append_value(origin.stamp);
        self.partition.append_value(origin.partition);
        self.offset.append_value(origin.offset);
        self.time.append_value(event.time);
        self.value.append_option(event.value);
        let text = [
            Some(half.user_id),
            Some(&*event.kind),
            event.event_id.as_deref(),
            event.item_id.as_deref(),
            half.other_id,
            half.role,
            event.merchant_id.as_deref(),
            event.category.as_deref(),
        ];
        self.bytes += ROW_BYTES;
        for (builder, text) in self.text.iter_mut().zip(text) {
            builder.append_option(text);
            self.bytes += outside(text);
        }
        for (builder, value) in self.declared.iter_mut().zip(&event.declared) {
            self.bytes += builder.push(value);
        }
    }

    /// Takes the rows; none where there are none.
    pub fn take(&mut self) -> Option<RecordBatch> {
        if self.bytes == 0 {
            return None;
        }
        self.bytes = 0;
        let [user_id, kind, event_id, item_id, other_id, role, merchant_id, category] =
            self.text.each_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.stamp.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            user_id,
            kind,
            Arc::new(self.time.finish()),
            event_id,
            item_id,
            other_id,
            role,
            Arc::new(self.value.finish()),
            merchant_id,
            category,
        ];
        arrays.extend(self.declared.iter_mut().map(Declared::finish));
        let rows = RecordBatch::try_new(self.schema.clone(), arrays);
        Some(rows.expect("the builders are those of the wire schema, and each took one value a row"))
    }
}

fn outside(text: Option<&str>) -> usize {
    text.map_or(0, |text| if text.len() > INLINE_BYTES { text.len() } else { 0 })
}

impl Declared {
    /// Appends a value of the column's type; returns about how many bytes it takes.
    fn push(&mut self, value: &Value<'_>) -> usize {
        match (self, value) {
            (Self::Int64(builder), Value::Int64(value)) => builder.append_value(*value),
            (Self::Float64(builder), Value::Float64(value)) => builder.append_value(*value),
            (Self::Boolean(builder), Value::Boolean(value)) => builder.append_value(*value),
            (Self::Text(builder), Value::Text(value)) => {
                builder.append_value(value);
                return 16 + outside(Some(value));
            }
            (Self::Int64(builder), _) => builder.append_null(),
            (Self::Float64(builder), _) => builder.append_null(),
            (Self::Boolean(builder), _) => builder.append_null(),
            (Self::Text(builder), _) => builder.append_null(),
        }
        8
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
        }
    }
}
