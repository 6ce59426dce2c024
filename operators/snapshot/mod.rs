//! The durable state of a task as record batches, and back: facts only, users whole.
//!
//! An export holds the users that changed since the export before it, so a chain of exports, the newest first, is the
//! state: of each user the first that is met counts. One row is one user:
//!
//! | column | |
//! |---|---|
//! | `user_id` | |
//! | `ordinal` | rows ever; null: the user is gone |
//! | `event_ids` | hashes of his last event ids, oldest first |
//! | `rows` | his history by time, then arrival, then rows that only the item window holds: the columns of events, where each came from, and which rolling and latest views it is in |
//! | `history` | how many of `rows` are the history |
//! | `items` | places in `rows` of the item window, in its order |
//! | `windows` | open windows: the view's place, start, end, further keys, state of the aggregates |
//! | `seen` | values of latest-value views that a reader still sees |
//! | `note` | what the encoders noted of him |
//!
//! Timers are not written: they follow from the windows and the watermark.
//!
//! # Layout
//! - `describe`: one user as JSON. `export`: users to batches. `import`: batches to users. `columns`: the lists both are made of.

mod columns;
mod describe;
mod export;
mod import;

pub use describe::describe_user;
pub use export::Export;
pub use import::Restore;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// What tells whether the state of a view is of use: a view with another text is another view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewIdentity {
    /// Its name.
    pub name: String,
    /// Hash of its normalized SQL, in hexadecimal.
    pub sql_hash: String,
    /// Whether it is computed from the history: such views have a bit in each row, in the order of the list.
    pub from_history: bool,
}

/// Names in the struct of a row that no column of events has.
const SOURCE_TOPIC: &str = "#topic";
const SOURCE_PARTITION: &str = "#partition";
const SOURCE_OFFSET: &str = "#offset";
const VIEWS: &str = "#views";
const NOTE: &str = "note";

fn list(name: &str, of: DataType) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new_list_field(of, true))), false)
}

fn window_fields() -> Fields {
    let long = |name| Field::new(name, DataType::Int64, false);
    let bytes = |name| Field::new(name, DataType::Binary, false);
    vec![Field::new("view", DataType::UInt16, false), long("start"), long("end"), bytes("key"), bytes("state")].into()
}

fn seen_fields() -> Fields {
    vec![Field::new("view", DataType::UInt16, false), Field::new("key", DataType::Binary, false)].into()
}

/// Fields of a row: events' columns, texts without views, and ours.
fn row_fields(events: &Schema) -> Fields {
    let text = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8View => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
        _ => Arc::clone(field),
    };
    let own = [
        Field::new(SOURCE_TOPIC, DataType::Utf8, false),
        Field::new(SOURCE_PARTITION, DataType::Int32, false),
        Field::new(SOURCE_OFFSET, DataType::Int64, false),
        Field::new(VIEWS, DataType::Binary, false),
    ];
    events.fields().iter().map(text).chain(own.map(Arc::new)).collect()
}

/// The schema of an export, for these columns of events.
fn schema(events: &Schema) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("ordinal", DataType::UInt64, true),
        list("event_ids", DataType::UInt64),
        list("rows", DataType::Struct(row_fields(events))),
        Field::new("history", DataType::UInt32, false),
        list("items", DataType::UInt32),
        list("windows", DataType::Struct(window_fields())),
        list("seen", DataType::Struct(seen_fields())),
        Field::new(NOTE, DataType::Binary, false),
    ]))
}
