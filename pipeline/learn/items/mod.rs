//! The study of items: vectors of them, from what stands together in histories ([`shaders::co_occurrence`]).
//!
//! ```text
//! <app>.samples.items ─► the newest behaviors, each with those before it (`items.learn_events`)
//!                         └► counts, vectors, turned to lie as the version before did: a version
//! ```
//! A version is due after as many new behaviors as all that came before it, up to `items.version_events`: a new stream has its
//! first ones early. What is kept between versions is the window itself, so that whoever goes on makes the same vectors.
//!
//! # Layout
//! - this file: [`CoOccurrence`], the study. [`window`]: the newest behaviors.

pub mod window;

use schemas::output::Room;
use serde_json::json;
use shaders::co_occurrence::{Counts, PAIRS_MAX, Vectors};
use shaders::ops::tensors::Entry;

use self::window::Window;
use super::LearnError;
use super::study::{Published, Study};
use crate::config::ItemSettings;
use crate::encode::learned::tensors;
use crate::encode::passages::Passages;
use crate::forecast::version::VersionError;
use crate::model::Model;
use crate::rank::version::Rows;

/// What a learner keeps besides.
const WINDOW_NAMES: &str = "window.names";
const WINDOW_ITEMS: &str = "window.items";
const WINDOW_LENGTHS: &str = "window.lengths";
const OLDER_ITEMS: &str = "older.items";
const OLDER_VECTORS: &str = "older.vectors";

/// The seed of the subspace that factoring begins with.
const SEED: u64 = 21;
/// Fewer behaviors make no version.
const EVENTS_MIN: u64 = 1000;

/// What is learned and when.
#[derive(Clone, Copy, Debug)]
pub struct CoOccurrenceConfig {
    /// Length of a vector.
    pub dim: usize,
    /// Behaviors that vectors are made of: the newest.
    pub learn_events: usize,
    /// New behaviors of a version, at most.
    pub version_events: u64,
}

impl CoOccurrenceConfig {
    /// Of the settings.
    pub fn of(settings: &ItemSettings, dim: usize) -> Self {
        Self { dim, learn_events: settings.learn_events, version_events: settings.version_events }
    }
}

/// The study.
pub struct CoOccurrence {
    config: CoOccurrenceConfig,
    /// Items of the window by their numbers, from 1 on.
    names: Rows,
    window: Window,
    /// The last version's vectors, by the same numbers.
    older: Vectors,
    /// Behaviors ever, and when the last version was made.
    targets: u64,
    version_targets: u64,
}

impl CoOccurrence {
    /// A study that has seen nothing.
    pub fn new(config: CoOccurrenceConfig) -> Self {
        Self {
            config,
            names: Rows::default(),
            window: Window::default(),
            older: Vectors { items: Vec::new(), vectors: Vec::new() },
            targets: 0,
            version_targets: 0,
        }
    }

    fn go_on(&mut self, saved: &Model) -> Option<()> {
        let Self { config: CoOccurrenceConfig { dim, .. }, .. } = *self;
        let tensor = |name: &str| saved.tensors.get(name);
        let numbers = |name: &str| -> Option<Vec<u32>> {
            let (chunks, rest) = tensor(name)?.to_bytes().ok()?.as_chunks::<4>();
            rest.is_empty().then(|| chunks.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
        };
        self.names = Rows::of(tensor(WINDOW_NAMES)?)?;
        self.window = Window::of(numbers(WINDOW_ITEMS)?, &numbers(WINDOW_LENGTHS)?)?;
        let items = numbers(OLDER_ITEMS)?;
        let vectors = tensor(OLDER_VECTORS)?.to_floats(&[items.len(), dim]).ok()?;
        self.older = Vectors { items, vectors };
        let known = |item: &u32| (1..self.names.len() as u32).contains(item);
        self.targets = saved.about["targets"].as_u64()?;
        self.version_targets = self.targets;
        (self.window.items().chain(self.older.items.iter().copied()).all(|item| known(&item))).then_some(())
    }

    /// Forgets items that are in the window no more, and numbers the others anew, in their order.
    fn forget_unused(&mut self) {
        let mut used: Vec<u32> = self.window.items().collect();
        used.sort_unstable();
        used.dedup();
        let before = std::mem::take(&mut self.names);
        let names: Vec<&str> = before.names().collect();
        let mut numbers = vec![0; before.len()];
        for &item in &used {
            numbers[item as usize] = self.names.add(names[item as usize - 1], usize::MAX);
        }
        self.window.renumber(&numbers);
        let dim = self.config.dim;
        let mut older = Vectors { items: Vec::new(), vectors: Vec::new() };
        for (&item, vector) in self.older.items.iter().zip(self.older.vectors.chunks_exact(dim)) {
            if numbers[item as usize] > 0 {
                older.items.push(numbers[item as usize]);
                older.vectors.extend_from_slice(vector);
            }
        }
        self.older = older;
    }
}

impl Study for CoOccurrence {
    fn room(&self) -> Room {
        Room::Items
    }

    fn begin(&mut self, saved: Option<&Model>) -> Result<bool, LearnError> {
        *self = Self::new(self.config);
        let Some(saved) = saved else { return Ok(false) };
        self.go_on(saved).ok_or_else(|| {
            let reason = format!(
                "what its learner keeps is missing or does not fit together; set sdim.dim ({}) as it was, or start over under \
                 another `app`",
                self.config.dim
            );
            VersionError::Misfit { model: saved.name.clone(), version: saved.version, reason }
        })?;
        Ok(false)
    }

    fn learn(&mut self, record: &[u8], _: Option<i64>) -> Result<bool, LearnError> {
        let passages = Passages::read(record).map_err(|error| LearnError::Unreadable(error.to_string()))?;
        if !passages.names.iter().all(|name| Rows::takes(name)) {
            return Err(LearnError::Unreadable("it names an item without an id, or one of a giant id".into()));
        }
        let numbers: Vec<u32> = passages.names.iter().map(|name| self.names.add(name, usize::MAX)).collect();
        for (items, told) in passages.iter() {
            self.window.push(items.iter().map(|&at| numbers[at as usize]), told);
            self.targets += told as u64;
        }
        self.window.cut(self.config.learn_events);
        let enough = self.version_targets.clamp(EVENTS_MIN.min(self.config.version_events), self.config.version_events);
        Ok(self.targets - self.version_targets >= enough)
    }

    fn version(&mut self) -> Published {
        let dim = self.config.dim;
        self.forget_unused();
        let mut counts = Counts::new(PAIRS_MAX);
        self.window.each(|item, before| counts.add(item, before));
        self.older = counts.vectors(dim, SEED).aligned(&self.older, dim);
        self.version_targets = self.targets;
        let names: Vec<&str> = self.names.names().collect();
        let mut told = Rows::default();
        for &item in &self.older.items {
            told.add(names[item as usize - 1], usize::MAX);
        }
        let bytes = |numbers: &[u32]| Entry::bytes(&numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
        let (items, lengths) = self.window.parts();
        let saved = [
            (WINDOW_NAMES, self.names.entry()),
            (WINDOW_ITEMS, bytes(&items)),
            (WINDOW_LENGTHS, bytes(&lengths)),
            (OLDER_ITEMS, bytes(&self.older.items)),
            (OLDER_VECTORS, Entry::floats(vec![self.older.items.len(), dim], &self.older.vectors)),
        ];
        Published {
            about: json!({"targets": self.targets, "dim": dim, "events": self.window.events()}),
            weights: tensors(&told, &self.older.vectors, dim),
            saved: saved.map(|(name, entry)| (name.to_owned(), entry)).into(),
            targets: self.targets,
        }
    }
}

#[cfg(test)]
mod tests {
    use shaders::ops::tensors::Named;

    use super::*;
    use crate::encode::learned::vectors_of;

    /// Passages of a user of one of two groups, each with ten items of its own; `n` new behaviors.
    fn record(seed: u32, told: u32) -> Vec<u8> {
        let group = seed % 2;
        let names = (0..10).map(|item| format!("{group}-{item}")).collect();
        let items: Vec<u32> =
            (0..told + 3).map(|n| (seed.wrapping_mul(2_654_435_761) >> 7).wrapping_mul(n + 1) / 3 % 10).collect();
        let mut bytes = Vec::new();
        Passages { names, items, lengths: vec![(told + 3, told)] }.write(&mut bytes);
        bytes
    }

    fn config() -> CoOccurrenceConfig {
        CoOccurrenceConfig { dim: 8, learn_events: 3000, version_events: 2000 }
    }

    #[test]
    fn versions_are_early_at_first_and_tell_groups_apart() {
        let mut study = CoOccurrence::new(config());
        let mut made = Vec::new();
        for seed in 0..1000 {
            if study.learn(&record(seed, 10), None).unwrap() {
                let version = study.version();
                made.push(version.targets);
                let (names, vectors) = vectors_of(&version.weights, 8).unwrap();
                let vector = |name: &str| &vectors[(names.find(name) as usize - 1) * 8..][..8];
                let dot = |a: &str, b: &str| vector(a).iter().zip(vector(b)).map(|(x, y)| x * y).sum::<f32>();
                assert!(dot("0-1", "0-2") > dot("0-1", "1-2") + 0.3, "{}", version.targets);
            }
        }
        assert_eq!(made, [1000, 2000, 4000, 6000, 8000, 10_000]);
        assert_eq!(study.window.events(), 3000);
    }

    #[test]
    fn whoever_goes_on_makes_the_same_versions() {
        let (mut one, mut number) = (CoOccurrence::new(config()), 0);
        let mut other = CoOccurrence::new(config());
        for seed in 0..1500 {
            // Later other items come, and the first ones go.
            let record = record(if seed < 700 { 0 } else { 1 } + 2 * seed, 10);
            let due = (one.learn(&record, None).unwrap(), other.learn(&record, None).unwrap());
            assert_eq!(due.0, due.1);
            if due.0 {
                number += 1;
                let (mine, theirs) = (one.version(), other.version());
                assert!(mine.weights == theirs.weights && mine.saved == theirs.saved, "version {number}");
                let model = Model { name: "items".into(), version: number, about: mine.about, tensors: mine.saved };
                other = CoOccurrence::new(config());
                assert!(!other.begin(Some(&model)).unwrap());
                let names = Rows::of(&model.tensors[WINDOW_NAMES]).unwrap();
                assert!(names.len() <= 21, "only items of the window are kept");
            }
        }
        assert!(number > 5);
        let nameless = Passages { names: vec!["a".into(), String::new()], items: vec![0, 1], lengths: vec![(2, 1)] };
        let mut record = Vec::new();
        nameless.write(&mut record);
        assert!(matches!(one.learn(&record, None), Err(LearnError::Unreadable(_))), "an item without an id is nobody");
        assert!(one.names.find("0-1") == 0 && one.names.find("1-1") > 0, "who is gone from the window is forgotten");
        let damaged = Model { name: "items".into(), version: 1, about: json!({"targets": 5}), tensors: Named::new() };
        let error = CoOccurrence::new(config()).begin(Some(&damaged)).unwrap_err().to_string();
        assert!(error.contains("model items, version 1") && error.contains("sdim.dim"), "{error}");
    }
}
