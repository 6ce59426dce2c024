//! Decode: the bytes of an input record to a typed, borrowed view of it, or to the reason why it is a dead letter.

mod event;
mod field;
mod forget;
mod item;

pub use event::{Event, decode_event};
pub use field::Value;
pub use forget::decode_forget;
pub use item::{Item, decode_item};

/// Why a record is a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is not a JSON object, or a field of it has the wrong type or range; the message names it.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A required field is missing or null.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// It is longer than `events.max_bytes`.
    #[error("{0} bytes are more than events.max_bytes = {1}")]
    TooLong(usize, usize),
    /// Its time is too far ahead of the record's Kafka timestamp.
    #[error("`time` is {0} ms ahead of the record's timestamp, more than events.max_ahead_ms = {1}")]
    Ahead(i64, i64),
    /// The item's vector cannot be used.
    #[error("`vector` {0}")]
    Vector(String),
    /// A tombstone where a record is expected.
    #[error("the record has no value")]
    Empty,
}
