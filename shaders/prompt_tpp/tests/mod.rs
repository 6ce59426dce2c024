//! The model, proven.
mod acceptance;
mod golden;
mod learning;
mod regimes;
mod speed;
mod start;
mod world;
