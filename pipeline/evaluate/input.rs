//! Input records as a stream: users and kinds become numbers.

use std::collections::BTreeMap;

use schemas::event::EventColumns;

use super::{EvaluateError, Event, Stream};
use crate::decode::decode_event;
use crate::route::rows::halves;
use crate::source::SourceError;
use crate::source::input::{Input, InputTopic};
use crate::source::merge::Merge;

/// Why no stream is read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The events cannot be evaluated.
    #[error(transparent)]
    Stream(#[from] EvaluateError),
}

/// A stream, and what its numbers stand for.
#[derive(Debug)]
pub struct Numbered {
    /// The events.
    pub stream: Stream,
    /// The types, by number.
    pub kinds: Vec<String>,
    /// How many records were none.
    pub dead: u64,
}

/// Reads all events of the inputs. An event of two users is one of each. Numbers follow the order of ids: whole numbers
/// by value, before all others, by text.
///
/// # Errors
/// Where a source cannot be read, or too few users come back.
pub fn read(inputs: &[Input], columns: &EventColumns) -> Result<Numbered, InputError> {
    let mut merge = Merge::open(inputs)?;
    let (mut users, mut kinds) = (Names::default(), Names::default());
    let (mut events, mut dead) = (Vec::new(), 0);
    while let Some(record) = merge.next()? {
        if record.topic != InputTopic::Events {
            continue;
        }
        let Ok(event) = decode_event(record.value, columns) else {
            dead += 1;
            continue;
        };
        let (first, second) = halves(&event);
        for half in [Some(first), second].into_iter().flatten() {
            events.push((users.number(half.user_id), kinds.number(&event.kind), event.time));
        }
    }
    let ((users, _), (kinds, names)) = (users.ordered(), kinds.ordered());
    let event = |(user, kind, time_ms): (u32, u32, i64)| Event {
        user: users[user as usize],
        kind: kinds[kind as usize],
        time_ms,
    };
    let stream = Stream::new(events.into_iter().map(event).collect(), names.len())?;
    Ok(Numbered { stream, kinds: names, dead })
}

/// Numbers in the order of their first sight.
#[derive(Default)]
struct Names(BTreeMap<Box<str>, u32>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        match self.0.get(name) {
            Some(&number) => number,
            None => {
                let number = u32::try_from(self.0.len()).expect("fewer names than bytes of memory");
                self.0.insert(name.into(), number);
                number
            }
        }
    }

    /// By first number the final one, and the names in their final order.
    fn ordered(self) -> (Vec<u32>, Vec<String>) {
        let mut names: Vec<(Box<str>, u32)> = self.0.into_iter().collect();
        names.sort_by_key(|(name, _)| name.parse::<u64>().map_or((1, 0), |number| (0, number)));
        let mut numbers = vec![0; names.len()];
        names.iter().enumerate().for_each(|(at, (_, first))| numbers[*first as usize] = at as u32);
        (numbers, names.into_iter().map(|(name, _)| name.into()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_before_texts_and_by_value() {
        let mut names = Names::default();
        let first: Vec<u32> = ["10", "b", "9", "a", "b"].into_iter().map(|name| names.number(name)).collect();
        assert_eq!(first, [0, 1, 2, 3, 1]);
        let (numbers, names) = names.ordered();
        assert_eq!(names, ["9", "10", "a", "b"]);
        assert_eq!(numbers, [1, 3, 0, 2]);
    }
}
