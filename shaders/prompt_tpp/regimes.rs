//! Entries of the pool by regime: prompts of a regime that has ended stay as they are, and are chosen when it is back.
//!
//! Prompts are used in groups of [`Config::chosen`](super::Config::chosen); the prompts of a group begin with one key, so
//! that they are chosen together. While the base learns, all users share the first group; the others are spare, and cannot
//! be chosen. When the base is frozen and a batch's contexts, in their mean, are farther from every key than they are from
//! each other, another regime has begun: a spare group is taken, with that mean as its key and the prompts of the nearest
//! group to begin with. What is not chosen does not move, neither prompts nor keys nor moments. Where nothing is spare,
//! the groups in use go on.

use super::sketch::{SKETCH, sketches};
use super::{Batch, LearningRates, Model};

/// Sequences with a context in a batch that are needed to tell a regime.
const SEQUENCES_MIN: usize = 8;

/// The mean of what a batch's contexts are about, and how they are spread around it, both by cosine.
struct Mean {
    about: Vec<f32>,
    spread: f64,
}

impl Model {
    /// Prompts that can be chosen, of [`Config::pool`](super::Config::pool) in each pool; the others are spare.
    pub fn in_use(&self) -> usize {
        let of_groups = self.counters.groups.max(1) as usize * self.config.chosen;
        if self.config.novelty > 0.0 { of_groups.min(self.config.pool) } else { self.config.pool }
    }

    /// Takes a spare group where the contexts of a batch are of another regime.
    pub(super) fn follow_regime(&mut self, batch: &Batch<'_>, rates: &LearningRates) {
        let (first, chosen) = (self.in_use(), self.config.chosen);
        let learns = rates.base == 0.0 && rates.pool > 0.0;
        if self.config.novelty == 0.0 || !learns {
            return;
        }
        let sketches: Vec<f32> = sketches(batch, &self.config);
        let rows = sketches.chunks_exact(SKETCH).zip(batch.context);
        let rows: Vec<&[f32]> = rows.filter(|(_, context)| **context > 0).map(|(row, _)| row).collect();
        let Some(mean) = Mean::of(&rows) else { return };
        let pools: Vec<String> =
            self.tensors.iter().filter_map(|tensor| tensor.name.strip_suffix(".keys")).map(str::to_owned).collect();
        if self.counters.groups == 0 {
            pools.iter().for_each(|pool| self.take_group(pool, 0, 0, &mean.about));
            self.counters.groups = 1;
        }
        let nearest: Vec<(usize, f64)> = pools.iter().map(|pool| self.nearest(pool, &mean.about, first)).collect();
        let distance = nearest.iter().map(|(_, cosine)| 1.0 - cosine).sum::<f64>() / pools.len() as f64;
        if distance <= self.config.novelty * mean.spread || first + chosen > self.config.pool {
            return;
        }
        for (pool, (from, _)) in pools.iter().zip(nearest) {
            self.take_group(pool, from / chosen * chosen, first, &mean.about);
        }
        self.counters.groups += 1;
    }

    /// The key of a pool, among the first `of`, that is nearest to `about`, and its cosine.
    fn nearest(&self, pool: &str, about: &[f32], of: usize) -> (usize, f64) {
        let keys = self.tensors.get(&format!("{pool}.keys")).expect("every pool has keys");
        let keys = self.parameters[keys.range()].chunks_exact(keys.columns).take(of);
        let cosines = keys.map(|key| cosine(key, about)).enumerate();
        cosines.fold((0, -1.0), |best, (n, cosine)| if cosine > best.1 { (n, cosine) } else { best })
    }

    /// Group `to` begins with the prompts of group `from`, and with `about` for a key.
    fn take_group(&mut self, pool: &str, from: usize, to: usize, about: &[f32]) {
        for name in ["keys", "prompts"] {
            let tensor = self.tensors.get(&format!("{pool}.{name}")).expect("every pool has keys and prompts");
            let (columns, entry) = (tensor.columns, tensor.range().len() / self.config.pool);
            let at = |n: usize| tensor.offset + n * entry..tensor.offset + (n + self.config.chosen) * entry;
            self.parameters.copy_within(at(from), at(to).start);
            self.adam.second.copy_within(at(from), at(to).start);
            self.adam.first[at(to)].fill(0.0);
            self.pool_sum[at(to)].fill(0.0);
            if name == "keys" {
                self.parameters[at(to)].chunks_exact_mut(columns).for_each(|key| key.copy_from_slice(about));
            }
        }
    }
}

impl Mean {
    /// None of too few.
    fn of(rows: &[&[f32]]) -> Option<Mean> {
        if rows.len() < SEQUENCES_MIN {
            return None;
        }
        let mut about = vec![0.0; rows[0].len()];
        for row in rows {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6) * rows.len() as f32;
            about.iter_mut().zip(*row).for_each(|(sum, x)| *sum += x / length);
        }
        let spread = rows.iter().map(|row| 1.0 - cosine(row, &about)).sum::<f64>() / rows.len() as f64;
        Some(Mean { about, spread })
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}
