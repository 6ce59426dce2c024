//! Wellspring: one process between Kafka topics that keeps, for every user, an up-to-the-event picture, exactly once.
//!
//! ```text
//! events, items ─► decode ─► route ─► by-user ─► engine: fold ─► encode ─► features.<view>, encodings.<name>, forecasts, late
//! candidates ─┤      └─► dead-letters    ▲       (operators)    (shaders)
//! feedback ───┘                          │                 └────► rank ──► scores
//!                          "version v from here"                   └─► samples ─► learn ─► models ─► encode, rank
//!                                         └──────────────────────────────────────────┘
//! ```
//!
//! # Layout, in the order of an event's path
//! - [`source`]: inputs of `run` and `replay`: files, and SQL over files. [`synthetic`]: users with known truth.
//! - [`log`]: Kafka, or a log in this process with the same meaning; one micro-batch is one transaction of it.
//! - [`stage`]: the loop of a worker: poll, fold, commit.
//! - [`decode`]: bytes to events and items, or dead letters ([`dead_letter`]).
//! - [`route`]: events to rows of the users they concern, packed by destination.
//! - [`engine`]: rows to views and encodings, one task a partition.
//! - [`snapshot`]: state to an object store, and back.
//! - [`encode`]: what the rooms make of the users touched.
//! - [`forecast`]: what a user does next, and samples of what he did. [`learn`]: samples to versions of the model.
//! - [`rank`]: candidates to answers, and samples of what was taken.
//! - [`model`]: model versions on their topic; [`ahead`]: read before they are needed. [`evaluate`]: how good forecasts are, beside trivial ones.
//! - [`roles`], [`service`], [`run`]: the threads of a process; over Kafka; over the embedded log from files to files.
//! - [`ground`]: the topics that a process over Kafka stands on, watched while it runs.
//! - [`names`]: names by number, and back. [`sealed`]: values as records of the service's own.
//! - [`config`], [`metrics`], [`http`], [`command`]: settings, figures, the local page, the command line.
//! - [`inquiry`]: what the page asks of the engine's workers.

pub mod ahead;
pub mod command;
pub mod config;
pub mod dead_letter;
pub mod decode;
pub mod encode;
pub mod engine;
pub mod evaluate;
pub mod forecast;
pub mod ground;
pub mod http;
pub mod inquiry;
pub mod learn;
pub mod log;
pub mod metrics;
pub mod model;
pub mod names;
pub mod rank;
pub mod roles;
pub mod route;
pub mod run;
pub mod sealed;
pub mod service;
pub mod snapshot;
pub mod source;
pub mod stage;
pub mod synthetic;
