//! What the protocol promises, against naive references and on a world whose truth is known.

mod causality;
mod examples;
mod metrics;
mod records;
mod regression;
mod report;
mod split;
mod world;
