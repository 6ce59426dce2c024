//! Whole streams against the naive reference, and what single records look like.

mod aggregates;
mod bounded;
mod cold;
mod errors;
mod forget;
mod golden;
mod look;
mod reference;
mod refused;
mod snapshot;
mod speed;
mod stream;
mod streams;
mod tasks;
mod ttl;
