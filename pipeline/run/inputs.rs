//! The inputs of the command line, as a run takes them.

use super::{Append, Feed, RunError};
use crate::source::{Input, Merge, SourceError};

/// Files and queries, merged into one order.
pub struct Inputs {
    inputs: Vec<Input>,
    merge: Merge,
}

impl Inputs {
    /// Opens all inputs.
    ///
    /// # Errors
    /// Where one cannot be opened.
    pub fn open(inputs: Vec<Input>) -> Result<Self, SourceError> {
        Ok(Self { merge: Merge::open(&inputs)?, inputs })
    }
}

impl Feed for Inputs {
    fn partitions(&self, topic: &str) -> i32 {
        self.inputs.iter().filter(|input| input.topic.name() == topic).count() as i32
    }

    fn feed(&mut self, append: &mut Append<'_>) -> Result<(), RunError> {
        while let Some(record) = self.merge.next()? {
            append(record.topic.name(), record.partition, record.value)?;
        }
        Ok(())
    }
}
