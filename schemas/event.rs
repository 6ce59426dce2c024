//! The columns of one event.
//!
//! An input record becomes one row (a personal event), two rows (a relational event: one half for each user) or one row
//! of role `self`. The columns that SQL sees are [`EventColumns::schema`]; on the wire the `SYSTEM` columns stand before
//! them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// Columns of every event, in order; all but `user_id`, `type` and `time` may be null.
pub const FIXED: [&str; 10] =
    ["user_id", "type", "time", "event_id", "item_id", "other_id", "role", "value", "merchant_id", "category"];

/// Columns that stand before an event's own on the wire.
///
/// - `stamp` (Int64, ms): the watermark of the row's source partition as it stood before the row; `i64::MIN` is −∞.
/// - `source_partition` (Int32), `source_offset` (Int64): where the input record stood in its topic.
pub const SYSTEM: [&str; 3] = ["stamp", "source_partition", "source_offset"];

/// Events from this time on (2200-01-01, ms) and before 1970 are dead letters.
pub const TIME_END_MS: i64 = 7_258_118_400_000;

/// The type of a declared column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// 64-bit signed integer.
    Int64,
    /// 64-bit float; integers are accepted.
    Float64,
    /// Text; integers are kept as their decimal text.
    String,
    /// `true` or `false`.
    Boolean,
}

impl ColumnType {
    /// The Arrow type of the column in memory.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::String => DataType::Utf8View,
            Self::Boolean => DataType::Boolean,
        }
    }
}

/// The fixed columns and those that the configuration declares (`events.columns`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventColumns {
    declared: Vec<(String, ColumnType)>,
}

/// Why a declared column cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("events.columns: `{0}` is a column of every event or of the service's own; choose another name")]
pub struct NameTaken(String);

impl EventColumns {
    /// Columns with `declared` ones after the fixed, in the order given.
    ///
    /// # Errors
    /// Where a declared name is taken.
    pub fn new(declared: Vec<(String, ColumnType)>) -> Result<Self, NameTaken> {
        let taken = |name: &str| FIXED.contains(&name) || SYSTEM.contains(&name) || name == "age_ms";
        match declared.iter().find(|(name, _)| taken(name)) {
            Some((name, _)) => Err(NameTaken(name.clone())),
            None => Ok(Self { declared }),
        }
    }

    /// The declared columns, in order.
    pub fn declared(&self) -> &[(String, ColumnType)] {
        &self.declared
    }

    /// The columns as SQL sees them: text is `Utf8View`, `time` is Int64 milliseconds.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields()))
    }

    /// The columns as they travel: [`SYSTEM`], then [`Self::schema`]'s.
    pub fn wire_schema(&self) -> SchemaRef {
        let system = [DataType::Int64, DataType::Int32, DataType::Int64];
        let system = SYSTEM.iter().zip(system).map(|(name, kind)| Field::new(*name, kind, false));
        Arc::new(Schema::new(system.chain(self.fields()).collect::<Vec<_>>()))
    }

    fn fields(&self) -> Vec<Field> {
        let fixed = FIXED.iter().map(|&name| match name {
            "user_id" | "type" => Field::new(name, DataType::Utf8View, false),
            "time" => Field::new(name, DataType::Int64, false),
            "value" => Field::new(name, DataType::Float64, true),
            _ => Field::new(name, DataType::Utf8View, true),
        });
        let declared = self.declared.iter().map(|(name, kind)| Field::new(name, kind.data_type(), true));
        fixed.chain(declared).collect()
    }
}
