//! PromptTPP of the engine: a forecast for every user touched, and samples for the learner.
//!
//! ```text
//! users touched ─► samples ─► <app>.samples.prompt_tpp ─► learner (crate::learn) ─► <app>.models
//!       │                                                    └─► "version v from here" ─► <app>.by-user
//!       └─► windows ─► network of the version in force ─► said ─► forecasts
//! ```
//! What was said of a user is kept with him as a note of his state: his next event is judged by it (`surprise_nats`), and a
//! worker that takes over knows it. So a forecast is a function of the log, whatever the batches: the version in force
//! changes at a record of the log, and a user's event is judged by the forecast from what had arrived before it.
//!
//! # Layout
//! - this file: [`ForecastRoom`]. [`window`]: users' events as the network takes them; [`past`]: as they were. [`said`]: a forecast as it is kept.
//! - [`scored`], [`trivial`]: how well it does, beside the best trivial forecast. [`shown`]: a forecast as the page draws it.
//! - [`samples`]: what is learned from. [`version`]: a model that can be asked. [`vocabulary`]: its types. [`record`]: the output.

pub mod past;
pub mod record;
pub mod said;
pub mod samples;
pub mod scored;
pub mod shown;
pub mod trivial;
pub mod version;
pub mod vocabulary;
pub mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use operators::{EmitMode, Fold, TouchedUser};
use schemas::output::{Emit, Output, Record};
use shaders::Device;
use shaders::prompt_tpp::NEVER_MS;

use self::past::newest_then;
use self::said::Said;
use self::samples::Sampler;
use self::scored::Scores;
use self::version::{Version, VersionError};
use self::vocabulary::Vocabulary;
use self::window::{WindowCut, Windows};
use crate::encode::Heard;
use crate::inquiry::UserForecast;
use crate::metrics::curve::{Scored, TRUTH_COLUMN};
use crate::model::ModelError;
use crate::model::shelf::Shelf;

/// Users who are forecast at once.
const BATCH_USERS: usize = 128;
/// Bytes of a record, about.
pub const RECORD_BYTES: usize = 700;

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] shaders::Error),
    /// A version cannot be had.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A version cannot be asked.
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// What bounds a user's history.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `history.max_events`.
    pub history_max_events: usize,
    /// `history.ttl`.
    pub history_ttl_ms: Option<i64>,
}

/// What the room is set to.
#[derive(Clone, Copy, Debug)]
pub struct ForecastConfig {
    /// Samples are of so many percent of what users do.
    pub sample_percent: u32,
    /// How users' events are cut into windows.
    pub cut: WindowCut,
    /// Whether learning goes on when there is a version; else samples end with the first one.
    pub goes_on: bool,
    /// Whether every row has a forecast, or every transaction of a user.
    pub emit: EmitMode,
    /// Of histories.
    pub bounds: Bounds,
}

/// PromptTPP of one worker.
pub struct ForecastRoom {
    config: ForecastConfig,
    device: Device,
    shelf: Arc<Shelf>,
    sampler: Sampler,
    /// By task: the version in force.
    in_force: BTreeMap<i32, u64>,
    /// Those that are in force somewhere.
    versions: BTreeMap<u64, Version>,
    scores: Scores,
    value: Vec<u8>,
    note: Vec<u8>,
}

/// A forecast that is to be made: after so many of those rows of a user that arrived.
struct Asked {
    arrived: usize,
    /// The newest row by then.
    newest: u32,
}

/// A forecast that was made.
struct Made {
    user: u32,
    newest: u32,
    said: Said,
    /// Whether it is the last one of its user.
    last: bool,
}

impl ForecastRoom {
    /// A room without tasks.
    pub fn new(config: ForecastConfig, device: Device, shelf: Arc<Shelf>) -> Self {
        let sampler = Sampler::new(config.sample_percent, config.cut);
        let (in_force, versions) = (BTreeMap::new(), BTreeMap::new());
        let scores = Scores::default();
        Self { config, device, shelf, sampler, in_force, versions, scores, value: Vec::new(), note: Vec::new() }
    }

    /// Version `version` is in force for a task from here on.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn adopt(&mut self, task: i32, version: u64) -> Result<(), ForecastError> {
        self.in_force.insert(task, version);
        let used: Vec<u64> = self.in_force.values().copied().collect();
        let unused: Vec<u64> = self.versions.keys().copied().filter(|version| !used.contains(version)).collect();
        let mut spare = unused.into_iter().filter_map(|version| self.versions.remove(&version)).last();
        if !self.versions.contains_key(&version) {
            let started = Instant::now();
            let model = self.shelf.get(version)?;
            if model.version != version {
                tracing::warn!(
                    task,
                    version,
                    taken = model.version,
                    "a version is gone from topic models, a newer one is taken"
                );
            }
            let built = match Version::build(&self.device, &model, spare.take()) {
                Err(VersionError::Device(error)) => {
                    self.renew(&error)?;
                    Version::build(&self.device, &model, None)
                }
                built => built,
            };
            self.versions.insert(version, built?);
            tracing::debug!(task, version, took = ?started.elapsed(), "a version is taken up");
        }
        Ok(())
    }

    /// The version in force for a task.
    pub fn version(&self, task: i32) -> Option<u64> {
        self.in_force.get(&task).copied()
    }

    /// The forecast in force of a user in memory; none where none was made of him.
    pub fn shown(&self, fold: &Fold, task: i32, user: u32) -> Option<UserForecast> {
        let said = Said::read(fold.note(user))?;
        let version = self.versions.get(self.in_force.get(&task)?)?;
        Some(shown::shown(&said, &version.vocabulary))
    }

    /// How the forecasts did on the events since the last call, and the name of the trivial one beside them.
    pub fn take_scored(&mut self) -> (Scored, &'static str) {
        self.scores.take()
    }

    /// The task is another worker's.
    pub fn forget(&mut self, task: i32) {
        self.in_force.remove(&task);
    }

    /// Takes samples of the users touched, and forecasts what comes next.
    ///
    /// # Errors
    /// Where the device fails or a version cannot be had.
    pub fn encode(
        &mut self,
        fold: &mut Fold,
        heard: &dyn Fn(i32) -> Heard,
        out: &mut dyn Emit,
    ) -> Result<(), ForecastError> {
        self.shelf.look()?;
        let truth = fold.column(TRUTH_COLUMN);
        for touched in fold.touched().filter(|touched| !heard(touched.task).muted) {
            if self.config.goes_on || !self.in_force.contains_key(&touched.task) {
                self.sampler.take(fold, &touched, out);
            }
            self.scores.arrived(fold, &touched, truth);
        }
        self.sampler.finish(out);
        let mut made: Vec<Made> = Vec::new();
        for version in self.versions.keys().copied().collect::<Vec<_>>() {
            let users: Vec<TouchedUser<'_>> =
                fold.touched().filter(|touched| self.version(touched.task) == Some(version)).collect();
            for users in users.chunks(BATCH_USERS) {
                let done = made.len();
                match self.batch(fold, version, users, &mut made) {
                    Err(ForecastError::Device(error)) if error.is_device_lost() => {
                        self.renew(&error)?;
                        made.truncate(done);
                        self.batch(fold, version, users, &mut made)?;
                    }
                    done => done?,
                }
            }
        }
        for made in made {
            self.tell(fold, heard, made, out);
        }
        Ok(())
    }

    /// Keeps a forecast with its user, and emits it.
    fn tell(&mut self, fold: &mut Fold, heard: &dyn Fn(i32) -> Heard, made: Made, out: &mut dyn Emit) {
        let Made { user, newest, said, last } = made;
        if last {
            said.write(&mut self.note);
            fold.set_note(user, &self.note);
        }
        let touched = fold.user(user).expect("he was touched");
        if !heard(touched.task).muted {
            self.scores.forecast(newest, &said);
        }
        let speaks = last || self.config.emit == EmitMode::Event;
        if speaks && !heard(touched.task).muted {
            let version = &self.versions[&self.in_force[&touched.task]];
            record::write(touched.user_id, &said, &version.vocabulary, fold.source(newest), &mut self.value);
            let (partition, key) = (touched.task, Some(touched.user_id.as_bytes()));
            let output = Output::Forecasts;
            out.emit(partition, Record { output, partition, key, value: Some(&self.value), headers: &[] });
        }
    }

    /// Forecasts for users whose tasks have one version in force.
    fn batch(
        &mut self,
        fold: &Fold,
        version: u64,
        users: &[TouchedUser<'_>],
        made: &mut Vec<Made>,
    ) -> Result<(), ForecastError> {
        let Version { number, vocabulary, unit_ms, network } =
            self.versions.get_mut(&version).expect("a version in force was built");
        let (config, mut windows, mut asked) = (&self.config, Windows::default(), Vec::new());
        for touched in users {
            let after = asked_after(config.emit, fold, touched);
            let newest = add_windows(&mut windows, fold, vocabulary, (touched, &after), config);
            let known = after.into_iter().zip(newest).filter_map(|(arrived, newest)| newest.map(|row| (arrived, row)));
            asked.extend(known.map(|(arrived, newest)| (touched, Asked { arrived, newest })));
        }
        let forecasts = network.forecast(&windows.batch())?;
        let mut before: Option<(u32, usize, Said)> = None;
        for (n, (touched, Asked { arrived, newest })) in asked.iter().enumerate() {
            let (mut said, mut from) = (Said::read(fold.note(touched.user)), 0);
            if let Some((_, arrived, before)) = before.take().filter(|(user, ..)| *user == touched.user) {
                (said, from) = (Some(before), arrived);
            }
            let mut next = Said::new(&forecasts, n, fold.time(*newest), *unit_ms, *number);
            // The newest event is the one that came right after what was said, or it was judged before.
            next.surprise_nats = match touched.arrived[from..*arrived].iter().rposition(|row| row == newest) {
                Some(0) => said.map(|said| said.nats(vocabulary.place(fold.kind(*newest)), fold.time(*newest)) as f32),
                Some(_) => None,
                None => said.and_then(|said| said.surprise_nats),
            };
            let last = asked.get(n + 1).is_none_or(|(next, _)| next.user != touched.user);
            before = Some((touched.user, *arrived, next.clone()));
            made.push(Made { user: touched.user, newest: *newest, said: next, last });
        }
        Ok(())
    }

    /// Opens the lost device again.
    fn renew(&mut self, error: &shaders::Error) -> Result<(), ForecastError> {
        tracing::warn!("{error}: it is opened again, the networks are built anew");
        self.device = self.device.reopen()?;
        for version in self.versions.keys().copied().collect::<Vec<_>>() {
            let model = self.shelf.get(version)?;
            self.versions.insert(version, Version::build(&self.device, &model, None)?);
        }
        Ok(())
    }
}

/// After how many of the rows that arrived a user's next event is to be forecast: after all of them, and, for the newest to be
/// judged, right before that; where every row has a forecast, after each.
fn asked_after(emit: EmitMode, fold: &Fold, touched: &TouchedUser<'_>) -> Vec<usize> {
    let all = touched.arrived.len();
    if emit == EmitMode::Event {
        return (1..=all).collect();
    }
    let newest = fold.newest(touched.user, 1).next().expect("a touched user has an event");
    let before = touched.arrived.iter().rposition(|&row| row == newest).filter(|&at| at > 0);
    before.into_iter().chain([all]).collect()
}

/// Adds the windows of a user's newest events as they were when so many of his rows had arrived; gives the newest row in each,
/// none where there is none.
fn add_windows(
    windows: &mut Windows,
    fold: &Fold,
    vocabulary: &Vocabulary,
    (touched, asked): (&TouchedUser<'_>, &[usize]),
    ForecastConfig { cut, bounds, .. }: &ForecastConfig,
) -> Vec<Option<u32>> {
    let all = touched.arrived.len();
    let most = |arrived: usize| {
        let rank = (touched.ordinal as usize).saturating_sub(all - arrived);
        (rank - cut.first(rank)).min(bounds.history_max_events)
    };
    let asked: Vec<(usize, usize)> = asked.iter().map(|&arrived| (arrived, most(arrived))).collect();
    // So many of the newest are enough, whatever had not arrived yet.
    let needed = asked.iter().map(|(arrived, most)| most + all - arrived).max().unwrap_or(0);
    let mut rows: Vec<u32> = fold.newest(touched.user, needed).collect();
    // What has left his history since stood before all that is in it.
    let left = touched.left.len().saturating_sub(needed - rows.len());
    rows.splice(0..0, touched.left[left..].iter().copied());
    let mut newest_rows = Vec::with_capacity(asked.len());
    newest_then(&rows, touched.arrived, &asked, |rows| {
        let Some(&newest) = rows.last() else { return newest_rows.push(None) };
        let oldest_ms = bounds.history_ttl_ms.map_or(i64::MIN, |ttl_ms| fold.time(newest).saturating_sub(ttl_ms));
        let mut events = 0;
        for &row in rows.iter().filter(|row| fold.time(**row) >= oldest_ms) {
            windows.event(vocabulary.place(fold.kind(row)), fold.time(row));
            events += 1;
        }
        windows.end(events, NEVER_MS);
        newest_rows.push(Some(newest));
    });
    newest_rows
}
