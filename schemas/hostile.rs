//! Arrow's readers trust lengths that stand in the bytes, and panic where they lie.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::error::ArrowError;

/// Reads bytes that anybody may have written: a panic of the reader is an error.
///
/// # Errors
/// What `read` says, or that it panicked.
pub fn read_hostile<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    // What was half read is dropped with the closure: nothing is left in a state that nobody meant.
    let lie = |_| ArrowError::IpcError("its lengths do not fit its bytes".into());
    catch_unwind(AssertUnwindSafe(read)).map_err(lie).flatten()
}
