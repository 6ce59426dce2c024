//! Decode: the bytes of an input record to a typed, borrowed view of it, or to the reason why it is a dead letter.

mod admission;
mod candidates;
mod event;
mod feedback;
mod field;
mod forget;
mod item;
mod list;

pub use admission::Admission;
pub use candidates::{Candidates, decode_candidates};
pub use event::{Event, decode_event};
pub use feedback::{Feedback, decode_feedback};
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
    /// With `route = "direct"`, it stands in another partition than its user's.
    #[error(
        "user {0:?} belongs to partition {1} of {2}; route = \"direct\" needs events keyed by user_id and partitioned by \
         murmur2 (Java's default; in librdkafka partitioner=murmur2_random), or set route = \"by-user\""
    )]
    Misplaced(String, i32, u32),
    /// With `route = "direct"`, it concerns two users.
    #[error(
        "`other_id`: the event concerns two users; route = \"direct\" takes personal events only, route = \"by-user\" all"
    )]
    Relational,
    /// The item is of no version.
    #[error("`version` is {0}, but versions of items are whole numbers from 0 on")]
    Version(i64),
    /// The item's vector cannot be used.
    #[error("`vector` {0}")]
    Vector(String),
    /// A request of more items than are scored.
    #[error("`item_ids` has {0} items, more than candidates.items_max = {1}; ask for them in several requests")]
    TooMany(usize, usize),
    /// A feature that does not tell every item.
    #[error("`{name}` has {numbers} numbers for {items} items; a feature has one number per item, null where unknown")]
    Feature {
        /// The feature.
        name: Box<str>,
        /// How many numbers it has.
        numbers: usize,
        /// How many items there are.
        items: usize,
    },
    /// A tombstone where a record is expected.
    #[error("the record has no value")]
    Empty,
}
