//! Wellspring

pub mod log;
