//! The same forecast for everybody: frequencies of types, a mixture of three log-normals for the gap.

use super::frequencies::{Context, Frequencies};

/// Frequencies of types and a mixture of gaps, each forgetting at a pace chosen on the validation part.
pub fn constant() -> Frequencies {
    Frequencies::new(Context::None)
}
