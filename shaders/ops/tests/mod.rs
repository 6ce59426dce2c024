//! The operations, proven.
mod gradients;
