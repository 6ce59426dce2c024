//! The order over several sources: items first, then always the source whose next record is oldest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::input::{Input, InputTopic};
use super::read::Reader;
use super::{SourceError, peek};

/// A record of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The topic.
    pub topic: InputTopic,
    /// The source partition: the input's place among those of its topic.
    pub partition: i32,
    /// The bytes.
    pub value: &'a [u8],
}

/// All inputs in one order.
///
/// Inputs of `items` come first, each to its end. Then comes the record with the smallest time among the next ones of
/// all other inputs; ties go by the order of the command line, and a record without a readable time comes at once.
pub struct Merge {
    sources: Vec<(Input, Reader)>,
    /// The inputs of `items` still to be read, last first.
    first: Vec<usize>,
    /// The next record's time of each other input.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    /// Other inputs whose next record is still to be read.
    behind: Vec<usize>,
    /// With one input only, nobody asks for the time.
    timed: bool,
}

impl Merge {
    /// Opens all inputs and starts to read ahead.
    ///
    /// # Errors
    /// Where one cannot be opened.
    pub fn open(inputs: &[Input]) -> Result<Self, SourceError> {
        let sources: Result<Vec<_>, _> = inputs.iter().map(|input| Ok((input.clone(), Reader::open(input)?))).collect();
        let (mut first, behind): (Vec<_>, Vec<_>) =
            (0..inputs.len()).partition(|index| inputs[*index].topic == InputTopic::Items);
        first.reverse();
        let timed = behind.len() > 1;
        Ok(Self { sources: sources?, first, heads: BinaryHeap::new(), behind, timed })
    }

    /// The next record, until the next call; none at the end of all inputs.
    ///
    /// # Errors
    /// Where a source fails.
    #[expect(clippy::should_implement_trait, reason = "the record borrows from the sources, which an iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, SourceError> {
        while let Some(index) = self.first.last().copied() {
            if self.sources[index].1.advance()? {
                return Ok(Some(self.record(index)));
            }
            self.first.pop();
        }
        for index in std::mem::take(&mut self.behind) {
            let reader = &mut self.sources[index].1;
            if reader.advance()? {
                let time = if self.timed { peek::time_ms(reader.current()) } else { None };
                self.heads.push(Reverse((time.unwrap_or(i64::MIN), index)));
            }
        }
        let Some(Reverse((_, index))) = self.heads.pop() else { return Ok(None) };
        self.behind.push(index);
        Ok(Some(self.record(index)))
    }

    fn record(&self, index: usize) -> Record<'_> {
        let (input, reader) = &self.sources[index];
        Record { topic: input.topic, partition: input.partition, value: reader.current() }
    }

    /// Bytes taken from the disk so far, and those of all files; none where a source is a query.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let read = self.sources.iter().map(|(_, reader)| reader.bytes_read()).sum();
        (read, self.sources.iter().map(|(_, reader)| reader.total).sum())
    }
}
