//! One user as JSON, for whoever wants to know what is kept of him.

use arrow::array::{Array, AsArray, RecordBatch};

use super::columns::column;
use crate::{FoldError, json::cell, json::plain};

/// The row of a user in a batch of an export, as JSON text: `null` where he is gone, none where he is not in it.
///
/// # Errors
/// Where the batch is not an export's.
pub fn describe_user(batch: &RecordBatch, user_id: &str) -> Result<Option<String>, FoldError> {
    let ids = column(batch, "user_id")?.as_string_opt::<i32>();
    let ids = ids.ok_or_else(|| FoldError::Snapshot("its column `user_id` is no text".into()))?;
    let Some(row) = (0..ids.len()).find(|&row| ids.value(row) == user_id) else { return Ok(None) };
    let mut text = Vec::new();
    if column(batch, "ordinal")?.is_null(row) {
        text.extend_from_slice(b"null");
    } else {
        for (at, (field, values)) in batch.schema().fields().iter().zip(batch.columns()).enumerate() {
            text.push(if at == 0 { b'{' } else { b',' });
            plain(&mut text, field.name());
            text.push(b':');
            cell(&mut text, values.as_ref(), row);
        }
        text.push(b'}');
    }
    Ok(Some(String::from_utf8(text).expect("JSON is text")))
}
