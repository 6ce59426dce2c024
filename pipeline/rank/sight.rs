//! What a request saw: its candidates and the part of the user's history that models look at, as it stood then.
//!
//! It is made once, by the engine, at the request's place in the log. Scores are made of it, and so are samples: what a model
//! learns from is what it was asked, bit for bit, and never made again. Vectors are int8, q = round(127 v); names stand for
//! themselves, since places among a model's embeddings change with its version.

use serde::{Deserialize, Serialize};
use shaders::muse::TIERS;
use shaders::ranking::Long;

use crate::sealed::{self, SealedError};

/// The kind of these records among the service's own ([`schemas::packed`]).
const KIND: u8 = b'r';

/// One request, or a part of its candidates. Parts that no open model looks at are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// d, the length of vectors.
    pub dim: u32,
    /// Inputs of a candidate.
    pub width: u32,
    /// (candidates): items.
    pub item_ids: Vec<String>,
    /// (candidates): categories; empty of an item without one.
    pub categories: Vec<String>,
    /// (candidates, d): zero of an item without a vector.
    pub candidate_keys: Vec<i8>,
    /// (candidates, width): live counters, then the forms of the request's features.
    pub inputs: Vec<f32>,
    /// (candidates, d): what SDIM read; or nothing.
    pub reads: Vec<f32>,
    /// Names of action types.
    pub types: Vec<String>,
    /// (behaviors): places among `types`; the newest first, then others that were found.
    pub behavior_types: Vec<u16>,
    /// (behaviors): how many behaviors are newer.
    pub behavior_ages: Vec<u32>,
    /// (behaviors, d)
    pub behavior_keys: Vec<i8>,
    /// (candidates + 1): what MUSE found for each; or nothing.
    pub found_offsets: Vec<u32>,
    /// (found): places among the behaviors.
    pub found_behaviors: Vec<u32>,
    /// (found): cosines.
    pub found_similarities: Vec<f32>,
    /// (candidates, 44): SimTier's counts; or nothing.
    pub tiers: Vec<u8>,
    /// (candidates): whether the user took it; nothing where that is not known yet.
    pub labels: Vec<bool>,
}

/// Why a sample cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SightError {
    /// It is none of these records, or not what was written.
    #[error("sample: {0}")]
    Sealed(#[from] SealedError),
    /// Its parts do not fit together.
    #[error("sample: the parts of {0} candidates and {1} behaviors do not fit together")]
    Misfit(usize, usize),
}

impl Sight {
    /// How many candidates there are.
    pub fn len(&self) -> usize {
        self.item_ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.item_ids.is_empty()
    }

    /// Bytes that it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let texts =
            self.item_ids.iter().chain(&self.categories).chain(&self.types).map(|text| text.len() + 24).sum::<usize>();
        let floats = self.inputs.len() + self.reads.len() + self.found_similarities.len();
        let words = floats + self.behavior_ages.len() + self.found_offsets.len() + self.found_behaviors.len();
        let bytes =
            self.candidate_keys.len() + self.behavior_keys.len() + self.tiers.len() + 2 * self.behavior_types.len();
        texts + bytes + 4 * words + 256
    }

    /// Of the candidates those at `places`, all with one label; of the behaviors the newest, and those found for them.
    pub fn pick(&self, places: &[usize], label: bool) -> Self {
        let (dim, width) = (self.dim as usize, self.width as usize);
        let mut part = Self {
            dim: self.dim,
            width: self.width,
            item_ids: places.iter().map(|&at| self.item_ids[at].clone()).collect(),
            categories: places.iter().map(|&at| self.categories[at].clone()).collect(),
            candidate_keys: rows(&self.candidate_keys, dim, places),
            inputs: rows(&self.inputs, width, places),
            reads: rows(&self.reads, dim, places),
            types: self.types.clone(),
            tiers: rows(&self.tiers, 2 * TIERS, places),
            labels: vec![label; places.len()],
            ..Self::default()
        };
        let newest = (0..self.behavior_ages.len()).take_while(|&n| self.behavior_ages[n] as usize == n && n < NEWEST);
        let mut taken: Vec<usize> = newest.collect();
        let mut at_part = vec![u32::MAX; self.behavior_ages.len()];
        taken.iter().for_each(|&n| at_part[n] = n as u32);
        if !self.found_offsets.is_empty() {
            part.found_offsets.push(0);
            for &at in places {
                let found = self.found_offsets[at] as usize..self.found_offsets[at + 1] as usize;
                for &behavior in &self.found_behaviors[found.clone()] {
                    let place = &mut at_part[behavior as usize];
                    if *place == u32::MAX {
                        *place = taken.len() as u32;
                        taken.push(behavior as usize);
                    }
                    part.found_behaviors.push(*place);
                }
                part.found_similarities.extend_from_slice(&self.found_similarities[found]);
                part.found_offsets.push(part.found_behaviors.len() as u32);
            }
        }
        part.behavior_types = rows(&self.behavior_types, 1, &taken);
        part.behavior_ages = rows(&self.behavior_ages, 1, &taken);
        part.behavior_keys = rows(&self.behavior_keys, dim, &taken);
        part
    }

    /// Whether all is there that a model of this form looks at: what was seen while its room was closed has not all of it.
    pub fn serves(&self, long: Long) -> bool {
        let has_reads = self.reads.len() == self.candidate_keys.len();
        let has_found = self.found_offsets.len() == self.len() + 1 && self.tiers.len() == 2 * TIERS * self.len();
        (has_reads || !long.needs_reads()) && (has_found || !long.needs_found())
    }

    /// Leaves out what SDIM alone looks at.
    pub fn without_reads(mut self) -> Self {
        self.reads.clear();
        self
    }

    /// Leaves out what MUSE alone looks at.
    pub fn without_found(mut self) -> Self {
        self.found_offsets.clear();
        self.found_behaviors.clear();
        self.found_similarities.clear();
        self.tiers.clear();
        let newest = self.behavior_ages.len().min(NEWEST);
        self.behavior_types.truncate(newest);
        self.behavior_ages.truncate(newest);
        self.behavior_keys.truncate(newest * self.dim as usize);
        self
    }

    /// Appends the record to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        sealed::write(KIND, self, out);
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where the bytes are none; nothing in them makes this panic.
    pub fn read(bytes: &[u8]) -> Result<Self, SightError> {
        let sight: Self = sealed::read(KIND, bytes)?;
        if sight.is_whole() { Ok(sight) } else { Err(SightError::Misfit(sight.len(), sight.behavior_ages.len())) }
    }

    /// Whether its parts fit together.
    fn is_whole(&self) -> bool {
        let (candidates, behaviors) = (self.len(), self.behavior_ages.len());
        let (dim, width) = (self.dim as usize, self.width as usize);
        let or_none = |len: usize, whole: usize| len == 0 || len == whole;
        let finds = match self.found_offsets.as_slice() {
            [] => self.found_behaviors.is_empty(),
            [0, .., last] | [last @ 0] => {
                self.found_offsets.len() == candidates + 1
                    && *last as usize == self.found_behaviors.len()
                    && self.found_offsets.is_sorted()
            }
            _ => false,
        };
        self.categories.len() == candidates
            && candidates.checked_mul(dim) == Some(self.candidate_keys.len())
            && candidates.checked_mul(width) == Some(self.inputs.len())
            && or_none(self.reads.len(), self.candidate_keys.len())
            && or_none(self.tiers.len(), candidates * 2 * TIERS)
            && or_none(self.labels.len(), candidates)
            && self.behavior_types.len() == behaviors
            && self.behavior_types.iter().all(|&at| usize::from(at) < self.types.len())
            && behaviors.checked_mul(dim) == Some(self.behavior_keys.len())
            && finds
            && self.found_similarities.len() == self.found_behaviors.len()
            && self.found_behaviors.iter().all(|&at| (at as usize) < behaviors)
            && [&self.inputs, &self.reads, &self.found_similarities].iter().all(|of| of.iter().all(|x| x.is_finite()))
    }
}

/// Rows of a matrix; nothing of an empty one.
fn rows<T: Copy>(of: &[T], width: usize, places: &[usize]) -> Vec<T> {
    if of.is_empty() {
        return Vec::new();
    }
    places.iter().flat_map(|&at| of[at * width..(at + 1) * width].iter().copied()).collect()
}

/// Behaviors that the short interest is made of.
pub const NEWEST: usize = 50;

#[cfg(test)]
mod tests {
    use schemas::packed;

    use super::*;

    fn sight() -> Sight {
        Sight {
            dim: 2,
            width: 1,
            item_ids: vec!["a".into(), "b".into()],
            categories: vec!["x".into(), String::new()],
            candidate_keys: vec![127, 0, 0, -127],
            inputs: vec![0.5, -1.0],
            reads: vec![0.1, 0.2, 0.3, 0.4],
            types: vec!["click".into(), "buy".into()],
            behavior_types: vec![0, 1, 0],
            behavior_ages: vec![0, 1, 700],
            behavior_keys: vec![1, 2, 3, 4, 5, 6],
            found_offsets: vec![0, 1, 3],
            found_behaviors: vec![1, 2, 0],
            found_similarities: vec![0.9, 0.8, 0.7],
            tiers: (0..88).collect(),
            labels: Vec::new(),
        }
    }

    #[test]
    fn a_sight_survives_the_wire_and_no_damage_makes_it_panic() {
        let mut bytes = vec![7];
        sight().write(&mut bytes);
        assert_eq!(Sight::read(&bytes[1..]).unwrap(), sight());
        for end in 1..bytes.len() {
            assert!(Sight::read(&bytes[1..end]).is_err(), "cut at {end}");
        }
        for at in 1..bytes.len() {
            bytes[at] ^= 1;
            assert!(Sight::read(&bytes[1..]).is_err(), "changed at {at}");
            // What a writer who knows the checksum may do.
            packed::seal(&mut bytes[1..]);
            drop(Sight::read(&bytes[1..]));
            bytes[at] ^= 1;
            packed::seal(&mut bytes[1..]);
        }
    }

    #[test]
    fn one_candidate_keeps_what_it_saw() {
        let one = sight().pick(&[1], true);
        assert!(one.is_whole());
        assert_eq!(
            (&one.item_ids[..], &one.inputs[..], &one.labels[..]),
            (&["b".to_string()][..], &[-1.0][..], &[true][..])
        );
        assert_eq!((&one.reads[..], one.tiers[0]), (&[0.3, 0.4][..], 44));
        // The newest two stay, and the third since it was found.
        assert_eq!((&one.behavior_ages[..], &one.found_behaviors[..]), (&[0, 1, 700][..], &[2, 0][..]));
        let other = sight().pick(&[0], false);
        assert_eq!((&other.behavior_ages[..], &other.found_behaviors[..]), (&[0, 1][..], &[1][..]));
        assert_eq!(other.behavior_keys, [1, 2, 3, 4]);
        let all = sight().pick(&[0, 1], false);
        assert_eq!(Sight { labels: Vec::new(), ..all.clone() }, sight());
        let (sdim, muse) = (all.clone().without_found(), all.without_reads());
        assert!(sdim.is_whole() && muse.is_whole() && muse.reads.is_empty() && sdim.tiers.is_empty());
        assert_eq!(
            [&sdim, &muse].map(|of| (of.serves(Long::Sdim), of.serves(Long::Muse))),
            [(true, false), (false, true)]
        );
    }
}
