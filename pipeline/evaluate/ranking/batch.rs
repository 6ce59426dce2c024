//! Requests as a model takes them.

use shaders::ranking::{Examples, Long};

use super::interest::Interest;
use super::keys::Keys;
use super::log::{Log, Request};
use super::replay::Replay;

/// Behaviors that every model attends to.
const SHORT: usize = 50;
/// Items with fewer candidates in training are unknown: their embedding would be noise.
const KNOWN_CANDIDATES: u32 = 5;

/// Everything that batches are made of.
pub struct Batches<'a> {
    /// The log.
    pub log: &'a Log,
    /// Vectors of items.
    pub keys: &'a Keys,
    /// Live counters.
    pub replay: &'a Replay,
    /// Row of each item's embedding, 0 where it is unknown.
    pub rows: &'a [u32],
    /// The newest behaviors that are seen, at most.
    pub history_max: usize,
}

/// Rows of item embeddings: of the items that stand often enough among the candidates of training, in their order.
pub fn embedding_rows(log: &Log) -> Vec<u32> {
    let mut candidates = vec![0_u32; log.items.names.len()];
    for request in log.of_part(super::Part::Train) {
        log.candidates[request.candidates.clone()].iter().for_each(|item| candidates[*item as usize] += 1);
    }
    let mut next = 0;
    let row = |n: u32| {
        next += u32::from(n >= KNOWN_CANDIDATES);
        if n >= KNOWN_CANDIDATES { next } else { 0 }
    };
    candidates.into_iter().map(row).collect()
}

impl Batches<'_> {
    /// The examples of some requests, for a model of the kind `long`.
    pub fn examples(&self, long: Long, interest: &Interest, requests: &[&Request]) -> Examples {
        let mut examples = Examples { behavior_offsets: vec![0], candidate_offsets: vec![0], ..Examples::default() };
        if !interest.found_offsets.is_empty() {
            examples.found_offsets.push(0);
        }
        for request in requests {
            self.add(&mut examples, long, interest, request);
        }
        examples
    }

    fn add(&self, examples: &mut Examples, long: Long, interest: &Interest, request: &Request) {
        let Self { log, replay, .. } = self;
        let keys = self.keys.at(request.time_ms);
        let history = log.history(request, self.history_max);
        let candidates = request.candidates.clone();
        let (found, ages) = found(interest, request, if long == Long::All { usize::MAX } else { SHORT }, history.len());
        for &age in &ages {
            let behavior = history[history.len() - 1 - age as usize];
            examples.behavior_keys.extend(keys.of(behavior.item));
            examples.behavior_actions.push(behavior.action);
        }
        examples.behavior_ages.extend(&ages);
        examples.behavior_offsets.push(examples.behavior_ages.len() as u32);
        for &item in &log.candidates[candidates.clone()] {
            examples.candidate_keys.extend(keys.of(item));
            examples.candidate_rows.push(self.rows[item as usize]);
            examples.candidate_categories.push(log.items.categories[item as usize]);
        }
        examples.candidate_offsets.push(examples.candidate_rows.len() as u32);
        let width = replay.names.len();
        examples.inputs.extend(&replay.inputs[candidates.start * width..candidates.end * width]);
        examples.labels.extend(log.labels[candidates.clone()].iter().map(|label| f32::from(u8::from(*label))));
        if !interest.reads.is_empty() {
            examples.reads.extend(&interest.reads[candidates.start * self.keys.dim..candidates.end * self.keys.dim]);
        }
        if !interest.tiers.is_empty() {
            let tiers = super::interest::TIERS;
            examples.tiers.extend(&interest.tiers[candidates.start * tiers..candidates.end * tiers]);
        }
        if !interest.found_offsets.is_empty() {
            let place = |age: &u32| ages.binary_search(age).expect("a found behavior is there") as u32;
            examples.found_behaviors.extend(interest.found_ages[found.clone()].iter().map(place));
            let first = examples.found_similarities.len();
            examples.found_similarities.extend(&interest.found_similarities[found.clone()]);
            let offsets = &interest.found_offsets[candidates.start + 1..=candidates.end];
            examples.found_offsets.extend(offsets.iter().map(|end| (first + end - found.start) as u32));
        }
    }
}

/// Where the request's found behaviors stand, and the ages of all behaviors it needs: the newest and the found.
fn found(interest: &Interest, request: &Request, newest: usize, history: usize) -> (std::ops::Range<usize>, Vec<u32>) {
    let newest = newest.min(history) as u32;
    let mut ages: Vec<u32> = (0..newest).collect();
    if interest.found_offsets.is_empty() {
        return (0..0, ages);
    }
    let of = |candidate: usize| interest.found_offsets[candidate];
    let range = of(request.candidates.start)..of(request.candidates.end);
    ages.extend(interest.found_ages[range.clone()].iter().filter(|age| **age >= newest));
    ages.sort_unstable();
    ages.dedup();
    (range, ages)
}
