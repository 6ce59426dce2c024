//! How well candidates are ranked: live counters, attention of several kinds, SDIM and MUSE on one log, by one protocol.
//!
//! ```text
//! records ─► log ─► split by time ─► counters, vectors ─► rows without a network ─┐
//!                                        └─► interest ─► train, choose an epoch ──┴─► report on the test part
//! ```
//!
//! An example is a candidate of a request; its label is the feedback of that request and item, none is no click. The
//! first 70 % of the examples in time order are trained on, the next 10 % choose, the last 20 % are reported; requests
//! of one time stamp are never parted. Models are frozen after training, histories and counters stay live: a request
//! sees everything strictly older than itself, and of its user's behaviors the newest [`Options::history_max`].
//!
//! # Layout
//! - [`input`]: records to a log. [`log`]: histories, requests, candidates, and the split.
//! - [`keys`]: vectors of items, from content or from co-occurrence.
//! - [`replay`]: the live counters as each request saw them.
//! - [`untrained`]: rows that need no network. [`logistic`]: the regression in them.
//! - [`interest`]: what rows read of the whole history. [`batch`]: requests as a model takes them.
//! - [`train`]: epochs, and which one is taken.
//! - [`metrics`]: AUC, GAUC, log-loss, intervals. [`report`]: what is printed.

pub mod batch;
pub mod input;
pub mod interest;
pub mod keys;
pub mod log;
pub mod logistic;
pub mod metrics;
pub mod replay;
pub mod report;
#[cfg(test)]
mod tests;
pub mod train;
pub mod untrained;

pub use log::{Log, Part};
pub use report::Report;

use interest::Hash;
use keys::{Keys, Source};
use replay::Replay;
use shaders::ranking::SaTa;

/// Why candidates cannot be ranked.
#[derive(Debug, thiserror::Error)]
pub enum RankingError {
    /// A part in which nothing is to be learned or told.
    #[error(
        "the {part} part has {examples} candidates, {positives} of them clicked, but needs both labels; give more \
         requests (--input candidates=…) with the feedback on them (--input feedback=…), over a longer time"
    )]
    OneClass {
        /// Which part.
        part: &'static str,
        /// Its candidates.
        examples: usize,
        /// Those that were clicked.
        positives: usize,
    },
    /// A model's scores are no numbers.
    #[error("model `{model}` gave a score that is no number; its parameters have left what is finite")]
    NotFinite {
        /// Which model.
        model: &'static str,
    },
    /// A model failed.
    #[error("model `{model}` failed: {source}")]
    Model {
        /// Which model.
        model: &'static str,
        /// Why.
        source: shaders::Error,
    },
}

/// How a log is evaluated.
#[derive(Clone, Debug)]
pub struct Options {
    /// The newest behaviors of a user that a request sees.
    pub history_max: usize,
    /// Where vectors of items come from.
    pub vectors: Source,
    /// The hash of the SDIM row.
    pub hash: Hash,
    /// The form of the MUSE row's attention.
    pub sa_ta: SaTa,
    /// Passes over the training part, at most.
    pub epochs: usize,
    /// The rows that are wanted, by name; all where there are none.
    pub rows: Vec<String>,
    /// What trained rows are made with.
    pub seed: u64,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row == name)
    }
}

/// The rows without a network, in the order of the report.
const UNTRAINED: [&str; 5] = ["popularity", "transition", "repeat", "content_cosine", "blend"];

/// The names of all rows, in the order of the report.
pub fn rows() -> impl Iterator<Item = &'static str> {
    UNTRAINED.into_iter().chain(train::ROWS.map(|row| row.name))
}

/// Evaluates all rows on `log`.
///
/// # Errors
/// Where a model fails.
pub fn evaluate(log: &Log, device: &shaders::Device, options: &Options) -> Result<Report, RankingError> {
    let keys = Keys::new(log, options.vectors);
    let replay = Replay::new(log, &keys, options.history_max);
    let mut report = Report::new(
        log,
        match keys.source {
            Source::Topic => "topic",
            Source::CoOccurrence => "co-occurrence",
        },
    );
    for name in UNTRAINED.into_iter().filter(|name| options.wants(name)) {
        let row = match name {
            "popularity" => untrained::popularity,
            "transition" => untrained::transition,
            "repeat" => untrained::repeat,
            "content_cosine" => untrained::content_cosine,
            _ => untrained::blend,
        };
        tracing::info!(model = name, "evaluating");
        report.add(name, &row(log, &replay));
    }
    let rows = batch::embedding_rows(log);
    let batches = batch::Batches { log, keys: &keys, replay: &replay, rows: &rows, history_max: options.history_max };
    for row in train::ROWS.iter().filter(|row| options.wants(row.name)) {
        tracing::info!(model = row.name, "evaluating");
        report.add(row.name, &train::row(row, &batches, device, options)?);
    }
    Ok(report)
}
