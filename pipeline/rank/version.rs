//! A version of a model that scores candidates: its network, and whose embeddings its rows are.

use serde::{Deserialize, Serialize};
use shaders::ops::tensors::{Entry, Named};
use shaders::ranking::{Config, Examples, Long, Scorer, Weights};

use super::sight::Sight;
use crate::config::Attention;
use crate::forecast::version::VersionError;
use crate::model::Model;
use crate::names::Names;

/// What a manifest says of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Names of the inputs of a candidate, in order.
    pub inputs: Vec<String>,
    /// Length of item vectors.
    pub dim: usize,
    /// Labeled candidates it has learned from.
    pub targets: u64,
    /// The form of MUSE's attention; versions from before it could be chosen do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
}

/// Whose name is longer has no row: what is kept is bounded.
const NAME_BYTES_MAX: usize = 4096;

/// Names by their rows; row 0 is whoever has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows(Names);

impl Rows {
    /// The row of a name; 0 of one that has none.
    pub fn find(&self, name: &str) -> u32 {
        self.0.find(name).map_or(0, |number| number + 1)
    }

    /// Whether somebody of this name may have a row.
    pub fn takes(name: &str) -> bool {
        (1..=NAME_BYTES_MAX).contains(&name.len())
    }

    /// Gives a name that may have one a row, where there are fewer than `max` with row 0; the row it has, or 0.
    pub fn add(&mut self, name: &str, max: usize) -> u32 {
        if !Self::takes(name) || self.len() >= max { self.find(name) } else { self.0.add(name).0 + 1 }
    }

    /// Gives a row to another name; who had it has none now.
    pub fn give(&mut self, row: u32, name: &str) {
        self.0.replace(row - 1, name);
    }

    /// The names, from row 1 on.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter()
    }

    /// How many rows there are, row 0 among them.
    pub fn len(&self) -> usize {
        self.0.len() + 1
    }

    /// Whether nobody has a row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from row 1 on, each with its length (u32, little-endian) before it.
    pub fn entry(&self) -> Entry {
        let mut bytes = Vec::new();
        for name in self.names() {
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend(name.as_bytes());
        }
        Entry::bytes(&bytes)
    }

    /// What [`Rows::entry`] gave; none where it is something else.
    pub fn of(entry: &Entry) -> Option<Self> {
        let mut bytes = entry.to_bytes().ok()?;
        let mut names = Names::with_capacity(bytes.len() / 16, bytes.len());
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let (_, is_new) = names.add(std::str::from_utf8(name).ok()?);
            is_new.then_some(())?;
            bytes = rest;
        }
        Some(Self(names))
    }
}

/// Whose embeddings a network's rows are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vocabulary {
    /// Items.
    pub items: Rows,
    /// Categories.
    pub categories: Rows,
    /// Action types.
    pub types: Rows,
}

const NAMES: [&str; 3] = ["item.names", "category.names", "action.names"];

impl Vocabulary {
    /// Puts the names beside the tensors.
    pub fn save(&self, tensors: &mut Named) {
        for (name, rows) in NAMES.into_iter().zip([&self.items, &self.categories, &self.types]) {
            tensors.insert(name.into(), rows.entry());
        }
    }

    /// Takes the names from beside the tensors; none where they are not there.
    pub fn take(tensors: &mut Named) -> Option<Self> {
        let [items, categories, types] = NAMES.map(|name| tensors.remove(name).as_ref().and_then(Rows::of));
        Some(Self { items: items?, categories: categories?, types: types? })
    }

    /// What requests saw, as a network of `long` takes it; items that it does not know have row 0.
    pub fn examples<'a>(&self, long: Long, sights: impl IntoIterator<Item = &'a Sight>) -> Examples {
        let mut all = Examples { behavior_offsets: vec![0], candidate_offsets: vec![0], ..Examples::default() };
        if long.needs_found() {
            all.found_offsets.push(0);
        }
        for sight in sights {
            self.add(long, sight, &mut all);
        }
        all
    }

    fn add(&self, long: Long, sight: &Sight, all: &mut Examples) {
        let key = |&x: &i8| f32::from(x) / 127.0;
        all.candidate_keys.extend(sight.candidate_keys.iter().map(key));
        all.candidate_rows.extend(sight.item_ids.iter().map(|name| self.items.find(name)));
        all.candidate_categories.extend(sight.categories.iter().map(|name| self.categories.find(name)));
        all.inputs.extend_from_slice(&sight.inputs);
        all.labels.extend(sight.labels.iter().map(|&label| f32::from(u8::from(label))));
        all.candidate_offsets.push(all.candidate_rows.len() as u32);
        let types: Vec<u32> = sight.types.iter().map(|name| self.types.find(name)).collect();
        all.behavior_actions.extend(sight.behavior_types.iter().map(|&at| types[usize::from(at)]));
        all.behavior_ages.extend_from_slice(&sight.behavior_ages);
        all.behavior_keys.extend(sight.behavior_keys.iter().map(key));
        all.behavior_offsets.push(all.behavior_ages.len() as u32);
        if long.needs_reads() {
            all.reads.extend_from_slice(&sight.reads);
        }
        if long.needs_found() {
            let before = all.found_behaviors.len() as u32;
            all.found_offsets.extend(sight.found_offsets.iter().skip(1).map(|offset| before + offset));
            all.found_behaviors.extend_from_slice(&sight.found_behaviors);
            all.found_similarities.extend_from_slice(&sight.found_similarities);
        }
        if long == Long::Muse {
            all.tiers.extend_from_slice(&sight.tiers);
        }
    }
}

/// A version that can be asked.
#[derive(Debug)]
pub struct Version {
    /// Its number.
    pub number: u64,
    long: Long,
    vocabulary: Vocabulary,
    weights: Weights,
}

impl Version {
    /// Of a model, for candidates with these inputs and vectors of this length.
    ///
    /// # Errors
    /// Where it is not one for them.
    pub fn new(long: Long, model: &Model, about: &About) -> Result<Self, VersionError> {
        let wrong = |reason: String| VersionError::Misfit { model: model.name.clone(), version: model.version, reason };
        let found: About = serde_json::from_value(model.about.clone()).map_err(|error| wrong(error.to_string()))?;
        if (&found.inputs, found.dim) != (&about.inputs, about.dim) {
            return Err(wrong(format!(
                "it has learned from candidates with inputs {:?} and vectors of {}, now they are {:?} and {}; set \
                 candidates.features and sdim.dim as they were, or start over under another `app`",
                found.inputs, found.dim, about.inputs, about.dim
            )));
        }
        let mut tensors = model.tensors.clone();
        tensors.remove(HASH);
        let vocabulary = Vocabulary::take(&mut tensors).ok_or_else(|| wrong("names of its rows are missing".into()))?;
        // Whatever is set now, a version has the form that it was learned in.
        let sa_ta = found.attention.unwrap_or_default().into();
        let config = Config { long, dim: about.dim, inputs: about.inputs.len(), sa_ta, ..Config::default() };
        let weights = Weights::new(config, tensors).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { number: model.version, long, vocabulary, weights })
    }

    /// The log odds that each candidate is taken, request by request.
    ///
    /// # Errors
    /// What the device says.
    pub fn score(&self, network: &mut Scorer, sights: &[&Sight]) -> Result<Vec<f32>, shaders::Error> {
        let examples = self.vocabulary.examples(self.long, sights.iter().copied());
        let scores = network.score(&self.weights, &examples)?;
        Ok(scores.into_iter().map(log_odds).collect())
    }
}

/// SDIM's frozen hash, which stands beside the network's tensors in its model.
pub const HASH: &str = "hash";

/// The log odds of a probability, which is kept from 0 and 1.
fn log_odds(p: f32) -> f32 {
    let p = f64::from(p).clamp(1e-7, 1.0 - 1e-7);
    (p / (1.0 - p)).ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_rows() {
        let mut rows = Rows::default();
        assert_eq!(["b", "a", "b", ""].map(|name| rows.add(name, 3)), [1, 2, 1, 0]);
        assert_eq!((rows.add("c", 3), rows.find("c"), rows.len()), (0, 0, 3));
        assert_eq!([4096, 4097].map(|len| Rows::default().add(&"x".repeat(len), 3)), [1, 0]);
        let back = Rows::of(&rows.entry()).unwrap();
        assert_eq!(back, rows);
        rows.give(1, "c");
        assert_eq!(["b", "c", "a"].map(|name| rows.find(name)), [0, 1, 2]);
        assert_eq!(Rows::of(&rows.entry()).unwrap(), rows);
        let Entry { bytes, .. } = rows.entry();
        assert!((1..bytes.len()).filter(|end| Rows::of(&Entry::bytes(&bytes[..*end])).is_some()).count() < 2);
        assert_eq!(Rows::of(&Entry::floats(vec![1], &[1.0])), None);
    }
}
