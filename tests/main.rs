//! The service as its users meet it.

/// A real Apache Kafka, started once for all tests.
mod broker;
/// Settings: three places, one meaning.
mod config;
/// The log that is Apache Kafka.
mod log_kafka;
/// The whole path over the embedded log.
mod path;
/// Seeded input streams.
mod streams;
