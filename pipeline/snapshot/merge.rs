//! Many parts into a full copy: of each user the newest, and nobody who is gone.

use std::collections::HashSet;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use super::part::PartWriter;

/// A full copy that grows, given batches the newest first.
#[derive(Default)]
pub(super) struct Merge {
    known: HashSet<Box<str>>,
    writer: PartWriter,
}

impl Merge {
    /// Takes the users of a batch who were in no newer one.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("no column `{name}`")))
        };
        let (ids, ordinals) = (column("user_id")?, column("ordinal")?);
        let text = || ArrowError::SchemaError("`user_id` is no text".into());
        let ids = ids.as_string_opt::<i32>().ok_or_else(text)?;
        let keep = |row: usize| self.known.insert(ids.value(row).into()) && ordinals.is_valid(row);
        let keep: BooleanArray = (0..batch.num_rows()).map(keep).map(Some).collect();
        self.writer.write(&filter_record_batch(batch, &keep)?)
    }

    /// As [`PartWriter::finish`].
    pub(super) fn finish(self) -> Result<Vec<(Vec<u8>, u64)>, ArrowError> {
        self.writer.finish()
    }
}
