//! What the protocol promises, on processes of known truth.
