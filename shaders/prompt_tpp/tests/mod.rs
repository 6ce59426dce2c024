//! The model, proven.
mod golden;
