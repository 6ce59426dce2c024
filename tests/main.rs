//! The service as its users meet it: one binary.

mod broker;
/// The log that is Apache Kafka.
mod log_kafka;

/// Settings: three places, one meaning.
mod config;
/// Inputs: every kind of file, SQL over them, the order over several.
mod source;
