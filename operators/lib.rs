//! The keyed state of one worker: rows in, views out.
//!
//! A worker folds the rows of its by-user partitions ("tasks") into the state of each user: his bounded history, the
//! ids of his last events, his open windows. Views are SQL, run by DataFusion over many users at once. Any cutting of
//! the same rows into batches and transactions gives the same state and records.
//!
//! # Layout
//! - [`fold`](Fold): the public face, and what happens to rows in which order.
//! - `forget`: users who are to be forgotten. `expire`: users who have been idle for too long.
//! - `state`, `user`, `touched`: tasks and users. `store`, `text`: rows, a slot each.
//! - `cold`: state larger than memory.
//! - [`views`](Views): SQL to windows.
//! - `snapshot`: the durable state of a task as record batches, and back.
//! - `look`: one user as a page shows him.
//! - [`rates`]: live counters of items and users, the inputs of models that score candidates.
//! - `report`: late rows and dead letters. `json`: text of values. `counters`: what was counted.

mod cold;
mod counters;
mod expire;
mod fold;
mod forget;
mod json;
mod look;
pub mod rates;
mod report;
mod snapshot;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod touched;
mod user;
mod views;

pub use cold::{ColdError, ColdStore};
pub use counters::Counters;
pub use fold::{EmitMode, Fold, FoldConfig, FoldError};
pub use look::{OpenWindow, Row, Whereabouts};
pub use snapshot::{Export, Restore, ViewIdentity, describe_user};
pub use state::Left;
pub use touched::{Arrival, TouchedUser};
pub use views::{ViewError, Views};
