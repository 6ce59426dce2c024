//! Models that need no network; every evaluation prints them, so that all see whether a network earns its keep.
//!
//! # Layout
//! - [`mod@constant`]: the same for all. [`mod@bigram`]: by the user's last type. [`user`]: by the user's own counts.
//! - [`blend`]: the three, weighted by how well they forecast.
//! - [`hawkes`]: a multivariate exponential Hawkes process.
//! - [`frequencies`]: what constant and bigram are made of. [`forgetting`]: counts and mixtures that forget.
//!   [`em`]: how mixtures are fitted.
//! - [`marginal`]: what is common to models whose gap and type do not depend on each other.

pub mod bigram;
pub mod blend;
pub mod constant;
pub mod em;
pub mod forgetting;
pub mod frequencies;
pub mod hawkes;
pub mod marginal;
pub mod user;

pub use bigram::bigram;
pub use blend::Blend;
pub use constant::constant;
pub use hawkes::Hawkes;
pub use marginal::Independent;
pub use user::User;

use super::Forecaster;

/// All of them, untrained, in the order of reports.
pub fn all() -> Vec<Box<dyn Forecaster>> {
    vec![
        Box::new(Independent::new("constant", constant())),
        Box::new(Independent::new("bigram", bigram())),
        Box::new(Independent::new("user", User::default())),
        Box::new(Independent::new("blend", Blend::default())),
        Box::new(Hawkes::default()),
    ]
}
