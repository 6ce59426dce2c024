//! Live counters: how popular an item is, how often it is clicked where it is shown, what follows what.
//!
//! Counters are a function of the order of the log: each is an integer that one record moves by one. A score reads them
//! as they stand before its request, as inputs of a model ([`INPUTS`]); alone, in a logistic regression, they are the
//! row that every model of a report has to beat.
//!
//! # Bounds
//! Items and transitions are each kept in two generations of half their bound. What is touched stands in the newer one;
//! when that is full, the older one is forgotten as a whole and the newer one takes its place. So whatever was touched
//! more recently than `max / 2` others is known, nothing before the last `max` is, and no clock or hash order decides.
//!
//! # Layout
//! - [`counts`](Rates): the counters, and how records move them. `generations`: bounded maps.
//! - [`inputs`](INPUTS): what a model is told of a candidate.
//! - [`features`](feature_forms): what a model is told of a feature that the request brought.
//! - `bytes`: counters as bytes, for snapshots.

mod bytes;
mod counts;
mod features;
mod generations;
mod inputs;
#[cfg(test)]
mod tests;

pub use bytes::RatesError;
pub use counts::{ItemCounts, Limits, Rates, Totals, UserRates};
pub use features::{FORMS, feature_forms};
pub use generations::Generations;
pub use inputs::{Candidate, INPUTS};
