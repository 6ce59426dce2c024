//! Item vectors from the log alone: items that stand near each other in histories come to lie near each other.
//!
//! Where nobody brings content vectors, co-occurrence gives long histories a worth that ids do not: a model needs no
//! label to know that two items are alike. The vectors are those of a word embedding by factoring (Levy and Goldberg
//! 2014, "Neural Word Embedding as Implicit Matrix Factorization"; Levy, Goldberg and Dagan 2015): with c the weight of
//! a pair, 1 / distance for every time two items are at most [`WINDOW`] behaviors apart in a user's history,
//!
//! ```text
//! M[i][j] = max(0, ln(c[i][j] / (c[i][.] p[j]))),   p[j] = c[.][j]^0.75 / sum over j of c[.][j]^0.75
//! M ≈ U S Vᵀ of rank `dim`,   vector of i = U[i] S^½, made unit length
//! ```
//!
//! by subspace iteration from a seeded start (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1).
//!
//! Weights are integers, so counts are a function of the behaviors and their order alone; memory is bounded by the
//! number of pairs, of which the lightest are forgotten.
//!
//! # Layout
//! - [`counts`](Counts): pairs and their weights. `spectrum`: the matrix and its leading vectors.
//! - [`align`](Vectors::aligned): a newer version, turned to lie as the older one did.
//! - `orthonormal`: the small dense algebra that they need.

mod align;
mod counts;
mod orthonormal;
mod spectrum;
#[cfg(test)]
mod tests;

pub use counts::Counts;

/// Two behaviors of a user that are further apart say nothing of each other.
pub const WINDOW: usize = 5;

/// Pairs that are kept where nothing else is said: about 400 MB while vectors are made.
pub const PAIRS_MAX: usize = 1 << 24;

/// Vectors of items: those that the pairs tell something of.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Items, ascending.
    pub items: Vec<u32>,
    /// (items, dim), each of unit length
    pub vectors: Vec<f32>,
}
