//! Inputs brought to mean 0 and deviation 1, by what the first batches show; after that the scale is fixed, so that
//! what the tower has learned of it stays true. Counters may outgrow it: far from the mean it is logarithmic.

use crate::Error;
use crate::ops::tensors::{Entry, Named};

/// Candidates whose inputs settle the scale; the batch that reaches them is the last.
const CANDIDATES: u64 = 10_000;
/// Farther from the mean, in deviations, the scale is logarithmic.
const FAR: f64 = 3.0;
/// An input whose deviation is below this part of its mean's size counts as constant; it keeps its unit, for what may
/// come.
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
                if deviation > CONSTANT * mean.abs().max(CONSTANT) { 1.0 / deviation } else { 1.0 }
            })
            .collect();
        let scale = |(place, &x): (usize, &f32)| {
            let column = place % self.means.len();
            compress((f64::from(x) - self.means[column]) * scales[column]) as f32
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

/// x up to [`FAR`], from there on FAR + ln(1 + |x| - FAR), of x's sign: smooth and rising.
fn compress(x: f64) -> f64 {
    if x.abs() <= FAR { x } else { (FAR + (x.abs() - FAR).ln_1p()).copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_mean_zero_and_deviation_one_and_the_scale_is_fixed_in_the_end() {
        let mut standard = Standard::new(2);
        // Before anything is known an input is what it is.
        assert_eq!(standard.apply(&[0.5, -2.0]), [0.5, -2.0]);
        let batch: Vec<f32> = (0..4000).flat_map(|n| [1e6 + (n % 5) as f32, 7.0]).collect();
        standard.observe(&batch);
        let scaled = standard.apply(&batch);
        let (mean, square) = scaled.iter().step_by(2).fold((0.0, 0.0), |(mean, square), &x| {
            (mean + f64::from(x) / 4000.0, square + f64::from(x) * f64::from(x) / 4000.0)
        });
        assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5, "{mean} {square}");
        // One that was constant is not lost.
        assert!(scaled.iter().skip(1).step_by(2).all(|&x| x == 0.0));
        assert_eq!(standard.apply(&[1e6 + 2.0, 8.5])[1], 1.5);
        standard.observe(&batch);
        standard.observe(&batch);
        let fixed = standard.clone();
        standard.observe(&[5.0; 100]);
        assert_eq!(standard, fixed);
    }

    #[test]
    fn what_is_far_off_still_rises() {
        assert_eq!([0.0, -3.0, 3.0].map(compress), [0.0, -3.0, 3.0]);
        assert!((compress(1000.0) - 3.0 - 998f64.ln()).abs() < 1e-12);
        assert_eq!(compress(-1000.0), -compress(1000.0));
        assert!(compress(3.001) > 3.0 && compress(3.001) < 3.001);
    }
}
