//! `train sdim` and `train muse`: the study of a service that learns live, over the samples of files.
//!
//! ```text
//! inputs ─► router, engine, as in `run` ─► samples, in a temporary file ─► the study, pass after pass ─► a model to start from
//! ```
//! What is learned is a function of the samples' order. Where there is one by-user partition (`partitions`) that is the inputs'
//! order, so the same records give the same bits; of several, samples stand in the order in which the engine came to them. Where
//! vectors of items are learned too (`items.vectors = "co-occurrence"`), where their versions come in between is a matter of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use schemas::output::Room;

use super::Ranking;
use crate::config::Config;
use crate::learn::LearnError;
use crate::learn::study::{Published, Study};
use crate::metrics::Metrics;
use crate::model::Model;
use crate::run::samples::Samples;
use crate::run::{Feed, RunError};
use crate::{roles, service};

/// Passes where nobody says how many: models with embeddings of items are worse on what comes after their second pass, and
/// live learning passes once, too.
pub const PASSES: usize = 1;

/// What came of it.
#[derive(Debug)]
pub struct Trained {
    /// The model, as `sdim.start` and `muse.start` take it.
    pub model: Model,
    /// Records of the inputs that were none.
    pub dead_letters: u64,
    /// Records of samples.
    pub samples: u64,
    /// Labeled candidates that it has learned from, all passes together.
    pub targets: u64,
    /// Items with an embedding of their own.
    pub items: usize,
    /// Numbers that are trained.
    pub parameters: usize,
}

/// Why nothing was trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The inputs did not come through.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The study failed.
    #[error("learning: {0}")]
    Learn(#[from] LearnError),
    /// Nothing is known of any candidate.
    #[error(
        "no candidate of the inputs has a label, so there is nothing to learn from; give feedback (user_id, time, label, and \
         the request_id of a record of `candidates` or an item_id), and leave candidates.sample_percent above 0"
    )]
    NoSamples,
    /// What was learned is no model.
    #[error(
        "numbers of the model are not finite after pass {0}; are features or vectors of the inputs of an enormous size?"
    )]
    NotFinite(usize),
}

/// Passes `passes` times over what there is to learn from for `room` in what `feed` gives.
///
/// # Errors
/// Where something cannot be read or done, there is nothing to learn from, or it was stopped.
pub fn train(
    mut config: Config,
    room: Room,
    feed: &mut dyn Feed,
    passes: usize,
    stop: &Arc<AtomicBool>,
) -> Result<Trained, TrainError> {
    (config.candidates.enabled, config.candidates.learn) = (true, true);
    (config.sdim.enabled, config.muse.enabled) = (room == Room::Sdim, room == Room::Muse);
    // Views and forecasts say nothing to these models.
    (config.prompt_tpp.enabled, config.views.file) = (false, None);
    let device = service::device(&config).map_err(LearnError::from)?;
    let mut study = Ranking::new(roles::ranking(&config, room), device).map_err(LearnError::from)?;
    // A model that does not fit is found before the long way.
    study.begin(None)?;
    let mut samples = Samples::of(config, room, feed, Metrics::new(), stop)?;
    if samples.records() == 0 {
        return Err(TrainError::NoSamples);
    }
    let bar = bar(samples.records() * passes as u64);
    for pass in 1..=passes {
        samples.pass(|record| {
            if stop.load(Ordering::Relaxed) {
                return Err(TrainError::Run(RunError::Stopped));
            }
            bar.inc(1);
            match study.learn(record, None) {
                Err(LearnError::Unreadable(error)) => tracing::warn!("a sample is passed over: {error}"),
                learned => _ = learned?,
            }
            Ok(())
        })?;
        if !study.end_pass().map_err(LearnError::from)? {
            return Err(TrainError::NotFinite(pass));
        }
    }
    bar.finish_and_clear();
    let (items, parameters) = study.size();
    let Published { about, weights, targets, .. } = study.version();
    let model = Model { name: room.name().into(), version: 0, about, tensors: weights };
    Ok(Trained { model, dead_letters: samples.dead_letters(), samples: samples.records(), targets, items, parameters })
}

/// Samples passed over, on standard error where that is a terminal.
fn bar(records: u64) -> ProgressBar {
    let template = "{elapsed_precise} {wide_bar} {human_pos}/{human_len} samples, {per_sec}, {eta} left";
    ProgressBar::new(records).with_style(ProgressStyle::with_template(template).expect("the template is well-formed"))
}
