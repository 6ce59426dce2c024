//! What a command says when it fails: what was wrong, where, and what to do.

use std::fmt;

use crate::config::ConfigError;
use crate::http::HttpError;
use crate::log::LogError;
use crate::run::RunError;
use crate::service::ServiceError;
use crate::source::SourceError;

/// A command's failure, with its exit status.
#[derive(Debug)]
pub struct Failure {
    /// 1: failed. 2: wrong usage.
    pub status: u8,
    /// `what; where; what to do`.
    pub message: String,
}

impl Failure {
    /// Something failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { status: 1, message: message.to_string() }
    }

    /// The user asked for what cannot be.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { status: 2, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        if error.usage { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::failed(error)
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::failed(error)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Service(error) => error.into(),
            RunError::Input(error) => error.into(),
            error => Self::failed(error),
        }
    }
}
