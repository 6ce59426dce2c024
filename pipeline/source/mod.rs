//! Records from files: the inputs of `run` and `replay`.
//!
//! # Layout
//! - [`input`]: `TOPIC=SOURCE` as the command line has it.
//! - [`open`]: a file, its format and its compression, by name.
//! - [`lines`]: a `.jsonl` file, byte for byte.
//! - [`values`]: a `.json` file of one array or of many objects.
//! - [`query`]: `.csv`, `.parquet` and SQL, rows made into JSON by DataFusion.
//! - [`read`]: each source reads ahead on a thread of its own, in bounded chunks.
//! - [`merge`]: the order over several sources.
//! - [`peek`]: a record's time and key, without decoding the rest.

pub mod error;
pub mod input;
pub mod lines;
pub mod merge;
pub mod open;
pub mod peek;
pub mod query;
pub mod read;
pub mod values;

pub use error::SourceError;
pub use input::{Input, InputTopic, Source};
pub use merge::{Merge, Record};
