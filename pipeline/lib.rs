//! Wellspring: the service between Kafka topics.

pub mod config;
pub mod log;
pub mod source;
