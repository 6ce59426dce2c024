//! The service as its users meet it: one binary.

/// What must not grow.
mod bounded;
/// A real Apache Kafka, started once for all tests.
mod broker;
/// The binary as scripts call it.
mod command;
/// What is shipped for containers.
mod compose;
/// Settings: three places, one meaning.
mod config;
/// The local page in a browser.
mod dashboard;
/// Events without the hop through the internal topic.
mod direct;
/// Outages, rolling restarts, and who may come in.
mod faults_kafka;
/// Forecasts of the whole path.
mod forecasts;
/// Hostile bytes.
mod fuzz;
/// Items late, twice, in parts, in versions and beyond memory.
mod items;
/// What is learned, once more without faults.
mod lessons;
/// The log that is Apache Kafka.
mod log_kafka;
/// One process, stepped by hand.
mod one;
/// Stock clients of another language.
mod outside;
/// The whole path over the embedded log.
mod path;
/// Records and users out of all proportion.
mod pressure;
/// Reports of how well candidates are ranked.
mod rankings;
/// State that cannot be had.
mod recovery;
/// Snapshots in a store that speaks S3.
mod s3;
/// Candidates and their answers.
mod scores;
/// The whole service on a real Kafka.
mod service_kafka;
/// Seeded worlds in which everything fails.
mod simulation;
/// Inputs of every kind.
mod source;
/// Seeded input streams.
mod streams;
/// Models from files, to start from.
mod training;
/// Versions of which only what is new is sent.
mod versions;
/// Silent sources, and what does not belong on a topic.
mod watermarks;
