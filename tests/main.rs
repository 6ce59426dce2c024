//! The service as its users meet it: one binary.

mod broker;
/// The log that is Apache Kafka.
mod log_kafka;

/// The binary as scripts call it.
mod command;
/// What is shipped for containers.
mod compose;
/// Settings: three places, one meaning.
mod config;
/// Inputs: every kind of file, SQL over them, the order over several.
mod source;
