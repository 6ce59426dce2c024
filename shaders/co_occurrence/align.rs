//! A newer version of vectors, turned to lie as the older one did.
//!
//! Factors are known up to a rotation only. A model that was trained with one version goes on with the next where the
//! next is turned towards it: the orthogonal Procrustes problem (Schönemann 1966), R = A Bᵀ for V_newᵀ V_old = A S Bᵀ.

use std::cmp::Ordering;

use super::Vectors;
use super::orthonormal::eigen;

/// Weight of turning nothing, against an item that both versions know: decides where they say nothing.
const STAY: f64 = 1e-3;

impl Vectors {
    /// The same vectors of length `dim` in the space of `older`, by the items that both know.
    pub fn aligned(mut self, older: &Self, dim: usize) -> Self {
        let mut product = vec![0.0; dim * dim];
        let mut common = 0.0;
        let mut each = |new: &[f32], old: &[f32]| {
            common += 1.0;
            for (sums, &x) in product.chunks_exact_mut(dim).zip(new) {
                sums.iter_mut().zip(old).for_each(|(sum, &y)| *sum += f64::from(x) * f64::from(y));
            }
        };
        let (mut at, mut other) = (0, 0);
        while let (Some(item), Some(of)) = (self.items.get(at), older.items.get(other)) {
            if item == of {
                each(&self.vectors[at * dim..][..dim], &older.vectors[other * dim..][..dim]);
            }
            let order = item.cmp(of);
            at += usize::from(order != Ordering::Greater);
            other += usize::from(order != Ordering::Less);
        }
        (0..dim).for_each(|k| product[k * dim + k] += STAY * f64::max(common, 1.0));
        let rotation = nearest_rotation(&product, dim);
        let mut turned = vec![0.0; dim];
        for vector in self.vectors.chunks_exact_mut(dim) {
            turned.fill(0.0);
            for (&x, row) in vector.iter().zip(rotation.chunks_exact(dim)) {
                turned.iter_mut().zip(row).for_each(|(sum, r)| *sum += f64::from(x) * r);
            }
            let norm = turned.iter().map(|x| x * x).sum::<f64>().sqrt();
            vector.iter_mut().zip(&turned).for_each(|(x, turned)| *x = (turned / norm) as f32);
        }
        self
    }
}

/// The orthogonal matrix A Bᵀ of m = A S Bᵀ, as m (mᵀ m)^-½.
fn nearest_rotation(m: &[f64], n: usize) -> Vec<f64> {
    let mut square = vec![0.0; n * n];
    for row in m.chunks_exact(n) {
        for (sums, a) in square.chunks_exact_mut(n).zip(row) {
            sums.iter_mut().zip(row).for_each(|(sum, b)| *sum += a * b);
        }
    }
    let (values, vectors) = eigen(square, n);
    let mut rotation = vec![0.0; n * n];
    for (value, vector) in values.iter().zip(vectors.chunks_exact(n)) {
        let scale = 1.0 / value.max(1e-24 * values[0]).sqrt();
        for (out, row) in rotation.chunks_exact_mut(n).zip(m.chunks_exact(n)) {
            let along: f64 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
            out.iter_mut().zip(vector).for_each(|(out, x)| *out += scale * along * x);
        }
    }
    rotation
}
