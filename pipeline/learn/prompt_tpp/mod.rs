//! The study of PromptTPP.
//!
//! ```text
//! <app>.samples.prompt_tpp ─► warm-up: the stream's beginning is kept, then fitted
//!                           └► steps of `prompt_tpp.batch_samples` windows; a version after so many of them, and so long
//! ```
//! Batches are cut where records end and enough windows wait, versions where enough steps are done and enough time has passed
//! between the records.
//!
//! # Layout
//! - this file: [`PromptTpp`], the study. [`fit`](mod@fit), [`warm_up`]: the beginning. [`live`]: the steps.

pub mod fit;
pub mod live;
pub mod warm_up;

use std::path::PathBuf;

use schemas::output::Room;
use schemas::sample::{SampleError, Samples};
use shaders::Device;
use shaders::prompt_tpp::{LearningRates, Model as Network};

use self::live::Live;
use self::warm_up::WarmUp;
use super::LearnError;
use super::device::made;
use super::study::{Published, Study};
use crate::config::{Learn, PromptTppSettings};
use crate::forecast::version::About;
use crate::forecast::vocabulary::Vocabulary;
use crate::forecast::window::{Seen, WindowCut};
use crate::metrics::Metrics;
use crate::model::{self, Model};

/// The seed of every new network: two learners of one stream learn the same.
const SEED: u64 = 0;
/// The learning rates that `evaluate` most often finds best.
const PROMPT: LearningRates = LearningRates::prompt(3e-3, 1e-4);
const ONLINE: LearningRates = LearningRates::online(1e-4);

/// What is learned, when and how fast.
#[derive(Clone, Debug)]
pub struct PromptTppConfig {
    /// What is learned after the warm-up, and how fast.
    pub rates: LearningRates,
    /// Windows of a step.
    pub batch_samples: usize,
    /// Steps of a version, at least.
    pub version_steps: u64,
    /// Time between the samples of two versions, at least, where samples have a time.
    pub version_interval_ms: i64,
    /// What a network sees of a user.
    pub seen: Seen,
    /// Targets that the warm-up waits for.
    pub warm_up_targets: usize,
    /// Passes of the warm-up.
    pub warm_up_passes: usize,
    /// Most places of types.
    pub types_max: usize,
    /// The model to start from in place of a warm-up.
    pub start: Option<PathBuf>,
}

impl PromptTppConfig {
    /// Of the settings.
    pub fn of(settings: &PromptTppSettings) -> Self {
        Self {
            rates: match settings.learn {
                Learn::Frozen => LearningRates::calibrated(0.0),
                Learn::Prompt => PROMPT,
                Learn::PromptCalibrated => LearningRates { calibration: 1e-3, ..PROMPT },
                Learn::PromptJoint => LearningRates { pool: PROMPT.pool, ..ONLINE },
                Learn::Online => ONLINE,
            },
            batch_samples: settings.batch_samples,
            version_steps: settings.version_steps,
            version_interval_ms: settings.version_interval_ms as i64,
            seen: seen(settings),
            warm_up_targets: settings.warm_up_events,
            warm_up_passes: settings.warm_up_passes,
            types_max: settings.types_max,
            start: settings.start.clone(),
        }
    }
}

/// What the settings have a network see of a user.
pub fn seen(settings: &PromptTppSettings) -> Seen {
    Seen { cut: WindowCut { events: settings.window_events }, clock: settings.clock }
}

/// The study.
pub struct PromptTpp {
    config: PromptTppConfig,
    device: Device,
    metrics: Metrics,
    vocabulary: Vocabulary,
    state: State,
    /// The version in force.
    version: u64,
}

enum State {
    WarmUp(WarmUp),
    Live(Box<Live>),
}

impl PromptTpp {
    /// A study that has not begun; `metrics` are told how the prompt pool is used.
    pub fn new(config: PromptTppConfig, device: Device, metrics: Metrics) -> Self {
        let state = State::WarmUp(WarmUp::default());
        Self { config, device, metrics, vocabulary: Vocabulary::default(), state, version: 0 }
    }

    /// Before the first version: the model of a file, or nothing yet.
    fn first(&mut self) -> Result<(Vocabulary, State), LearnError> {
        let Some(path) = &self.config.start else {
            return Ok((Vocabulary::default(), State::WarmUp(WarmUp::default())));
        };
        let model = model::file::load(path)?;
        let about = About::of(&model)?;
        let weights = |device: &Device| Network::from_weights(device, Default::default(), model.tensors.clone(), SEED);
        let network = made(&mut self.device, weights)?;
        Ok((Vocabulary::new(about.types), State::Live(Box::new(Live::new(network, about.targets)))))
    }
}

impl Study for PromptTpp {
    fn room(&self) -> Room {
        Room::PromptTpp
    }

    fn begin(&mut self, saved: Option<&Model>) -> Result<bool, LearnError> {
        self.version = saved.map_or(0, |saved| saved.version);
        (self.vocabulary, self.state) = match saved {
            Some(saved) => {
                let about = About::of(saved)?;
                let load = |device: &Device| Live::load(device, saved.tensors.clone(), about.targets);
                let live = made(&mut self.device, load)?;
                (Vocabulary::new(about.types), State::Live(Box::new(live)))
            }
            None => self.first()?,
        };
        // A model that was given goes out as the first version, whatever comes.
        Ok(saved.is_none() && matches!(self.state, State::Live(_)))
    }

    fn learn(&mut self, record: &[u8], since_version_ms: Option<i64>) -> Result<bool, LearnError> {
        let unreadable = |error: SampleError| LearnError::Unreadable(error.to_string());
        let samples = Samples::read(record).map_err(unreadable)?;
        let places = samples.names.iter().map(|name| self.vocabulary.add(name, self.config.types_max));
        let places: Vec<u32> = places.collect();
        let place_of = |kind: u16| places[usize::from(kind)];
        let Self { config, device, vocabulary, state, .. } = self;
        match state {
            State::WarmUp(warm_up) => {
                (0..samples.len()).for_each(|window| warm_up.take(&samples, window, place_of));
                if warm_up.targets() < config.warm_up_targets {
                    return Ok(false);
                }
                tracing::info!(targets = warm_up.targets(), "fitting a network to the stream's beginning");
                let network = warm_up.fit(device, (vocabulary.places(), config.seen), config.warm_up_passes, SEED)?;
                let targets = warm_up.targets() as u64;
                *state = State::Live(Box::new(Live::new(network, targets)));
                Ok(true)
            }
            State::Live(live) => {
                live.grow(device, vocabulary)?;
                (0..samples.len()).for_each(|window| live.take(&samples, window, place_of));
                if live.pending() < config.batch_samples {
                    return Ok(false);
                }
                let refused = live.learn(device, config.batch_samples, &config.rates)?;
                if refused > 0 {
                    tracing::warn!(steps = refused, "a loss was not finite: nothing was learned from these samples");
                }
                let enough = since_version_ms.is_none_or(|since| since >= config.version_interval_ms);
                if live.steps < config.version_steps || !enough {
                    return Ok(false);
                }
                let finite = live.check(device)?;
                if !finite {
                    live.steps = 0;
                    tracing::warn!(
                        version = self.version,
                        "the network is not finite any more: back to its last version"
                    );
                }
                Ok(finite)
            }
        }
    }

    fn version(&mut self) -> Published {
        let State::Live(live) = &self.state else { unreachable!("a version is due when there is a network") };
        let about = About {
            types: self.vocabulary.names().to_vec(),
            unit_ms: live.unit_ms(),
            targets: live.targets,
            usage: live.usage().to_vec(),
            ..About::default()
        };
        let about = serde_json::to_value(about).expect("what is said of a version becomes JSON");
        Published { about, weights: live.weights(), saved: live.saved(), targets: live.targets }
    }

    fn in_force(&mut self, version: u64) {
        self.version = version;
        if let State::Live(live) = &mut self.state {
            live.steps = 0;
            self.metrics.learning().pool_usage(live.usage(), version);
        }
    }
}
