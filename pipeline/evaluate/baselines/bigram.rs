//! What follows the user's last type, for everybody alike: frequencies of types, mixtures of log-normals for gaps.

use super::frequencies::{Context, Frequencies};

/// Frequencies of types and mixtures of gaps by the last type, each forgetting at a pace chosen on the validation part.
/// Mixtures of rare types lean on that of all.
pub fn bigram() -> Frequencies {
    Frequencies::new(Context::PreviousKind)
}
