//! Rows with a network: trained on the first part, the epoch chosen on the second.

use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use shaders::Device;
use shaders::ranking::{Config, LearningRates, Long, Model};

use super::batch::Batches;
use super::interest::{self, Interest};
use super::log::{Part, Request};
use super::metrics::log_loss;
use super::untrained::Scored;
use super::{Options, RankingError};

/// Candidates of a step, about.
const CANDIDATES: usize = 512;
/// Behaviors of a step, at most: with more, it has fewer candidates.
const BEHAVIORS: usize = 1 << 16;
/// An epoch is better than the best before it by more than this, in nats.
const BETTER_NATS: f64 = 1e-5;

/// A row with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in the report.
    pub name: &'static str,
    /// What its network reads of the long history.
    pub long: Long,
    /// Whether it attends to the newest behaviors.
    short: bool,
}

/// All of them, in the order of the report.
pub const ROWS: [Row; 6] = [
    Row { name: "mean_pooling", long: Long::Mean, short: false },
    Row { name: "target_attention_50", long: Long::None, short: true },
    Row { name: "target_attention_all", long: Long::All, short: true },
    Row { name: "sim_hard", long: Long::Hard, short: true },
    Row { name: "sdim", long: Long::Sdim, short: true },
    Row { name: "muse", long: Long::Muse, short: true },
];

/// Trains a row, and scores the test part with its best epoch.
///
/// # Errors
/// Where the device fails, or the model leaves what is finite.
pub fn row(row: &Row, batches: &Batches<'_>, device: &Device, options: &Options) -> Result<Scored, RankingError> {
    let log = batches.log;
    let (keys, history_max) = (batches.keys, options.history_max);
    let failed = |source| RankingError::Model { model: row.name, source };
    let interest = match row.long {
        Long::None | Long::All => Ok(Interest::default()),
        Long::Mean => interest::mean(log, keys, history_max),
        Long::Hard => interest::hard(log, keys, history_max),
        Long::Sdim => interest::sdim(log, keys, history_max, options.hash),
        Long::Muse => interest::muse(log, keys, history_max),
    };
    let interest = interest.map_err(failed)?;
    let mut fit = Fit { row, batches, interest: &interest, behaviors_max: behaviors_max(row.long, history_max) };
    let config = fit.config(options);
    let mut model = Model::new(device, config).map_err(failed)?;
    let mut best = (f64::INFINITY, model.weights());
    for epoch in 0..options.epochs {
        let trained = fit.epoch(&mut model, options.seed, epoch).map_err(failed)?;
        let loss = fit.loss(&mut model, Part::Validation).map_err(failed)?;
        tracing::info!(model = row.name, epoch, trained, validated = loss, "an epoch");
        if !loss.is_finite() {
            return Err(RankingError::NotFinite { model: row.name });
        }
        if loss >= best.0 - BETTER_NATS {
            break;
        }
        best = (loss, model.weights());
    }
    let config = model.config().clone();
    let mut model = Model::from_weights(device, config, best.1).map_err(failed)?;
    let start = Instant::now();
    let mut probabilities = vec![0.0; log.candidates.len()];
    let tested = fit.score(&mut model, Part::Test, &mut probabilities).map_err(failed)?;
    let all = log.candidates.len() as f64;
    let counted = (batches.replay.counters_s + interest.seconds) / all;
    Ok(Scored { probabilities, seconds: counted + start.elapsed().as_secs_f64() / tested as f64 })
}

/// Behaviors that a request hands over, at most.
fn behaviors_max(long: Long, history_max: usize) -> usize {
    match long {
        Long::All | Long::Hard | Long::Muse => history_max,
        Long::None | Long::Mean | Long::Sdim => interest::FOUND,
    }
}

/// One row's way through the log.
struct Fit<'a> {
    row: &'a Row,
    batches: &'a Batches<'a>,
    interest: &'a Interest,
    behaviors_max: usize,
}

impl Fit<'_> {
    fn config(&self, options: &Options) -> Config {
        let log = self.batches.log;
        let most = |rows: &[u32]| rows.iter().max().map_or(0, |row| *row as usize);
        let categories = most(&log.items.categories);
        let plain = Config::default();
        Config {
            long: self.row.long,
            dim: self.batches.keys.dim,
            inputs: self.batches.replay.names.len(),
            items: most(self.batches.rows) + 1,
            categories: categories + 1,
            actions: log.actions + 1,
            category_width: if categories > 0 { plain.category_width } else { 0 },
            action_width: if log.actions > 1 { plain.action_width } else { 0 },
            short: if self.row.short { plain.short } else { 0 },
            sa_ta: options.sa_ta,
            seed: options.seed,
            ..plain
        }
    }

    /// A pass over the training part in an order of its own; the mean loss.
    fn epoch(&mut self, model: &mut Model, seed: u64, epoch: usize) -> Result<f64, shaders::Error> {
        let mut requests: Vec<&Request> = self.batches.log.of_part(Part::Train).collect();
        shuffle(&mut requests, seed.wrapping_add(epoch as u64));
        let (mut sum, mut candidates) = (0.0, 0);
        for cut in self.cuts(&requests) {
            let examples = self.batches.examples(self.row.long, self.interest, cut);
            let step = model.step(&examples, &LearningRates::default())?;
            sum += step.loss * step.candidates as f64;
            candidates += step.candidates;
        }
        Ok(sum / candidates.max(1) as f64)
    }

    /// Mean −log probability of the labels of a part.
    fn loss(&self, model: &mut Model, part: Part) -> Result<f64, shaders::Error> {
        let log = self.batches.log;
        let mut probabilities = vec![0.0; log.candidates.len()];
        self.score(model, part, &mut probabilities)?;
        let places = || log.of_part(part).flat_map(|request| request.candidates.clone());
        let labels: Vec<bool> = places().map(|place| log.labels[place]).collect();
        let probabilities: Vec<f32> = places().map(|place| probabilities[place]).collect();
        Ok(log_loss(&labels, &probabilities))
    }

    /// Scores the candidates of a part; how many they are.
    fn score(&self, model: &mut Model, part: Part, into: &mut [f32]) -> Result<usize, shaders::Error> {
        let requests: Vec<&Request> = self.batches.log.of_part(part).collect();
        let mut scored = 0;
        for cut in self.cuts(&requests) {
            let probabilities = model.score(&self.batches.examples(self.row.long, self.interest, cut))?;
            let mut next = probabilities.into_iter();
            for request in cut {
                scored += request.candidates.len();
                into[request.candidates.clone()].iter_mut().zip(&mut next).for_each(|(into, p)| *into = p);
            }
        }
        Ok(scored)
    }

    /// Requests in batches.
    fn cuts<'r, 'l>(&self, requests: &'r [&'l Request]) -> impl Iterator<Item = &'r [&'l Request]> {
        let behaviors_max = self.behaviors_max;
        let mut rest = requests;
        std::iter::from_fn(move || {
            let (mut candidates, mut behaviors) = (0, 0);
            let size = rest.iter().position(|request| {
                candidates += request.candidates.len();
                behaviors += request.behaviors.min(behaviors_max);
                candidates > CANDIDATES || behaviors > BEHAVIORS
            });
            let (cut, after) = rest.split_at(size.unwrap_or(rest.len()).max(1).min(rest.len()));
            rest = after;
            Some(cut).filter(|cut| !cut.is_empty())
        })
    }
}

/// Fisher and Yates.
fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for at in (1..list.len()).rev() {
        list.swap(at, ((u128::from(random.next_u64()) * (at as u128 + 1)) >> 64) as usize);
    }
}
