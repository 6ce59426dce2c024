//! The integration tests: one binary.

mod broker;
mod log_kafka;
