//! Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019), every tensor on its own clock.

use super::tensors::Tensors;

/// How a tensor is trained in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The learning rate; 0 leaves the tensor, its moments and its clock as they are.
    pub learning_rate: f64,
    /// The part of a number that decays per step, times the learning rate.
    pub weight_decay: f64,
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
            let range = tensor.range();
            adam(
                &Step::at(*rate, *clock, scale),
                &gradient[range.clone()],
                &mut self.first[range.clone()],
                &mut self.second[range.clone()],
                &mut parameters[range],
            );
        }
    }
}

/// The factors of one tensor's update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// What the gradient is multiplied by.
    pub scale: f32,
    /// Learning rate / (1 - beta^n).
    pub rate: f32,
    /// 1 / (1 - beta^n) of the second moment.
    pub correction: f32,
    /// 1 - learning rate * decay.
    pub keep: f32,
}

impl Step {
    /// The n-th update of a tensor, n from 1.
    pub fn at(rate: Rates, n: u64, scale: f32) -> Step {
        let n = i32::try_from(n).unwrap_or(i32::MAX);
        Step {
            scale,
            rate: (rate.learning_rate / (1.0 - BETA_FIRST.powi(n))) as f32,
            correction: (1.0 / (1.0 - BETA_SECOND.powi(n))) as f32,
            keep: (1.0 - rate.learning_rate * rate.weight_decay) as f32,
        }
    }
}

/// One update of one tensor (spec 6.4).
pub(crate) fn adam(step: &Step, gradient: &[f32], first: &mut [f32], second: &mut [f32], parameters: &mut [f32]) {
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
