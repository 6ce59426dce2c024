//! Logistic regression by Newton's steps.

/// Steps; a well-posed fit needs fewer than ten.
const STEPS: usize = 30;
/// Weight of the squared weights, so that a constant input or a perfect one does no harm.
const RIDGE: f64 = 1e-3;

/// Weights of standardized inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    means: Vec<f64>,
    scales: Vec<f64>,
    /// The first is the constant's.
    weights: Vec<f64>,
}

impl Logistic {
    /// Fits rows of `width` inputs to their labels; only those with `chosen` count.
    pub fn fit(inputs: &[f32], width: usize, labels: &[bool], chosen: &[bool]) -> Self {
        assert_eq!(inputs.len(), width * labels.len(), "a row of inputs for each label");
        let (means, scales) = standard(inputs, width, chosen);
        let mut fit = Self { means, scales, weights: vec![0.0; width + 1] };
        let n = width + 1;
        let mut row = vec![1.0; n];
        for _ in 0..STEPS {
            let (mut hessian, mut gradient) = (vec![0.0; n * n], vec![0.0; n]);
            for ((inputs, label), _) in
                inputs.chunks_exact(width).zip(labels).zip(chosen).filter(|(_, chosen)| **chosen)
            {
                fit.standardize(inputs, &mut row[1..]);
                let p = fit.of_standard(&row);
                let (slope, error) = (p * (1.0 - p), f64::from(u8::from(*label)) - p);
                for (a, (gradient, sums)) in gradient.iter_mut().zip(hessian.chunks_exact_mut(n)).enumerate() {
                    *gradient += error * row[a];
                    let scale = slope * row[a];
                    sums[..=a].iter_mut().zip(&row).for_each(|(sum, x)| *sum += scale * x);
                }
            }
            for a in 0..n {
                hessian[a * n + a] += RIDGE;
                gradient[a] -= RIDGE * fit.weights[a];
            }
            let step = solve(hessian, gradient);
            fit.weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight += step);
            if step.iter().all(|step| step.abs() < 1e-9) {
                break;
            }
        }
        fit
    }

    /// The probability of a row of inputs.
    pub fn probability(&self, inputs: &[f32]) -> f32 {
        let mut row = vec![1.0; inputs.len() + 1];
        self.standardize(inputs, &mut row[1..]);
        self.of_standard(&row) as f32
    }

    /// The same with the weight of a single input made positive: a score keeps its order.
    pub fn rising(mut self) -> Self {
        self.weights[1..].iter_mut().for_each(|weight| *weight = weight.abs());
        self
    }

    fn standardize(&self, inputs: &[f32], out: &mut [f64]) {
        for (k, (out, &x)) in out.iter_mut().zip(inputs).enumerate() {
            *out = (f64::from(x) - self.means[k]) * self.scales[k];
        }
    }

    fn of_standard(&self, row: &[f64]) -> f64 {
        let z: f64 = self.weights.iter().zip(row).map(|(weight, x)| weight * x).sum();
        1.0 / (1.0 + (-z).exp())
    }
}

/// Means and one over standard deviations of the chosen rows.
fn standard(inputs: &[f32], width: usize, chosen: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let rows = || inputs.chunks_exact(width).zip(chosen).filter(|(_, chosen)| **chosen).map(|(row, _)| row);
    let n = rows().count().max(1) as f64;
    let mean = |k: usize| rows().map(|row| f64::from(row[k])).sum::<f64>() / n;
    let means: Vec<f64> = (0..width).map(mean).collect();
    let deviation = |k: usize| (rows().map(|row| (f64::from(row[k]) - means[k]).powi(2)).sum::<f64>() / n).sqrt();
    let scales = (0..width).map(|k| 1.0 / (deviation(k) + 1e-9)).collect();
    (means, scales)
}

/// x with a x = b, for the lower half of a symmetric positive definite a, by Cholesky.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        for j in 0..=k {
            let sum: f64 = (0..j).map(|i| a[k * n + i] * a[j * n + i]).sum();
            let rest = a[k * n + j] - sum;
            a[k * n + j] = if j < k { rest / a[j * n + j] } else { rest.max(1e-12).sqrt() };
        }
    }
    for k in 0..n {
        let sum: f64 = (0..k).map(|i| a[k * n + i] * b[i]).sum();
        b[k] = (b[k] - sum) / a[k * n + k];
    }
    for k in (0..n).rev() {
        let sum: f64 = (k + 1..n).map(|i| a[i * n + k] * b[i]).sum();
        b[k] = (b[k] - sum) / a[k * n + k];
    }
    b
}
