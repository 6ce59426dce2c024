//! Every shape that crosses a wire: events, packed records of the internal topic, outputs, topic names, partitions.
//!
//! # Layout
//! - [`event`]: the columns of one event, as the views see them and as they travel.
//! - [`packed`]: a record of `<app>.by-user`: watermark controls and many rows.
//! - [`hostile`]: Arrow bytes that anybody may have written.
//! - [`sample`]: what a model learns from.
//! - [`request`]: what is asked of single users.
//! - [`output`]: what goes back to Kafka, and where to.
//! - [`timestamp`]: RFC 3339 to milliseconds.
//! - [`topics`]: the names of all topics.
//! - [`partition`]: which partition a key lives in.

pub mod event;
pub mod hostile;
pub mod output;
pub mod packed;
pub mod partition;
pub mod request;
pub mod sample;
pub mod timestamp;
pub mod topics;
