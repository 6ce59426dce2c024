//! `route = "direct"`: the events of a topic that is keyed by user already, without the hop through `by-user`.
//!
//! A task is a partition of `events` itself, and its watermark is the partition's own, as in Kafka Streams: windows of a
//! partition that is silent close with its next event. A record that is not its partition's, or concerns two users, is a
//! dead letter; one with a key and no value forgets that user.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use schemas::packed::{Control, Progress};
use schemas::partition::partition_of;

use crate::decode::{Admission, DecodeError};
use crate::log::Incoming;
use crate::route::progress::{Kept, Source};
use crate::route::rows::{Origin, Rows, halves};

/// Rows of a partition are folded when they take so many bytes.
const ROWS_BYTES_MAX: usize = 512 << 10;

/// What direct tasks know beside their state.
pub struct Direct {
    admission: Admission,
    partitions: u32,
    out_of_orderness_ms: i64,
    tasks: BTreeMap<i32, Partition>,
}

struct Partition {
    source: Source,
    rows: Rows,
}

/// What a record asks for.
pub enum Asked<'a> {
    /// It is one more row.
    Row {
        /// Whether the rows should be folded now.
        full: bool,
    },
    /// Its user is to be forgotten.
    Forget(&'a str),
}

impl Direct {
    /// No tasks yet, of an events topic with so many partitions.
    pub fn new(admission: Admission, partitions: u32, out_of_orderness_ms: i64) -> Self {
        Self { admission, partitions, out_of_orderness_ms, tasks: BTreeMap::new() }
    }

    /// A task begins at `watermark`.
    pub fn begin(&mut self, task: i32, watermark: i64) {
        let time_max = (watermark > i64::MIN).then(|| watermark.saturating_add(self.out_of_orderness_ms));
        let source = Source::new(Kept { time_max }, self.out_of_orderness_ms);
        self.tasks.insert(task, Partition { source, rows: Rows::new(&self.admission.columns) });
    }

    /// The task is another's.
    pub fn end(&mut self, task: i32) {
        self.tasks.remove(&task);
    }

    /// Takes one record; also gives how many of its fields nobody declared.
    ///
    /// # Errors
    /// Where the record is a dead letter, with the reason.
    pub fn record<'a>(&mut self, record: Incoming<'a>) -> Result<(Asked<'a>, u64), DecodeError> {
        if let (None, Some(key)) = (record.value, record.key) {
            let user_id = std::str::from_utf8(key).map_err(|_| DecodeError::Empty)?;
            self.own(user_id, record.partition)?;
            return Ok((Asked::Forget(user_id), 0));
        }
        let event = self.admission.event(record)?;
        self.own(&event.user_id, record.partition)?;
        let (half, other) = halves(&event);
        if other.is_some() {
            return Err(DecodeError::Relational);
        }
        let task = self.tasks.get_mut(&record.partition).expect("the caller found the task");
        let stamp = task.source.watermark();
        task.source.saw(event.time);
        task.rows.push(Origin { stamp, partition: record.partition, offset: record.offset }, half, &event);
        Ok((Asked::Row { full: task.rows.bytes() >= ROWS_BYTES_MAX }, event.undeclared))
    }

    fn own(&self, user_id: &str, partition: i32) -> Result<(), DecodeError> {
        let right = partition_of(user_id.as_bytes(), self.partitions);
        if right == partition { Ok(()) } else { Err(DecodeError::Misplaced(user_id.into(), right, self.partitions)) }
    }

    /// The rows of a task that wait, and what they make of its watermark.
    pub fn take(&mut self, task: i32, topic: &str) -> Option<(RecordBatch, Control)> {
        let Partition { source, rows } = self.tasks.get_mut(&task)?;
        let control = |progress| Control { topic: topic.into(), partition: task, progress };
        Some((rows.take()?, control(Progress::At(source.watermark()))))
    }
}
