//! Counters against a naive recount, their bounds, their bytes, and what they tell a model.

mod features;
mod inputs;
mod recount;
