<<<<<<< HEAD
//! The service as its users meet it.

/// Settings: three places, one meaning.
mod config;
/// Inputs: every kind of file, SQL over them, the order over several.
mod source;
=======
//! The integration tests: one binary.

mod broker;
mod log_kafka;
>>>>>>> log
