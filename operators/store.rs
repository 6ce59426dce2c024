//! All rows of a worker, a slot each; columns are arrays over slots.
//!
//! A slot is held by its user's history and by his item window; where neither holds it any more it is garbage until the
//! end of the transaction ([`Store::release`]), then free.
//!
//! # Layout
//! - [`pack`]: a row as bytes.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
        StringViewArray,
    },
    buffer::{BooleanBuffer, NullBuffer, ScalarBuffer},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type, SchemaRef},
};
use schemas::event::EventColumns;

use crate::{FoldError, text::TextColumn};

mod pack;

/// The history holds the row.
pub(crate) const IN_HISTORY: u8 = 1;
/// The item window holds the row.
pub(crate) const IN_ITEMS: u8 = 2;

/// Columns that rules other than SQL look at, by their place in [`EventColumns::schema`].
pub(crate) const USER_ID: usize = 0;
/// `type`.
pub(crate) const TYPE: usize = 1;
/// `time`.
pub(crate) const TIME: usize = 2;
/// `event_id`.
pub(crate) const EVENT_ID: usize = 3;
/// `item_id`.
pub(crate) const ITEM_ID: usize = 4;

/// Where an input record stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) topic: u32,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

enum Column {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    Text(TextColumn),
}

impl Column {
    /// Makes room for `slots` slots, in steps of a quarter: what is kept stays near what is needed. A column is only as long
    /// as its last value, so one that nobody fills takes nothing.
    fn reach(&mut self, slots: usize) {
        match self {
            Self::Int(values) => reach(values, slots),
            Self::Float(values) => reach(values, slots),
            Self::Bool(values) => reach(values, slots),
            Self::Text(texts) => texts.reach(slots),
        }
    }

    /// Bytes of a slot; 0 where the column was never filled.
    fn slot_bytes(&self) -> usize {
        match self {
            Self::Int(values) => 8 * usize::from(!values.is_empty()),
            Self::Float(values) => 8 * usize::from(!values.is_empty()),
            Self::Bool(values) => usize::from(!values.is_empty()),
            Self::Text(texts) => texts.slot_bytes(),
        }
    }
}

/// Makes a column as long as `slots`, in steps of a quarter.
pub(crate) fn reach<T: Clone + Default>(values: &mut Vec<T>, slots: usize) {
    if slots > values.len() {
        if slots > values.capacity() {
            values.reserve_exact(slots - values.len() + 64 + values.len() / 4);
        }
        values.resize(slots, T::default());
    }
}

/// A column of an arriving batch.
pub(crate) enum Incoming<'a> {
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Bool(&'a BooleanArray),
    Text(&'a StringViewArray),
    Absent,
}

impl<'a> Incoming<'a> {
    /// The column `index` of `schema` in `rows`; absent is null.
    pub(crate) fn find(rows: &'a RecordBatch, schema: &SchemaRef, index: usize) -> Result<Self, FoldError> {
        let field = schema.field(index);
        let Some(array) = rows.column_by_name(field.name()) else {
            return if field.is_nullable() { Ok(Self::Absent) } else { Err(FoldError::Absent(field.name().clone())) };
        };
        if array.data_type() != field.data_type() {
            return Err(FoldError::Type {
                column: field.name().clone(),
                is: array.data_type().to_string(),
                should: field.data_type().to_string(),
            });
        }
        Ok(match array.data_type() {
            DataType::Int64 => Self::Int(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>()),
            DataType::Boolean => Self::Bool(array.as_boolean()),
            _ => Self::Text(array.as_string_view()),
        })
    }

    /// Whether a row has a value.
    pub(crate) fn is_valid(&self, row: usize) -> bool {
        match self {
            Self::Int(array) => array.is_valid(row),
            Self::Float(array) => array.is_valid(row),
            Self::Bool(array) => array.is_valid(row),
            Self::Text(array) => array.is_valid(row),
            Self::Absent => false,
        }
    }

    /// The number of a row, where it is one.
    pub(crate) fn long(&self, row: usize) -> Option<i64> {
        match self {
            Self::Int(array) if array.is_valid(row) => Some(array.value(row)),
            _ => None,
        }
    }

    /// The text of a row, where it is one.
    pub(crate) fn text(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Text(array) if array.is_valid(row) => Some(array.value(row)),
            _ => None,
        }
    }
}

/// The columns of an arriving batch that are the service's own.
pub(crate) struct System<'a> {
    pub(crate) stamp: &'a [i64],
    pub(crate) partition: &'a [i32],
    pub(crate) offset: &'a [i64],
}

impl<'a> System<'a> {
    pub(crate) fn find(rows: &'a RecordBatch) -> Result<Self, FoldError> {
        let column = |name: &str, kind: DataType| match rows.column_by_name(name) {
            Some(array) if *array.data_type() == kind => Ok(array),
            Some(array) => Err(FoldError::Type {
                column: name.into(),
                is: array.data_type().to_string(),
                should: kind.to_string(),
            }),
            None => Err(FoldError::Absent(name.into())),
        };
        Ok(Self {
            stamp: column("stamp", DataType::Int64)?.as_primitive::<Int64Type>().values(),
            partition: column("source_partition", DataType::Int32)?.as_primitive::<Int32Type>().values(),
            offset: column("source_offset", DataType::Int64)?.as_primitive::<Int64Type>().values(),
        })
    }
}

/// The value of a slot; a default where it is null.
fn of<T: Copy + Default>(values: &[T], slot: u32) -> T {
    values.get(slot as usize).copied().unwrap_or_default()
}

/// The rows.
pub(crate) struct Store {
    pub(crate) schema: SchemaRef,
    columns: Vec<Column>,
    /// A bit per column: not null.
    valid: Vec<u64>,
    /// A bit per rolling or latest view: the row is in it. `words` words a row.
    included: Vec<u64>,
    words: usize,
    places: Vec<Place>,
    held: Vec<u8>,
    free: Vec<u32>,
    garbage: Vec<u32>,
    topics: Vec<Arc<str>>,
}

impl Store {
    pub(crate) fn new(columns: &EventColumns, newest_views: usize) -> Self {
        let schema = columns.schema();
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Int64 => Column::Int(Vec::new()),
            DataType::Float64 => Column::Float(Vec::new()),
            DataType::Boolean => Column::Bool(Vec::new()),
            _ => Column::Text(TextColumn::default()),
        });
        Self {
            columns: columns.collect(),
            schema,
            valid: Vec::new(),
            included: Vec::new(),
            words: newest_views.div_ceil(64),
            places: Vec::new(),
            held: Vec::new(),
            free: Vec::new(),
            garbage: Vec::new(),
            topics: Vec::new(),
        }
    }

    /// The number of `topic`, for [`Place`]; there are few topics.
    pub(crate) fn topic(&mut self, topic: &Arc<str>) -> u32 {
        let at = self.topics.iter().position(|known| known == topic).unwrap_or_else(|| {
            self.topics.push(Arc::clone(topic));
            self.topics.len() - 1
        });
        at as u32
    }

    /// Copies row `row` of a batch into a slot; the slot must be given to a holder or to [`Self::drop_row`].
    pub(crate) fn insert(&mut self, columns: &[Incoming<'_>], row: usize, place: Place) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        let at = slot as usize;
        let mut valid = 0;
        for (index, (column, incoming)) in self.columns.iter_mut().zip(columns).enumerate() {
            if !incoming.is_valid(row) {
                continue;
            }
            column.reach(at + 1);
            match (column, incoming) {
                (Column::Int(to), Incoming::Int(from)) => to[at] = from.value(row),
                (Column::Float(to), Incoming::Float(from)) => to[at] = from.value(row),
                (Column::Bool(to), Incoming::Bool(from)) => to[at] = from.value(row),
                (Column::Text(to), Incoming::Text(from)) => to.set(slot, from.value(row).as_bytes()),
                _ => unreachable!("columns arrive with the types of the store's"),
            }
            valid |= 1 << index;
        }
        self.valid[at] = valid;
        self.places[at] = place;
        self.held[at] = 0;
        self.included[at * self.words..(at + 1) * self.words].fill(0);
        slot
    }

    fn grow(&mut self) -> u32 {
        let slots = self.valid.len() + 1;
        reach(&mut self.valid, slots);
        reach(&mut self.places, slots);
        reach(&mut self.held, slots);
        reach(&mut self.included, slots * self.words);
        slots as u32 - 1
    }

    pub(crate) fn hold(&mut self, slot: u32, holder: u8) {
        self.held[slot as usize] |= holder;
    }

    /// Frees a row that never had a holder at the end of the transaction.
    pub(crate) fn drop_unheld(&mut self, slot: u32) {
        if self.held[slot as usize] == 0 && self.garbage.last() != Some(&slot) {
            self.garbage.push(slot);
        }
    }

    /// Lets go of a row; it is freed at the end of the transaction where nobody else holds it.
    pub(crate) fn let_go(&mut self, slot: u32, holder: u8) {
        self.held[slot as usize] &= !holder;
        self.drop_row(slot);
    }

    /// Frees a row at the end of the transaction where nobody holds it.
    pub(crate) fn drop_row(&mut self, slot: u32) {
        if self.held[slot as usize] == 0 {
            self.garbage.push(slot);
        }
    }

    /// Frees what nobody holds.
    pub(crate) fn release(&mut self) {
        for slot in std::mem::take(&mut self.garbage) {
            self.clear(slot);
        }
        self.compact();
    }

    /// Frees the rows of users whom the open transaction has not touched; a row may be named twice.
    pub(crate) fn free<'a>(&mut self, slots: impl Iterator<Item = &'a u32>) {
        for &slot in slots {
            if std::mem::take(&mut self.held[slot as usize]) != 0 {
                self.clear(slot);
            }
        }
        self.compact();
    }

    fn clear(&mut self, slot: u32) {
        for column in &mut self.columns {
            if let Column::Text(texts) = column {
                texts.clear(slot);
            }
        }
        self.free.push(slot);
    }

    fn compact(&mut self) {
        for column in &mut self.columns {
            if let Column::Text(texts) = column {
                texts.compact();
            }
        }
    }

    /// Bytes of a row without its long texts.
    pub(crate) fn row_bytes(&self) -> usize {
        let own = size_of::<u64>() * (1 + self.words) + size_of::<Place>() + size_of::<u8>();
        self.columns.iter().map(Column::slot_bytes).sum::<usize>() + own
    }

    /// Bytes of all rows that are not free.
    pub(crate) fn bytes(&self) -> usize {
        let texts = |column: &Column| if let Column::Text(texts) = column { texts.live_bytes() } else { 0 };
        (self.slots() - self.free.len()) * self.row_bytes() + self.columns.iter().map(texts).sum::<usize>()
    }

    /// Slots that exist, free ones included.
    pub(crate) fn slots(&self) -> usize {
        self.valid.len()
    }

    /// Bytes of all texts longer than a view, garbage included.
    pub(crate) fn text_bytes(&self) -> usize {
        let bytes = |column: &Column| if let Column::Text(texts) = column { texts.allocated_bytes() } else { 0 };
        self.columns.iter().map(bytes).sum()
    }

    pub(crate) fn include(&mut self, slot: u32, view: usize) {
        self.included[slot as usize * self.words + view / 64] |= 1 << (view % 64);
    }

    pub(crate) fn exclude(&mut self, slot: u32, view: usize) {
        self.included[slot as usize * self.words + view / 64] &= !(1 << (view % 64));
    }

    pub(crate) fn is_included(&self, slot: u32, view: usize) -> bool {
        self.included[slot as usize * self.words + view / 64] >> (view % 64) & 1 == 1
    }

    /// The marks of the views that the row is in, a bit a view.
    pub(crate) fn views_of(&self, slot: u32) -> &[u64] {
        &self.included[slot as usize * self.words..(slot as usize + 1) * self.words]
    }

    pub(crate) fn is_in_history(&self, slot: u32) -> bool {
        self.held[slot as usize] & IN_HISTORY != 0
    }

    pub(crate) fn time(&self, slot: u32) -> i64 {
        match &self.columns[TIME] {
            Column::Int(times) => times[slot as usize],
            _ => unreachable!("time is Int64"),
        }
    }

    pub(crate) fn place(&self, slot: u32) -> Place {
        self.places[slot as usize]
    }

    pub(crate) fn topic_name(&self, topic: u32) -> &str {
        &self.topics[topic as usize]
    }

    pub(crate) fn is_valid(&self, slot: u32, column: usize) -> bool {
        self.valid[slot as usize] >> column & 1 == 1
    }

    /// The text of a row, empty where it is null.
    pub(crate) fn text(&self, slot: u32, column: usize) -> &str {
        match &self.columns[column] {
            Column::Text(texts) => texts.get(slot),
            _ => unreachable!("asked for the text of a column that is none"),
        }
    }

    /// The number of a row; none where it is null, or the column's values are no floats.
    pub(crate) fn float(&self, slot: u32, column: usize) -> Option<f64> {
        match &self.columns[column] {
            Column::Float(values) if self.is_valid(slot, column) => Some(values[slot as usize]),
            _ => None,
        }
    }

    /// One column of `slots`, in that order.
    pub(crate) fn gather(&self, slots: &[u32], column: usize) -> ArrayRef {
        let nulls =
            self.schema.field(column).is_nullable().then(|| {
                NullBuffer::new(BooleanBuffer::collect_bool(slots.len(), |i| self.is_valid(slots[i], column)))
            });
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        match &self.columns[column] {
            Column::Int(values) => {
                let values: ScalarBuffer<i64> = slots.iter().map(|&slot| of(values, slot)).collect();
                Arc::new(Int64Array::new(values, nulls))
            }
            Column::Float(values) => {
                let values: ScalarBuffer<f64> = slots.iter().map(|&slot| of(values, slot)).collect();
                Arc::new(Float64Array::new(values, nulls))
            }
            Column::Bool(values) => {
                let values = BooleanBuffer::collect_bool(slots.len(), |i| of(values, slots[i]));
                Arc::new(BooleanArray::new(values, nulls))
            }
            Column::Text(texts) => texts.gather(slots, nulls),
        }
    }

    /// All columns of one row.
    pub(crate) fn row(&self, slot: u32) -> RecordBatch {
        let columns = (0..self.columns.len()).map(|column| self.gather(&[slot], column)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("columns are gathered by the schema")
    }
}

impl Store {
    /// Lets go of rows for all holders; a row may be named twice.
    pub(crate) fn forget<'a>(&mut self, slots: impl Iterator<Item = &'a u32>) {
        for &slot in slots {
            if std::mem::take(&mut self.held[slot as usize]) != 0 {
                self.garbage.push(slot);
            }
        }
    }
}
