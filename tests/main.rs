//! The service as its users meet it.

/// Settings: three places, one meaning.
mod config;
