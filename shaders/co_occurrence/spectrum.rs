//! The matrix of positive pointwise mutual information, and its leading left singular vectors.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::Vectors;
use super::orthonormal::{eigen, gram, orthonormalize};

/// Columns beyond those asked for: the last of them are the least exact.
const SPARE: usize = 8;
/// Times that the subspace is multiplied by the matrix and its transpose.
const ITERATIONS: usize = 3;
/// Contexts are smoothed by this power.
const SMOOTHING: f64 = 0.75;

/// A sparse square matrix by rows.
struct Sparse {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

/// Unit vectors of the items of `pairs`.
pub(super) fn vectors(pairs: &[(u64, u32)], dim: usize, seed: u64) -> Vectors {
    let halves = |pair: u64| [(pair >> 32) as u32, pair as u32];
    let mut items: Vec<u32> = pairs.iter().flat_map(|(pair, _)| halves(*pair)).collect();
    items.sort_unstable();
    items.dedup();
    if items.is_empty() {
        return Vectors { items, vectors: Vec::new() };
    }
    let place = |item: u32| items.binary_search(&item).expect("an item of a pair") as u32;
    let placed: Vec<([u32; 2], u32)> = pairs.iter().map(|(pair, weight)| (halves(*pair).map(place), *weight)).collect();
    let matrix = information(&placed, items.len());
    drop(placed);
    let width = (dim + SPARE).min(items.len());
    let basis = leading(&matrix, items.len(), width, seed);
    // The left vectors of the matrix within the basis: M ≈ Q (Qᵀ M), and (Qᵀ M)(Qᵀ M)ᵀ is small.
    let (values, rotations) = eigen(gram(&matrix.transposed_product(&basis, width), width), width);
    let mut vectors = vec![0.0; items.len() * dim];
    for (row, out) in basis.chunks_exact(width).zip(vectors.chunks_exact_mut(dim)) {
        for (k, (out, value)) in out.iter_mut().zip(&values).enumerate() {
            let turned: f64 = row.iter().zip(&rotations[k * width..]).map(|(&x, r)| f64::from(x) * r).sum();
            // λ = s², and U s^½ is asked for.
            *out = (turned * value.max(0.0).sqrt().sqrt()) as f32;
        }
    }
    keep_told(items, vectors, dim)
}

/// Unit length; items of whom nothing positive is told are left out.
fn keep_told(items: Vec<u32>, vectors: Vec<f32>, dim: usize) -> Vectors {
    let mut told = Vectors { items: Vec::new(), vectors: Vec::new() };
    for (item, vector) in items.into_iter().zip(vectors.chunks_exact(dim)) {
        let norm = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        if norm > 1e-6 {
            told.items.push(item);
            told.vectors.extend(vector.iter().map(|&x| (f64::from(x) / norm) as f32));
        }
    }
    told
}

/// M of the [module](super), of `n` items.
fn information(pairs: &[([u32; 2], u32)], n: usize) -> Sparse {
    let mut sums = vec![0.0_f64; n];
    for ([a, b], weight) in pairs {
        sums[*a as usize] += f64::from(*weight);
        sums[*b as usize] += f64::from(*weight);
    }
    let smooth: Vec<f64> = sums.iter().map(|sum| sum.powf(SMOOTHING)).collect();
    let all: f64 = smooth.iter().sum();
    let value = |i: u32, j: u32, weight: u32| {
        let expected = sums[i as usize] * smooth[j as usize] / all;
        (f64::from(weight) / expected).ln().max(0.0) as f32
    };
    let entries = || {
        let both = |([a, b], weight): &([u32; 2], u32)| [(*a, *b, *weight), (*b, *a, *weight)];
        pairs.iter().flat_map(both).map(|(i, j, weight)| (i, j, value(i, j, weight))).filter(|(_, _, v)| *v > 0.0)
    };
    let mut offsets = vec![0_usize; n + 1];
    entries().for_each(|(i, ..)| offsets[i as usize + 1] += 1);
    (0..n).for_each(|i| offsets[i + 1] += offsets[i]);
    let (mut columns, mut values) = (vec![0; offsets[n]], vec![0.0; offsets[n]]);
    let mut filled = offsets.clone();
    for (i, j, value) in entries() {
        let at = filled[i as usize];
        (columns[at], values[at]) = (j, value);
        filled[i as usize] += 1;
    }
    Sparse { offsets, columns, values }
}

/// An orthonormal basis (n, width) of the space that the matrix stretches most.
fn leading(matrix: &Sparse, n: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let start: Vec<f32> = (0..n * width).map(|_| random.next_u32() as i32 as f32 / (1_u32 << 31) as f32).collect();
    let mut basis = matrix.product(&start, width);
    orthonormalize(&mut basis, width);
    for _ in 0..ITERATIONS {
        let mut other = matrix.transposed_product(&basis, width);
        orthonormalize(&mut other, width);
        basis = matrix.product(&other, width);
        orthonormalize(&mut basis, width);
    }
    basis
}

impl Sparse {
    fn row(&self, i: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.offsets[i]..self.offsets[i + 1];
        self.columns[range.clone()].iter().zip(&self.values[range]).map(|(&j, &value)| (j as usize, value))
    }

    /// M x, with x (n, width)
    fn product(&self, x: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        for (i, sums) in out.chunks_exact_mut(width).enumerate() {
            for (j, value) in self.row(i) {
                sums.iter_mut().zip(&x[j * width..]).for_each(|(sum, x)| *sum += value * x);
            }
        }
        out
    }

    /// Mᵀ x
    fn transposed_product(&self, x: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        for (i, row) in x.chunks_exact(width).enumerate() {
            for (j, value) in self.row(i) {
                out[j * width..][..width].iter_mut().zip(row).for_each(|(sum, x)| *sum += value * x);
            }
        }
        out
    }
}
