//! How good forecasts are: the prequential and the matrix protocol, and the baselines that stand beside every network.
//!
//! ```text
//! events ─► stream ─► tune, fit on the first half ─► issue a forecast after every event ─► score it ─► report
//!                                                       ▲                                     │
//!                                                       └──────── learn, block by block ◄─────┘
//! ```
//!
//! A forecast counts as it was *issued*: with what was known when the user's previous event had just been folded. One
//! that is made at the moment of the event knows more: parameters that were fitted to events inside the gap tell the
//! clock, and so a lower bound of the gap.
//!
//! # Layout
//! - [`input`]: records to a stream.
//! - [`stream`]: the events of a data set in one order, and its split. [`past`]: what is seen at one place of it.
//! - [`forecaster`]: what a model must be able to do; what a forecast is judged by.
//! - [`mod@prequential`]: every event scored under the forecast in force, then learned from.
//! - [`matrix`]: tasks one after another; what is forgotten, what carries over.
//! - [`baselines`]: models that need no network: constant, bigram, user, blend, hawkes.
//! - [`neural`]: PromptTPP, frozen and learning in five ways.
//! - [`mixture`]: log-normal mixtures of gaps.
//! - [`bootstrap`]: intervals by resampling users. [`sample`]: figures of a sample.
//! - [`ranking`]: candidates ranked by counters, attention, SDIM and MUSE: a protocol of its own.
//! - [`report`]: the JSON and the tables that are printed.
//! - [`regimes`]: a process of known truth whose regime changes.

pub mod baselines;
pub mod bootstrap;
pub mod forecaster;
pub mod input;
pub mod matrix;
pub mod mixture;
pub mod neural;
pub mod past;
pub mod prequential;
pub mod ranking;
pub mod regimes;
pub mod report;
pub mod sample;
pub mod stream;

#[cfg(test)]
mod tests;

pub use forecaster::{Forecaster, Judgment, Outcome, Score};
pub use past::Past;
pub use prequential::{Scores, prequential};
pub use report::{MatrixReport, Report};
pub use stream::{Event, Split, Stream};

/// Why an evaluation cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// There is no gap to measure others by.
    #[error(
        "no user comes back at a later time within the warm-up, the first {warm_up} of {events} events; give more \
         events, or events of users who come back"
    )]
    NoGap {
        /// Events of the warm-up.
        warm_up: usize,
        /// Events of the whole stream.
        events: usize,
    },
    /// There is nothing to choose settings on, or to score.
    #[error(
        "the {part} of the stream ({from}..{until} of {events} events) has no event whose user was seen before; give \
         more events, or events of users who come back"
    )]
    Empty {
        /// Which part.
        part: &'static str,
        /// Its first position.
        from: usize,
        /// The position after its last.
        until: usize,
        /// Events of the whole stream.
        events: usize,
    },
    /// A kind outside the alphabet.
    #[error("event {position} of user {user} has kind {kind}, but there are only {kinds} kinds; count them first")]
    Kind {
        /// Where, in the order given.
        position: usize,
        /// Whose.
        user: u32,
        /// The kind.
        kind: u32,
        /// How many kinds there are.
        kinds: usize,
    },
    /// A window of the matrix protocol in which nothing is to be learned or scored.
    #[error("task {task} of {tasks} has no event to {purpose}; cut the stream into fewer tasks")]
    Task {
        /// Which task.
        task: usize,
        /// How many there are.
        tasks: usize,
        /// What the missing events are for.
        purpose: &'static str,
    },
    /// A score that is no number.
    #[error("model `{model}` gave {nats} nats to event {position}; its parameters have left what is finite")]
    NotFinite {
        /// Whose score.
        model: String,
        /// The event's position in the stream.
        position: usize,
        /// The score.
        nats: f64,
    },
    /// A model failed for a reason of its own.
    #[error("model `{model}` failed: {source}")]
    Model {
        /// Which model.
        model: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
