//! What a record of `events` must be besides JSON.

use schemas::event::EventColumns;

use super::{DecodeError, Event, decode_event};
use crate::log::Incoming;

/// Which records are let in.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The columns of events.
    pub columns: EventColumns,
    /// `events.max_ahead_ms`.
    pub max_ahead_ms: Option<i64>,
    /// `events.max_bytes`.
    pub bytes_max: usize,
}

impl Admission {
    /// The bytes of a record of any input.
    ///
    /// # Errors
    /// Where there are none, or too many.
    pub fn value<'a>(&self, record: Incoming<'a>) -> Result<&'a [u8], DecodeError> {
        match record.value {
            None => Err(DecodeError::Empty),
            Some(value) if value.len() > self.bytes_max => Err(DecodeError::TooLong(value.len(), self.bytes_max)),
            Some(value) => Ok(value),
        }
    }

    /// The event that a record is.
    ///
    /// # Errors
    /// Where the record is a dead letter, with the reason.
    pub fn event<'a>(&self, record: Incoming<'a>) -> Result<Event<'a>, DecodeError> {
        let event = decode_event(self.value(record)?, &self.columns)?;
        if let (Some(limit), Some(timestamp)) = (self.max_ahead_ms, record.timestamp_ms) {
            let ahead = event.time.saturating_sub(timestamp);
            if ahead > limit {
                return Err(DecodeError::Ahead(ahead, limit));
            }
        }
        Ok(event)
    }
}
