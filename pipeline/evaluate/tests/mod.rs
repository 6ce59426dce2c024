//! What the protocol and the baselines promise, on processes of known truth.

mod bootstrap;
mod causality;
mod definitions;
mod densities;
mod em;
mod entropy;
mod forgetting;
mod hawkes;
mod matrix;
mod prequential;
mod regimes;
mod report;
mod stream;
pub(super) mod worlds;
