//! Where a test makes calls fail.

use crate::log::LogError;

/// A call of [`crate::log::Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// `poll`
    Poll,
    /// `seek`
    Seek,
    /// `committed`
    Committed,
    /// `watermarks`
    Watermarks,
    /// `begin`
    Begin,
    /// `send`
    Send,
    /// `send_offsets`
    SendOffsets,
    /// `commit`
    Commit,
    /// `abort`
    Abort,
    /// `reopen`
    Reopen,
}

/// How a call fails.
#[derive(Debug)]
pub enum Fault {
    /// It does nothing.
    Before(LogError),
    /// It does its work, and the answer is lost.
    After(LogError),
}

/// Asked at every call which one is to fail.
pub trait Faults: Send + Sync {
    /// Whether this call of the member of that name fails.
    fn at(&self, call: Call, member: &str) -> Option<Fault>;
}
