//! Examples, made ready for the tape.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::config::AGES;
use super::embedding::Embedding;
use super::standard::Standard;
use super::{Config, Examples};
use crate::ops::{Feed, Real, Tape};

/// What a feed needs beside the examples.
pub(super) struct Making<'a> {
    pub config: &'a Config,
    pub items: &'a Embedding,
    pub categories: &'a Embedding,
    pub standard: &'a Standard,
    /// Of the numbers that dropout leaves out; only for learning.
    pub random: Option<&'a mut ChaCha8Rng>,
}

impl Making<'_> {
    /// The feed of checked examples.
    pub fn feed<T: Real>(&mut self, tape: &Tape, examples: &Examples) -> Feed<T> {
        let mut feed = tape.feed::<T>();
        feed.sequences = examples.requests();
        for (name, offsets) in tape.axes.iter().zip(&mut feed.offsets) {
            *offsets = match *name {
                "candidate" => examples.candidate_offsets.clone(),
                "behavior" => examples.behavior_offsets.clone(),
                "recent" => {
                    let mut end = 0;
                    let counts = (0..feed.sequences).map(|request| self.recent(examples, request).len() as u32);
                    let ends = counts.map(|count| {
                        end += count;
                        end
                    });
                    [0].into_iter().chain(ends).collect()
                }
                "found" => {
                    let first = |&candidate: &u32| examples.found_offsets[candidate as usize];
                    examples.candidate_offsets.iter().map(first).collect()
                }
                name => panic!("an axis is named {name}"),
            };
        }
        for ((name, _), values) in tape.inputs.iter().zip(&mut feed.floats) {
            *values = self.floats(name, examples);
        }
        for ((name, _), ids) in tape.id_inputs.iter().zip(&mut feed.ids) {
            *ids = self.ids(name, examples);
        }
        feed
    }

    /// The newest behaviors of a request.
    fn recent(&self, examples: &Examples, request: usize) -> std::ops::Range<usize> {
        let all = examples.behaviors_of(request);
        all.start..all.end.min(all.start + self.config.short)
    }

    /// `values` (behaviors, width) of the newest behaviors of all requests.
    fn of_recent<V: Copy>(&self, examples: &Examples, values: &[V], width: usize) -> Vec<V> {
        let mut newest = Vec::new();
        for request in 0..examples.requests() {
            let recent = self.recent(examples, request);
            newest.extend_from_slice(&values[recent.start * width..recent.end * width]);
        }
        newest
    }

    fn floats<T: Real>(&mut self, name: &str, examples: &Examples) -> Vec<T> {
        let all = |values: &[f32]| values.iter().map(|&value| T::of(value.into())).collect();
        match name {
            "candidate key" => all(&examples.candidate_keys),
            "item" => all(&self.items.gather(&examples.candidate_rows)),
            "category" => all(&self.categories.gather(&examples.candidate_categories)),
            "recent key" => all(&self.of_recent(examples, &examples.behavior_keys, self.config.dim)),
            "behavior key" => all(&examples.behavior_keys),
            "read" => all(&examples.reads),
            "found similarity" => all(&examples.found_similarities),
            "tiers" => logarithms(&examples.tiers),
            "inputs" => all(&self.standard.apply(&examples.inputs)),
            "mask" => self.mask(examples.candidates() * self.config.vectors()),
            "sign" => examples.labels.iter().map(|&label| T::of(1.0 - 2.0 * f64::from(label))).collect(),
            "weight" => vec![T::of(1.0 / examples.candidates() as f64); examples.candidates()],
            name => panic!("an input is named {name}"),
        }
    }

    fn ids(&self, name: &str, examples: &Examples) -> Vec<u32> {
        let buckets = |ages: &[u32]| ages.iter().map(|&age| bucket(age)).collect();
        match name {
            "recent action" => self.of_recent(examples, &examples.behavior_actions, 1),
            "recent age" => buckets(&self.of_recent(examples, &examples.behavior_ages, 1)),
            "behavior action" => examples.behavior_actions.clone(),
            "behavior age" => buckets(&examples.behavior_ages),
            "found behavior" => examples.found_behaviors.clone(),
            "found range" => {
                let of_request = |request: usize| {
                    let candidates = examples.candidates_of(request);
                    let first = examples.found_offsets[candidates.start];
                    let ranges = candidates.map(move |candidate| &examples.found_offsets[candidate..candidate + 2]);
                    ranges.flat_map(move |range| [range[0] - first, range[1] - range[0]])
                };
                (0..examples.requests()).flat_map(of_request).collect()
            }
            name => panic!("indexes are named {name}"),
        }
    }

    /// 0 where a number is left out, else what keeps the mean.
    fn mask<T: Real>(&mut self, len: usize) -> Vec<T> {
        let random = self.random.as_mut().expect("dropout is for learning");
        let left_out = (self.config.dropout * 2f64.powi(32)) as u32;
        let kept = T::of(1.0 / (1.0 - self.config.dropout));
        (0..len).map(|_| if random.next_u32() < left_out { T::ZERO } else { kept }).collect()
    }
}

/// ln(1 + count) of each.
fn logarithms<T: Real>(counts: &[u8]) -> Vec<T> {
    let of_count: [T; 256] = std::array::from_fn(|count| T::of((count as f64).ln_1p()));
    counts.iter().map(|&count| of_count[usize::from(count)]).collect()
}

/// floor(log2(age + 1)), at most the last.
fn bucket(age: u32) -> u32 {
    age.saturating_add(1).ilog2().min(AGES as u32 - 1)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn ages_are_told_apart_by_powers_of_two() {
        let found: Vec<u32> = [0, 1, 2, 3, 6, 7, 4094, 4095, 1 << 20, u32::MAX].map(bucket).to_vec();
        assert_eq!(found, [0, 1, 1, 2, 2, 3, 11, 12, 12, 12]);
    }
}
