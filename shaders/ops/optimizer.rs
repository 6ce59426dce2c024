//! Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019), every tensor on its own clock.

use super::tensors::Tensors;

/// How a tensor is trained in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The learning rate; 0 leaves the tensor, its moments and its clock as they are.
    pub learning_rate: f64,
    /// The part of a number that decays per step, times the learning rate.
    pub weight_decay: f64,
    /// Whether rows without a gradient stay as they are, with their moments: prompts that were not chosen.
    pub sparse: bool,
}

/// The state of the optimizer: both moments, flat like the parameters, and each tensor's count of updates.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// Means of the gradient.
    pub first: Vec<f32>,
    /// Means of its square.
    pub second: Vec<f32>,
    /// Updates so far, by tensor.
    pub clocks: Vec<u64>,
}

const BETA_FIRST: f64 = 0.9;
const BETA_SECOND: f64 = 0.999;
const EPSILON: f32 = 1e-8;

impl Adam {
    /// Before the first step.
    pub fn new(tensors: &Tensors) -> Adam {
        Adam {
            first: vec![0.0; tensors.len()],
            second: vec![0.0; tensors.len()],
            clocks: vec![0; tensors.iter().len()],
        }
    }

    /// One update of every tensor with a rate (one per tensor), the gradient multiplied by `scale` first.
    pub fn step(&mut self, tensors: &Tensors, rates: &[Rates], scale: f32, gradient: &[f32], parameters: &mut [f32]) {
        for ((tensor, rate), clock) in tensors.iter().zip(rates).zip(&mut self.clocks) {
            if rate.learning_rate == 0.0 {
                continue;
            }
            *clock += 1;
            let step = AdamStep::at(*rate, *clock, scale);
            let rows = if rate.sparse { tensor.rows } else { 1 };
            let numbers = tensor.range().len() / rows.max(1);
            for row in 0..rows {
                let range = tensor.offset + row * numbers..tensor.offset + (row + 1) * numbers;
                if rate.sparse && gradient[range.clone()].iter().all(|&g| g == 0.0) {
                    continue;
                }
                let moments = (&mut self.first[range.clone()], &mut self.second[range.clone()]);
                adam(&step, &gradient[range.clone()], moments.0, moments.1, &mut parameters[range]);
            }
        }
    }
}

/// The factors of one tensor's update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamStep {
    /// What the gradient is multiplied by.
    pub scale: f32,
    /// Learning rate / (1 - beta^n).
    pub rate: f32,
    /// 1 / (1 - beta^n) of the second moment.
    pub correction: f32,
    /// 1 - learning rate * decay.
    pub keep: f32,
}

impl AdamStep {
    /// The n-th update of a tensor, n from 1.
    pub fn at(rate: Rates, n: u64, scale: f32) -> AdamStep {
        let n = i32::try_from(n).unwrap_or(i32::MAX);
        AdamStep {
            scale,
            rate: (rate.learning_rate / (1.0 - BETA_FIRST.powi(n))) as f32,
            correction: (1.0 / (1.0 - BETA_SECOND.powi(n))) as f32,
            keep: (1.0 - rate.learning_rate * rate.weight_decay) as f32,
        }
    }
}

/// One update of one tensor (spec 6.4).
pub(crate) fn adam(step: &AdamStep, gradient: &[f32], first: &mut [f32], second: &mut [f32], parameters: &mut [f32]) {
    let (beta_first, beta_second) = (BETA_FIRST as f32, BETA_SECOND as f32);
    let moments = first.iter_mut().zip(second);
    for ((&g, (m, v)), theta) in gradient.iter().zip(moments).zip(parameters) {
        let g = g * step.scale;
        *m = beta_first * *m + (1.0 - beta_first) * g;
        *v = beta_second * *v + (1.0 - beta_second) * g * g;
        *theta = *theta * step.keep - step.rate * *m / ((*v * step.correction).sqrt() + EPSILON);
    }
}

/// The length of a gradient.
pub fn norm(gradient: &[f32]) -> f64 {
    gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_has_its_own_clock_and_a_frozen_one_stays() {
        let mut tensors = Tensors::default();
        tensors.add("moving", 1, 2);
        tensors.add("late", 1, 2);
        let mut adam = Adam::new(&tensors);
        let mut parameters = vec![1.0; 4];
        let rates = |late: f64| {
            let [first, second] = [(0.1, 0.5), (late, 0.0)];
            [first, second].map(|(learning_rate, weight_decay)| Rates { learning_rate, weight_decay, sparse: false })
        };
        adam.step(&tensors, &rates(0.0), 1.0, &[3.0, -0.02, 7.0, 7.0], &mut parameters);
        // The first step has the length of the rate, whatever the gradient's; the decay comes on top.
        for (found, expected) in parameters.iter().zip([0.95 - 0.1, 0.95 + 0.1, 1.0, 1.0]) {
            assert!((found - expected).abs() < 1e-6, "{parameters:?}");
        }
        assert_eq!((&adam.clocks[..], adam.second[2]), (&[1, 0][..], 0.0));
        adam.step(&tensors, &rates(0.1), 0.5, &[3.0, -0.02, 8.0, -8.0], &mut parameters);
        assert!((parameters[2] - 0.9).abs() < 1e-6 && (parameters[3] - 1.1).abs() < 1e-6, "{parameters:?}");
        assert_eq!(adam.clocks, [2, 1]);
    }

    #[test]
    fn a_row_without_gradient_stays_where_gradients_are_sparse() {
        let mut tensors = Tensors::default();
        tensors.add("prompts", 2, 2);
        let (mut adam, mut parameters) = (Adam::new(&tensors), vec![1.0; 4]);
        let rates = [Rates { learning_rate: 0.1, weight_decay: 0.0, sparse: true }];
        adam.step(&tensors, &rates, 1.0, &[1.0, 1.0, 2.0, 0.0], &mut parameters);
        let (before, moments) = (parameters.clone(), adam.first.clone());
        adam.step(&tensors, &rates, 1.0, &[1.0, 1.0, 0.0, 0.0], &mut parameters);
        assert_eq!((&parameters[2..], &adam.first[2..]), (&before[2..], &moments[2..]));
        assert_ne!(parameters[..2], before[..2]);
    }

    #[test]
    fn moments_follow_the_published_formula() {
        let (mut m, mut v, mut theta) = (0.0f64, 0.0f64, 0.3f64);
        let (mut first, mut second, mut parameters) = (vec![0.0], vec![0.0], vec![0.3f32]);
        for n in 1..=50u64 {
            let g = (n as f64 * 0.7).sin();
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(n as i32)), v / (1.0 - 0.999f64.powi(n as i32)));
            theta -= 0.01 * m_hat / (v_hat.sqrt() + 1e-8);
            let step = AdamStep::at(Rates { learning_rate: 0.01, weight_decay: 0.0, sparse: false }, n, 1.0);
            adam(&step, &[g as f32], &mut first, &mut second, &mut parameters);
        }
        assert!((f64::from(parameters[0]) - theta).abs() < 1e-5, "{} {theta}", parameters[0]);
    }
}
