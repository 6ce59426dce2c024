//! Requests with their candidates, as a caller hands them in.

use std::ops::Range;

use super::config::TIER_COLUMNS;
use super::{Config, Long};
use crate::Error;

/// Requests with their candidates, and what of the user's history each saw. Flat, ragged by offsets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examples {
    /// (requests + 1): a request's behaviors, newest first; the first [`Config::short`] of them are the short interest.
    /// Only those that some part of the model needs must be there: the newest, those that were found, or all.
    pub behavior_offsets: Vec<u32>,
    /// (requests + 1): a request's candidates.
    pub candidate_offsets: Vec<u32>,
    /// (behaviors, d): frozen unit vectors; zero of an item without one.
    pub behavior_keys: Vec<f32>,
    /// (behaviors): action type, 0 of an unknown one.
    pub behavior_actions: Vec<u32>,
    /// (behaviors): place in the whole history, 0 for the newest.
    pub behavior_ages: Vec<u32>,
    /// (candidates, d): frozen unit vectors; zero of an item without one.
    pub candidate_keys: Vec<f32>,
    /// (candidates): row of the item embedding, 0 of an unknown item.
    pub candidate_rows: Vec<u32>,
    /// (candidates): row of the category embedding, 0 of an unknown category.
    pub candidate_categories: Vec<u32>,
    /// (candidates, inputs): live counters, features of request and item, as they are: the model standardizes them.
    pub inputs: Vec<f32>,
    /// (candidates): 0 or 1; only for learning.
    pub labels: Vec<f32>,
    /// (candidates, d): the long interest that was read ([`Long::needs_reads`]), else empty.
    pub reads: Vec<f32>,
    /// (candidates + 1): what was found for the candidate ([`Long::needs_found`]), else empty.
    pub found_offsets: Vec<u32>,
    /// (found): place among the request's own behaviors.
    pub found_behaviors: Vec<u32>,
    /// (found): cosine with the candidate; 0 where the search was not by content.
    pub found_similarities: Vec<f32>,
    /// (candidates, 2 [`TIERS`](super::TIERS)): SimTier counts of the found, then of the newest behaviors
    /// ([`Long::Muse`]), else empty.
    pub tiers: Vec<u8>,
}

impl Examples {
    /// How many requests there are.
    pub fn requests(&self) -> usize {
        self.candidate_offsets.len().saturating_sub(1)
    }

    /// How many candidates there are.
    pub fn candidates(&self) -> usize {
        self.candidate_rows.len()
    }

    /// The behaviors of a request.
    pub(super) fn behaviors_of(&self, request: usize) -> Range<usize> {
        self.behavior_offsets[request] as usize..self.behavior_offsets[request + 1] as usize
    }

    /// The candidates of a request.
    pub(super) fn candidates_of(&self, request: usize) -> Range<usize> {
        self.candidate_offsets[request] as usize..self.candidate_offsets[request + 1] as usize
    }

    /// # Errors
    /// [`Error::Shape`] that names the first fault.
    pub(super) fn check(&self, config: &Config, labeled: bool) -> Result<(), Error> {
        let (requests, candidates, behaviors) = (self.requests(), self.candidates(), self.behavior_actions.len());
        offsets(&self.candidate_offsets, requests, candidates, "candidate_offsets")?;
        offsets(&self.behavior_offsets, requests, behaviors, "behavior_offsets")?;
        let labels = if labeled { candidates } else { self.labels.len() };
        let reads = if config.long.needs_reads() { candidates * config.dim } else { self.reads.len() };
        let tiers = if config.long == Long::Muse { candidates * TIER_COLUMNS } else { self.tiers.len() };
        for (name, found, expected) in [
            ("behavior_keys", self.behavior_keys.len(), behaviors * config.dim),
            ("behavior_ages", self.behavior_ages.len(), behaviors),
            ("candidate_keys", self.candidate_keys.len(), candidates * config.dim),
            ("candidate_categories", self.candidate_categories.len(), candidates),
            ("inputs", self.inputs.len(), candidates * config.inputs),
            ("labels", self.labels.len(), labels),
            ("reads", self.reads.len(), reads),
            ("tiers", self.tiers.len(), tiers),
        ] {
            if found != expected {
                return wrong(format!(
                    "{found} {name} where {candidates} candidates of {requests} requests with {behaviors} behaviors need {expected}"
                ));
            }
        }
        for (name, ids, rows, width) in [
            ("behavior_actions", &self.behavior_actions, config.actions, config.action_width),
            ("candidate_rows", &self.candidate_rows, config.items, config.item_width),
            ("candidate_categories", &self.candidate_categories, config.categories, config.category_width),
        ] {
            // Of what is left out any number will do.
            if let Some(&id) = ids.iter().max().filter(|&&id| width > 0 && id as usize >= rows) {
                return wrong(format!("{id} among {name} of a model with {rows} rows; call grow first"));
            }
        }
        for (name, values) in [
            ("behavior_keys", &self.behavior_keys),
            ("candidate_keys", &self.candidate_keys),
            ("inputs", &self.inputs),
            ("reads", &self.reads),
            ("found_similarities", &self.found_similarities),
        ] {
            // All of them, so that many are looked at at once.
            if values.iter().fold(false, |found, value| found | !value.is_finite())
                && let Some(place) = values.iter().position(|value| !value.is_finite())
            {
                return wrong(format!("number {place} of {name} is {}", values[place]));
            }
        }
        if labeled && let Some(label) = self.labels.iter().find(|&&label| label != 0.0 && label != 1.0) {
            return wrong(format!("a label is {label}, but must be 0 or 1"));
        }
        if config.long.needs_found() { self.check_found() } else { Ok(()) }
    }

    fn check_found(&self) -> Result<(), Error> {
        let found = self.found_behaviors.len();
        offsets(&self.found_offsets, self.candidates(), found, "found_offsets")?;
        if self.found_similarities.len() != found {
            return wrong(format!("{} similarities of {found} found behaviors", self.found_similarities.len()));
        }
        for request in 0..self.requests() {
            let behaviors = self.behaviors_of(request).len();
            let candidates = self.candidates_of(request);
            let range = self.found_offsets[candidates.start] as usize..self.found_offsets[candidates.end] as usize;
            if let Some(place) = self.found_behaviors[range].iter().max().filter(|&&place| place as usize >= behaviors)
            {
                return wrong(format!("behavior {place} was found among {behaviors} of request {request}"));
            }
        }
        Ok(())
    }
}

fn wrong(what: String) -> Result<(), Error> {
    Err(Error::Shape(format!("examples are malformed: {what}")))
}

/// Offsets go from 0 to `last` in `steps` steps, none back.
fn offsets(offsets: &[u32], steps: usize, last: usize, name: &str) -> Result<(), Error> {
    let ends = (offsets.first().copied(), offsets.last().map(|&end| end as usize));
    if offsets.len() != steps + 1 || ends != (Some(0), Some(last)) || !offsets.is_sorted() {
        return wrong(format!("{name} must go from 0 to {last} in {steps} steps, none of them back"));
    }
    Ok(())
}
