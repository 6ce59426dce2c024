//! A record that cannot be used goes to `dead-letters`: bytes unchanged, with where it came from and why.

use schemas::output::{Emit, Output, Record};

use crate::log::Incoming;

/// Stages `record` as a dead letter of `task`.
pub fn emit(task: i32, record: Incoming<'_>, error: &dyn std::error::Error, staged: &mut dyn Emit) {
    let (error, offset) = (error.to_string(), record.offset.to_string());
    let from = record.partition.to_string();
    let headers = [
        ("wellspring.error", error.as_bytes()),
        ("wellspring.topic", record.topic.as_bytes()),
        ("wellspring.partition", from.as_bytes()),
        ("wellspring.offset", offset.as_bytes()),
    ];
    let (partition, key, value) = (record.partition, record.key, Some(record.value.unwrap_or_default()));
    staged.emit(task, Record { output: Output::DeadLetter, partition, key, value, headers: &headers });
}
