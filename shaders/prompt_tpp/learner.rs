//! A step of learning: base, heads, pool and calibration each at a rate of their own, the pool on a slower clock.

use super::batch::Making;
use super::{Batch, Goal, Model, Part};
use crate::Error;
use crate::ops::{Rates, norm};
use crate::random::{generator, uniform};

/// More than cosines can differ by.
const SPARE: f32 = 4.0;

/// Prompts that are added to a state learn at this part of the pool's rate: nothing stands between them and the heads.
const STATE_SHARE: f64 = 0.1;

/// Learning rates by part; a part whose rate is 0 is frozen: its tensors, moments and clocks stay as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRates {
    /// Embeddings and attention.
    pub base: f64,
    /// The forecasting and the intensity head.
    pub heads: f64,
    /// Prompts and their keys.
    pub pool: f64,
    /// The affine map of the logarithm of time, and the bias per type.
    pub calibration: f64,
    /// The part by which base and heads shrink per step, times the rate.
    pub weight_decay: f64,
}

impl LearningRates {
    /// Everything but the calibration, for the stream's beginning.
    pub const fn warm_up() -> LearningRates {
        LearningRates { base: 4e-3, heads: 4e-3, pool: 1e-2, calibration: 0.0, weight_decay: 0.1 }
    }

    /// Everything at one rate: full fine-tuning.
    pub const fn online(rate: f64) -> LearningRates {
        LearningRates { base: rate, heads: rate, pool: rate, calibration: 0.0, weight_decay: 0.0 }
    }

    /// The base is frozen; prompts, keys and heads go on. Prompts stand behind a mean over many: they bear, and need, a
    /// rate up to a hundred times that of the heads (1e-2 and 1e-4). What a regime that comes back must find again, heads
    /// do not keep: then their rate is 0.
    pub const fn prompt(pool: f64, heads: f64) -> LearningRates {
        LearningRates { base: 0.0, heads, pool, calibration: 0.0, weight_decay: 0.0 }
    }

    /// Only the calibration.
    pub const fn calibrated(rate: f64) -> LearningRates {
        LearningRates { base: 0.0, heads: 0.0, pool: 0.0, calibration: rate, weight_decay: 0.0 }
    }

    /// All rates, `part` of them: for a rate that falls.
    pub fn times(&self, part: f64) -> LearningRates {
        let LearningRates { base, heads, pool, calibration, weight_decay } = *self;
        let [base, heads, pool, calibration] = [base, heads, pool, calibration].map(|rate| rate * part);
        LearningRates { base, heads, pool, calibration, weight_decay }
    }

    fn of(&self, part: Part) -> Rates {
        let (learning_rate, weight_decay) = match part {
            Part::Base => (self.base, self.weight_decay),
            Part::Heads => (self.heads, self.weight_decay),
            Part::Pool => (self.pool, 0.0),
            Part::State => (self.pool * STATE_SHARE, 0.0),
            Part::Calibration => (self.calibration, 0.0),
        };
        Rates { learning_rate, weight_decay, sparse: matches!(part, Part::Pool | Part::State) }
    }
}

/// What a step came to, before it changed anything.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Step {
    /// What was descended: everything below, by target, and the weighted distance of the keys.
    pub loss: f64,
    /// The weighted distance of the chosen keys.
    pub distance: f64,
    /// Targets in the batch.
    pub targets: usize,
    /// Length of the gradient of what is trained.
    pub gradient_norm: f64,
    /// Whether the step was taken. A loss or gradient that is not finite changes nothing at all.
    pub applied: bool,
}

impl Model {
    /// Learns from the targets and open gaps of a batch.
    ///
    /// # Errors
    /// [`Error::Shape`] for a malformed batch; what the device says. Nothing has changed then.
    pub fn step(&mut self, batch: &Batch<'_>, rates: &LearningRates) -> Result<Step, Error> {
        batch.check(self.config.types)?;
        let penalties = self.penalties(self.config.usage_weight);
        let mut random = generator(self.counters.seed, u64::MAX - self.counters.steps);
        let mut making = Making {
            config: &self.config,
            goal: Goal::Learn,
            penalties: &penalties,
            position: &mut || uniform(&mut random),
            samples: self.config.samples[0],
            grid: None,
        };
        let feed = making.feed(self.learn.tape(), batch);
        let run = self.learn.run(&self.parameters, &feed, Some(&mut self.gradient))?;
        let of_parts: Vec<Rates> = self.parts.iter().map(|&part| rates.of(part)).collect();
        // What is frozen has no part in the gradient's length.
        for (tensor, rate) in self.tensors.iter().zip(&of_parts) {
            if rate.learning_rate == 0.0 {
                self.gradient[tensor.range()].fill(0.0);
            }
        }
        let gradient_norm = norm(&self.gradient);
        let distance = self.learn.places().distances.iter().map(|&slot| run.losses[slot]).sum();
        let loss: f64 = run.losses.iter().sum();
        let targets = (0..batch.sequences()).map(|b| batch.targets(b).len()).sum();
        let applied = loss.is_finite() && gradient_norm.is_finite();
        if applied {
            self.count(&run.ids, batch);
            self.update(of_parts, gradient_norm);
            self.follow_regime(batch, rates);
        }
        Ok(Step { loss, distance, targets, gradient_norm, applied })
    }

    /// One update of the parameters by the gradient.
    fn update(&mut self, mut rates: Vec<Rates>, gradient_norm: f64) {
        self.counters.steps += 1;
        let rise = (self.counters.steps as f64 / self.config.rise_steps.max(1) as f64).min(1.0);
        rates.iter_mut().for_each(|rate| rate.learning_rate *= rise);
        let scale = (self.config.gradient_norm_max / gradient_norm.max(1e-12)).min(1.0) as f32;
        let of_pool = |part: &Part| matches!(part, Part::Pool | Part::State);
        let trains_pool = self.parts.iter().zip(&rates).any(|(part, rate)| of_pool(part) && rate.learning_rate > 0.0);
        let (mut now, mut later) = (rates.clone(), rates);
        for ((now, later), part) in now.iter_mut().zip(&mut later).zip(&self.parts) {
            let other = if of_pool(part) { now } else { later };
            other.learning_rate = 0.0;
        }
        self.adam.step(&self.tensors, &now, scale, &self.gradient, &mut self.parameters);
        if !trains_pool {
            return;
        }
        for (tensor, _) in self.tensors.iter().zip(&self.parts).filter(|(_, part)| of_pool(part)) {
            let sum = self.pool_sum[tensor.range()].iter_mut().zip(&self.gradient[tensor.range()]);
            sum.for_each(|(sum, g)| *sum += g * scale);
        }
        self.counters.pool_pending += 1;
        if self.counters.pool_pending >= self.config.pool_interval {
            let mean = 1.0 / self.counters.pool_pending as f32;
            self.adam.step(&self.tensors, &later, mean, &self.pool_sum, &mut self.parameters);
            self.pool_sum.fill(0.0);
            self.counters.pool_pending = 0;
        }
    }

    /// Counts what was chosen; a sequence without context chose nothing.
    fn count(&mut self, chosen: &[Vec<u32>], batch: &Batch<'_>) {
        for (usage, chosen) in self.usage.chunks_exact_mut(self.config.pool).zip(chosen) {
            for (chosen, &context) in chosen.chunks_exact(self.config.chosen).zip(batch.context) {
                if context > 0 {
                    chosen.iter().for_each(|&m| usage[m as usize] += 1);
                }
            }
        }
    }

    /// By pool, what is subtracted from the cosines: of prompts in use, against collapse onto few of them, weight *
    /// ln(1 + share * prompts) (spec 3.4); spare ones are out of reach.
    pub(super) fn penalties(&self, weight: f64) -> Vec<Vec<f32>> {
        let in_use = self.in_use();
        let of_pool = |usage: &[u64]| {
            let all = usage.iter().sum::<u64>().max(1) as f64;
            let penalty = |n: u64| weight * (n as f64 / all * self.config.pool as f64).ln_1p();
            usage.iter().enumerate().map(|(m, &n)| if m < in_use { penalty(n) as f32 } else { SPARE }).collect()
        };
        self.usage.chunks_exact(self.config.pool).map(of_pool).collect()
    }
}
