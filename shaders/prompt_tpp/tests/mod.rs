//! The model, proven.
mod golden;
mod speed;
