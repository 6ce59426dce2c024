//! The study of a model that scores candidates (SDIM, MUSE).
//!
//! ```text
//! <app>.samples.<model> ─► labeled candidates, with what their requests saw ─► admission of items
//!                           └► steps of about `candidates.batch_samples`; a version after so many of them, and so long
//! ```
//! An item gets a row of its own with its n-th labeled candidate (`candidates.admit_after`); before that it is one of the
//! unknown. Where all rows are taken it may get that of an item that nobody is asked about any more, which begins anew. Steps
//! are cut where records end and enough candidates wait, so what is learned is a function of the records' order.
//!
//! # Layout
//! - this file: [`Ranking`], the study. `admission`: who has a row. [`passes`]: the same study over files.

mod admission;
pub mod passes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemas::output::Room;
use serde::Deserialize;
use shaders::Device;
use shaders::ops::tensors::{Entry, Named};
use shaders::ranking::{Config, LearningRates, Long, Model as Network};
use shaders::sdim::hash_matrix;

use self::admission::Admission;
use super::LearnError;
use super::device::{done, made};
use super::study::{Published, Study};
use crate::config::{Attention, CandidateSettings};
use crate::forecast::version::VersionError;
use crate::model::{self, Model, ModelError};
use crate::rank::scores_after;
use crate::rank::sight::Sight;
use crate::rank::version::{About, HASH, Rows, Vocabulary};

/// The seed of every new network: two learners of one stream learn the same.
const SEED: u64 = 1;

/// What is learned, when and how fast.
#[derive(Clone, Debug)]
pub struct RankingConfig {
    /// The room and the form of its long interest.
    pub model: (Room, Long),
    /// Names of the inputs of a candidate, in order.
    pub inputs: Vec<String>,
    /// Length of item vectors.
    pub dim: usize,
    /// Candidates of a step, about.
    pub batch_samples: usize,
    /// Steps of a version, at least.
    pub version_steps: u64,
    /// Time between the samples of two versions, at least, where samples have a time.
    pub version_interval_ms: i64,
    /// An item has a row of its own from so many labeled candidates on.
    pub admit_after: u32,
    /// Most rows of items.
    pub rows_max: usize,
    /// The form of MUSE's attention; none where it is another model.
    pub attention: Option<Attention>,
    /// Whether steps are taken at all.
    pub learns: bool,
    /// The model to start from.
    pub start: Option<PathBuf>,
}

impl RankingConfig {
    /// Of the settings, with nothing to start from.
    pub fn of(model: (Room, Long), settings: &CandidateSettings, inputs: Vec<String>, dim: usize) -> Self {
        Self {
            model,
            inputs,
            dim,
            batch_samples: settings.batch_samples,
            version_steps: settings.version_steps,
            version_interval_ms: settings.version_interval_ms as i64,
            admit_after: settings.admit_after,
            rows_max: settings.rows_max,
            attention: None,
            learns: settings.learn,
            start: None,
        }
    }

    fn network(&self) -> Config {
        let sa_ta = self.attention.unwrap_or_default().into();
        Config { long: self.model.1, dim: self.dim, inputs: self.inputs.len(), sa_ta, seed: SEED, ..Config::default() }
    }
}

/// The study.
pub struct Ranking {
    config: RankingConfig,
    device: Device,
    network: Network,
    /// The state to go back to where numbers are not finite any more.
    good: Named,
    vocabulary: Vocabulary,
    admission: Admission,
    /// Rows that were given to other items since the good state.
    given: BTreeSet<u32>,
    waiting: Vec<Sight>,
    waiting_candidates: usize,
    targets: u64,
    /// Steps since the last version.
    steps: u64,
}

impl Ranking {
    /// A study that has learned nothing.
    ///
    /// # Errors
    /// What the device says.
    pub fn new(config: RankingConfig, device: Device) -> Result<Self, shaders::Error> {
        let network = Network::new(&device, config.network())?;
        Ok(Self {
            good: network.save(),
            network,
            device,
            vocabulary: Vocabulary::default(),
            admission: Admission::new(config.admit_after, config.rows_max, &Rows::default()),
            given: BTreeSet::new(),
            waiting: Vec::new(),
            waiting_candidates: 0,
            targets: 0,
            steps: 0,
            config,
        })
    }

    /// Takes what a model says of itself, and its names out of its tensors; or why it does not fit.
    fn take(&mut self, model: &Model, tensors: &mut Named) -> Result<(), String> {
        let About { inputs, dim, targets, attention } =
            About::deserialize(&model.about).map_err(|error| error.to_string())?;
        if (&inputs, dim) != (&self.config.inputs, self.config.dim) {
            let (now, of) = (&self.config.inputs, self.config.dim);
            let was =
                format!("it has learned from inputs {inputs:?} and vectors of {dim}, now they are {now:?} and {of}");
            return Err(format!("{was}; set candidates.features and sdim.dim as they were"));
        }
        let [was, now] = [attention, self.config.attention].map(Option::unwrap_or_default).map(Attention::name);
        if was != now {
            return Err(format!(
                "its attention has the form `{was}`, but muse.attention={now}; set muse.attention={was}, or train another \
                 model to start from"
            ));
        }
        self.targets = targets;
        self.vocabulary = Vocabulary::take(tensors).ok_or("names of its rows are missing")?;
        Ok(())
    }

    /// Begins with the model of a file: what it knows, and an optimizer that has seen nothing.
    fn start(&mut self, path: &Path) -> Result<(), LearnError> {
        let room = self.room().name();
        let wrong = |reason: String| LearnError::Start { room, path: path.into(), reason };
        let model = model::file::load(path).map_err(|error| match error {
            ModelError::File(_, reason) => wrong(format!("{reason}; name what `wellspring train {room}` wrote")),
            error => error.into(),
        })?;
        if model.name != room {
            return Err(wrong(format!("it is a model `{}`; name what `wellspring train {room}` wrote", model.name)));
        }
        let mut tensors = model.tensors.clone();
        tensors.remove(HASH);
        self.take(&model, &mut tensors).map_err(wrong)?;
        self.admission = Admission::new(self.config.admit_after, self.config.rows_max, &self.vocabulary.items);
        let config = self.config.network();
        let network = made(&mut self.device, |device| Network::from_weights(device, config.clone(), tensors.clone()));
        self.network = network.map_err(|error| match error {
            lost if lost.is_device_lost() => lost.into(),
            error => wrong(error.to_string()),
        })?;
        self.good = self.network.save();
        Ok(())
    }

    /// Whether a version has the form of attention that is set: what was learned in another one says nothing in this.
    fn has_its_form(&self, saved: &Model) -> bool {
        // What says nothing that can be read is refused as it is taken.
        let Ok(About { attention, .. }) = About::deserialize(&saved.about) else { return true };
        let [was, now] = [attention, self.config.attention].map(Option::unwrap_or_default).map(Attention::name);
        if was != now {
            let (model, version) = (&saved.name, saved.version);
            tracing::warn!(model, version, was, now, "muse.attention is another one now: a new model begins");
        }
        was == now
    }

    /// Goes on from a version of its own.
    fn go_on(&mut self, saved: &Model) -> Result<(), LearnError> {
        let wrong = |reason: String| VersionError::Misfit { model: saved.name.clone(), version: saved.version, reason };
        let mut tensors = saved.tensors.clone();
        self.take(saved, &mut tensors).map_err(wrong)?;
        let (after, rows_max) = (self.config.admit_after, self.config.rows_max);
        self.admission = Admission::take(after, rows_max, &self.vocabulary.items, &mut tensors)
            .ok_or_else(|| wrong("counts of its items are missing".into()))?;
        let config = self.config.network();
        self.network = made(&mut self.device, |device| Network::load(device, config.clone(), tensors.clone()))?;
        self.good = self.network.save();
        Ok(())
    }

    /// Ends a pass over samples that will be passed over again: learns from what waits, and gives nobody a row any more, since
    /// an item is not asked for more often by being looked at twice. Whether the network is finite; where not, it is what it was
    /// before the pass.
    ///
    /// # Errors
    /// What the device says.
    pub fn end_pass(&mut self) -> Result<bool, shaders::Error> {
        self.admission.close();
        if self.waiting_candidates > 0 {
            self.step_all()?;
        }
        self.steps = 0;
        self.check()
    }

    /// Rows of items that have one, and numbers that are trained.
    pub fn size(&self) -> (usize, usize) {
        (self.vocabulary.items.len() - 1, self.network.parameters())
    }

    /// Learns from all that waits, in steps of about `batch_samples` candidates.
    fn step_all(&mut self) -> Result<(), shaders::Error> {
        let Self { network, vocabulary, device, waiting, config, .. } = self;
        let [items, categories, types] =
            [&vocabulary.items, &vocabulary.categories, &vocabulary.types].map(|rows| rows.len());
        let steps = (self.waiting_candidates / config.batch_samples).max(1);
        let (mut begin, mut taken, mut refused) = (0, 0, 0);
        let rates = LearningRates::default();
        let moved = |device: &Device, network: &Network| Network::load(device, config.network(), network.save());
        done((&mut *network, &mut *device), moved, |network| network.grow(items, categories, types))?;
        for step in 1..=steps {
            let mut end = begin;
            while end < waiting.len() && (taken * steps < self.waiting_candidates * step) {
                taken += waiting[end].len();
                end += 1;
            }
            let examples = vocabulary.examples(config.model.1, &waiting[begin..end]);
            let step = done((&mut *network, &mut *device), moved, |network| network.step(&examples, &rates))?;
            refused += u64::from(!step.applied && end > begin);
            begin = end;
        }
        if refused > 0 {
            tracing::warn!(steps = refused, "a loss was not finite: nothing was learned from these samples");
        }
        self.steps += steps as u64;
        self.targets += self.waiting_candidates as u64;
        self.waiting.clear();
        self.waiting_candidates = 0;
        Ok(())
    }

    /// Rows of other items than before begin anew; those that the network does not have yet do so as they come.
    fn renew(&mut self, rows: impl IntoIterator<Item = u32>) {
        let have = self.network.config().items as u32;
        self.network.renew_items(rows.into_iter().filter(|row| *row < have));
    }

    /// Whether all numbers are finite; where not, the network is what it was when a version was last made of it.
    fn check(&mut self) -> Result<bool, shaders::Error> {
        let saved = self.network.save();
        let floats = saved.values().filter_map(|entry| entry.to_floats(&entry.shape).ok());
        if floats.flatten().all(f32::is_finite) {
            self.good = saved;
            self.given.clear();
            return Ok(true);
        }
        tracing::warn!("the network is not finite any more: back to what it was when it was last well");
        let (config, good) = (self.config.network(), &self.good);
        self.network = made(&mut self.device, |device| Network::load(device, config.clone(), good.clone()))?;
        self.renew(self.given.clone());
        Ok(false)
    }
}

impl Study for Ranking {
    fn room(&self) -> Room {
        self.config.model.0
    }

    fn version_before(&self) -> u64 {
        scores_after(self.config.model.0)
    }

    fn begin(&mut self, saved: Option<&Model>) -> Result<bool, LearnError> {
        let config = self.config.clone();
        *self = made(&mut self.device, |device| Self::new(config.clone(), device.clone()))?;
        match (saved.filter(|saved| self.has_its_form(saved)), self.config.start.clone()) {
            (Some(saved), _) => self.go_on(saved).map(|()| false),
            (None, Some(path)) => self.start(&path).map(|()| true),
            (None, None) => Ok(false),
        }
    }

    fn learn(&mut self, record: &[u8], since_version_ms: Option<i64>) -> Result<bool, LearnError> {
        let sight = Sight::read(record).map_err(|error| LearnError::Unreadable(error.to_string()))?;
        let fits = (sight.dim as usize, sight.width as usize) == (self.config.dim, self.config.inputs.len());
        if !fits || sight.labels.len() != sight.len() {
            let Sight { dim, width, .. } = sight;
            return Err(LearnError::Unreadable(format!(
                "it has {width} inputs and vectors of {dim}, or no labels: it is of other settings"
            )));
        }
        if !sight.serves(self.config.model.1) {
            return Err(LearnError::Unreadable("it was seen while the room was closed".into()));
        }
        if !self.config.learns || sight.is_empty() {
            return Ok(false);
        }
        for (item_id, category) in sight.item_ids.iter().zip(&sight.categories) {
            if let Some(row) = self.admission.see(item_id, &mut self.vocabulary.items) {
                self.given.insert(row);
                self.renew([row]);
            }
            self.vocabulary.categories.add(category, self.config.rows_max);
        }
        for name in &sight.types {
            self.vocabulary.types.add(name, TYPES_MAX);
        }
        self.waiting_candidates += sight.len();
        self.waiting.push(sight);
        if self.waiting_candidates < self.config.batch_samples {
            return Ok(false);
        }
        self.step_all()?;
        let enough = since_version_ms.is_none_or(|since_ms| since_ms >= self.config.version_interval_ms);
        if self.steps < self.config.version_steps || !enough {
            return Ok(false);
        }
        self.steps = 0;
        Ok(self.check()?)
    }

    fn version(&mut self) -> Published {
        let RankingConfig { inputs, dim, attention, .. } = &self.config;
        let (dim, targets) = (*dim, self.targets);
        let about = About { inputs: inputs.clone(), dim, targets, attention: *attention };
        let about = serde_json::to_value(about).expect("what is said becomes JSON");
        let (mut weights, mut saved) = (self.network.weights(), self.good.clone());
        self.vocabulary.save(&mut weights);
        self.vocabulary.save(&mut saved);
        self.admission.save(&mut saved);
        if self.config.model.0 == Room::Sdim {
            let hash: Vec<f32> = hash_matrix(dim).into_iter().map(|x| f32::from(x) / 256.0).collect();
            weights.insert(HASH.into(), Entry::floats(vec![hash.len() / dim, dim], &hash));
        }
        Published { about, weights, saved, targets }
    }
}

/// Most action types with a row of their own.
const TYPES_MAX: usize = 1000;
