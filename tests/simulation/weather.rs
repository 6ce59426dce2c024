//! Calls of the log that fail, by a seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pipeline::log::embedded::{Call, Fault, Faults};
use pipeline::log::{Class, LogError};

use crate::streams::Dice;

/// How a call may fail: before or after its work, and what it says.
const NOTHING_DONE: [(bool, Class, bool); 4] = [
    (false, Class::Retriable, false),
    (false, Class::Abortable, false),
    (false, Class::Reopen, false),
    (false, Class::Reopen, true),
];
const ANSWER_LOST: [(bool, Class, bool); 2] = [(true, Class::Reopen, false), (true, Class::Reopen, true)];
const CRASH: [(bool, Class, bool); 2] = [(false, Class::Fatal, false), (true, Class::Fatal, false)];

/// Fails one call in so many; 0 fails none.
pub struct Weather {
    dice: Mutex<Dice>,
    one_in: AtomicU64,
    pub failed: AtomicU64,
}

impl Weather {
    pub fn new(seed: u64, one_in: u64) -> Self {
        let dice = Mutex::new(Dice(seed));
        Self { dice, one_in: AtomicU64::new(one_in), failed: AtomicU64::new(0) }
    }

    pub fn calm(&self) {
        self.one_in.store(0, Ordering::Relaxed);
    }
}

impl Faults for Weather {
    fn at(&self, call: Call, member: &str) -> Option<Fault> {
        let one_in = self.one_in.load(Ordering::Relaxed);
        let mut dice = self.dice.lock().unwrap();
        if one_in == 0 || !dice.one_in(one_in) {
            return None;
        }
        let mut ways = Vec::new();
        match call {
            Call::Poll => {}
            Call::Seek | Call::Committed | Call::Watermarks => ways.extend(&NOTHING_DONE[..1]),
            Call::Begin | Call::Abort | Call::Reopen => ways.extend([NOTHING_DONE[0], NOTHING_DONE[2]]),
            Call::Send | Call::SendOffsets => ways.extend(NOTHING_DONE),
            Call::Commit => {
                ways.extend(NOTHING_DONE);
                ways.extend(ANSWER_LOST);
            }
        }
        if dice.one_in(3) {
            ways = CRASH.to_vec();
        }
        if ways.is_empty() {
            return None;
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        let (after, class, fenced) = ways[dice.below(ways.len() as u64) as usize];
        let error = LogError { fenced, ..LogError::new(class, format!("{call:?} of {member}"), "weather".into()) };
        Some(if after { Fault::After(error) } else { Fault::Before(error) })
    }
}
