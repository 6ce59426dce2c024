//! Wellspring: the service between Kafka topics.

pub mod command;
pub mod config;
pub mod http;
pub mod log;
pub mod metrics;
pub mod source;
pub mod synthetic;
