//! The model, proven.
mod acceptance;
mod golden;
mod learning;
mod speed;
mod world;
