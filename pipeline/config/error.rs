//! What was wrong with a setting, where, and what to do.

use std::path::PathBuf;

use super::layers::Origin;
use super::settings::SETTINGS;

/// Why the settings cannot be used; every one of them is wrong usage.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No setting has this name.
    #[error("unknown setting `{key}`; {origin}; {}", remedy(.key))]
    Unknown {
        /// The name.
        key: String,
        /// Where it stands.
        origin: Origin,
    },
    /// A setting cannot have this value.
    #[error("`{key}` cannot be `{value}`; {origin}; set {allowed}")]
    Value {
        /// The setting.
        key: String,
        /// The value given.
        value: String,
        /// Where it stands.
        origin: Origin,
        /// What may stand there.
        allowed: String,
    },
    /// A librdkafka property that is not the user's to set.
    #[error("`kafka.properties.{property}` is refused: {reason}; {origin}; {remedy}")]
    Property {
        /// The property.
        property: String,
        /// Why.
        reason: String,
        /// Where it stands.
        origin: Origin,
        /// What to do.
        remedy: String,
    },
    /// Settings that do not go together.
    #[error("{what}; in the settings as a whole; {remedy}")]
    Together {
        /// Which, and why.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The argument of `--set` is not `KEY=VALUE`.
    #[error("`--set {0}` sets nothing; on the command line; write --set KEY=VALUE, like --set engine.workers=2")]
    NotAssignment(String),
    /// The file is not TOML.
    #[error("not TOML: {message}; {origin}; correct the line")]
    Toml {
        /// The parser's words.
        message: String,
        /// Where it stands.
        origin: Origin,
    },
    /// The file cannot be read.
    #[error("the settings cannot be read: {error}; --config {}; name a TOML file", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file of views cannot be read.
    #[error(
        "the views cannot be read: {error}; `views.file` is `{}`, relative to the working directory; \
         name a file of CREATE VIEW statements",
        path.display()
    )]
    ViewsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// What to do about an unknown name: the nearest known one, else where all are listed.
fn remedy(key: &str) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_string();
    let near = SETTINGS.iter().map(|setting| {
        let whole = distance(key, setting.key);
        // `workers` for `engine.workers` is a miss of the table only.
        let tail = distance(&last(key), &last(setting.key)) + 1;
        (whole.min(tail), whole, setting.key)
    });
    match near.min() {
        Some((miss, _, known)) if miss <= 3.min(1 + key.len() / 4) => format!("did you mean `{known}`?"),
        _ => "wellspring.toml lists every setting".into(),
    }
}

/// How many characters must be put in, left out or changed to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
