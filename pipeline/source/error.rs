//! What was wrong with an input, where, and what to do.

/// Why an input cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {place}; {remedy}")]
pub struct SourceError {
    /// Whether the argument itself is wrong, whatever the files hold.
    pub usage: bool,
    /// What was wrong.
    pub what: String,
    /// Where.
    pub place: String,
    /// What to do.
    pub remedy: String,
}

impl SourceError {
    /// A wrong argument.
    pub fn usage(what: impl Into<String>, place: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { usage: true, what: what.into(), place: place.into(), remedy: remedy.into() }
    }

    /// A source that fails.
    pub fn failed(what: impl Into<String>, place: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { usage: false, what: what.into(), place: place.into(), remedy: remedy.into() }
    }
}
