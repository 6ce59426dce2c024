//! Inputs brought to mean 0 and deviation 1, by what the first batches show; after that the scale is fixed, so that
//! what the tower has learned of it stays true.

use crate::Error;
use crate::ops::tensors::{Entry, Named};

/// Candidates whose inputs settle the scale; the batch that reaches them is the last.
const CANDIDATES: u64 = 10_000;
/// Farther from the mean, in deviations, is as far as this.
const FARTHEST: f64 = 10.0;
/// An input whose deviation is below this part of its mean's size counts as constant.
const CONSTANT: f64 = 1e-6;
const NAME: &str = "inputs.moments";

/// Count, means and sums of squared deviations (Welford).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standard {
    count: u64,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Standard {
    pub fn new(inputs: usize) -> Standard {
        Standard { count: 0, means: vec![0.0; inputs], squares: vec![0.0; inputs] }
    }

    /// Takes note of (candidates, inputs), unless the scale is fixed.
    pub fn observe(&mut self, inputs: &[f32]) {
        if self.count >= CANDIDATES || self.means.is_empty() {
            return;
        }
        for row in inputs.chunks_exact(self.means.len()) {
            self.count += 1;
            for ((mean, square), &x) in self.means.iter_mut().zip(&mut self.squares).zip(row) {
                let off = f64::from(x) - *mean;
                *mean += off / self.count as f64;
                *square += off * (f64::from(x) - *mean);
            }
        }
    }

    /// (candidates, inputs) on the scale.
    pub fn apply(&self, inputs: &[f32]) -> Vec<f32> {
        let scales: Vec<f64> = self
            .means
            .iter()
            .zip(&self.squares)
            .map(|(&mean, &square)| {
                let deviation = (square / self.count.max(1) as f64).sqrt();
                if deviation > CONSTANT * mean.abs().max(CONSTANT) { 1.0 / deviation } else { 0.0 }
            })
            .collect();
        let scale = |(place, &x): (usize, &f32)| {
            let column = place % self.means.len();
            ((f64::from(x) - self.means[column]) * scales[column]).clamp(-FARTHEST, FARTHEST) as f32
        };
        inputs.iter().enumerate().map(scale).collect()
    }

    pub fn save(&self, into: &mut Named) {
        let moments = self.means.iter().chain(&self.squares).map(|moment| moment.to_bits());
        let all: Vec<u64> = [self.count].into_iter().chain(moments).collect();
        into.insert(NAME.to_owned(), Entry::integers(&all));
    }

    /// # Errors
    /// [`Error::Tensors`] where it is missing or of another number of inputs.
    pub fn take(inputs: usize, from: &mut Named) -> Result<Standard, Error> {
        let all = super::state::integers(from, NAME, 1 + 2 * inputs)?;
        let (means, squares) = all[1..].split_at(inputs);
        let floats = |bits: &[u64]| bits.iter().map(|&bits| f64::from_bits(bits)).collect();
        Ok(Standard { count: all[0], means: floats(means), squares: floats(squares) })
    }
}
