//! The service as its users meet it: one binary.

/// A real Apache Kafka, started once for all tests.
mod broker;
/// The binary as scripts call it.
mod command;
/// What is shipped for containers.
mod compose;
/// Settings: three places, one meaning.
mod config;
/// The log that is Apache Kafka.
mod log_kafka;
/// The whole path over the embedded log.
mod path;
/// The whole service on a real Kafka.
mod service_kafka;
/// Inputs of every kind.
mod source;
/// Seeded input streams.
mod streams;
