//! A step of learning.

use super::batch::Making;
use super::{Examples, Model};
use crate::Error;
use crate::ops::{Rates, norm};
use crate::random::generator;

/// SA-TA's temperature divides: it is kept from zero.
const TEMPERATURE_MIN: f32 = 0.01;

/// Learning rates; what has a rate of 0 is frozen: its numbers, moments and clocks stay as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRates {
    /// Everything but the rows of items and categories.
    pub base: f64,
    /// Rows of items and categories.
    pub rows: f64,
    /// The part by which the tower's weights shrink per step, times the rate.
    pub weight_decay: f64,
    /// The part by which a row shrinks whenever it is touched, times the rate. It keeps rows that few examples teach from
    /// learning these by heart, which is why models with embeddings of items are worse after their second epoch.
    pub row_decay: f64,
}

impl LearningRates {
    /// Everything at one rate, nothing shrinks.
    pub const fn plain(rate: f64) -> LearningRates {
        LearningRates { base: rate, rows: rate, weight_decay: 0.0, row_decay: 0.0 }
    }
}

impl Default for LearningRates {
    fn default() -> LearningRates {
        LearningRates::plain(2e-3)
    }
}

/// What a step came to, before it changed anything.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Step {
    /// Mean of -ln p(label) by candidate.
    pub loss: f64,
    /// Candidates in the batch.
    pub candidates: usize,
    /// Length of the gradient of everything but the rows of items and categories.
    pub gradient_norm: f64,
    /// Whether the step was taken. A loss or gradient that is not finite, or a batch without candidates, changes nothing
    /// at all.
    pub applied: bool,
}

impl Model {
    /// Learns from the labels of a batch.
    ///
    /// # Errors
    /// [`Error::Shape`] for malformed examples; what the device says. Nothing has changed then.
    pub fn step(&mut self, examples: &Examples, rates: &LearningRates) -> Result<Step, Error> {
        examples.check(&self.config, true)?;
        if examples.candidates() == 0 {
            return Ok(Step::default());
        }
        let mut standard = self.standard.clone();
        standard.observe(&examples.inputs);
        let mut random = generator(self.config.seed, u64::MAX - self.steps);
        let mut making = Making {
            config: &self.config,
            items: &self.items.embedding,
            categories: &self.categories.embedding,
            standard: &standard,
            random: Some(&mut random),
        };
        let feed = making.feed(self.learn.tape(), examples);
        let run = self.learn.run(&self.parameters, &feed, Some(&mut self.gradient))?;
        let loss: f64 = run.losses.iter().sum();
        let gradient_norm = norm(&self.gradient);
        let rows_are_finite = run.input_gradients.iter().flatten().all(|g| g.is_finite());
        let applied = loss.is_finite() && gradient_norm.is_finite() && rows_are_finite;
        if applied {
            self.standard = standard;
            self.update(examples, &run.input_gradients, rates);
        }
        Ok(Step { loss, candidates: examples.candidates(), gradient_norm, applied })
    }

    fn update(&mut self, examples: &Examples, of_rows: &[Vec<f32>], rates: &LearningRates) {
        self.steps += 1;
        let shrinks = |name: &str| name.starts_with("tower") && name.ends_with("weight");
        let of_tensors: Vec<Rates> = self
            .tensors
            .iter()
            .map(|tensor| Rates {
                learning_rate: rates.base,
                weight_decay: if shrinks(&tensor.name) { rates.weight_decay } else { 0.0 },
                sparse: false,
            })
            .collect();
        self.adam.step(&self.tensors, &of_tensors, 1.0, &self.gradient, &mut self.parameters);
        if let Some(tensor) = self.tensors.get("long.coefficients")
            && let Some(temperature) = self.parameters[tensor.range()].get_mut(3)
        {
            *temperature = temperature.max(TEMPERATURE_MIN);
        }
        let of_rows_rates = Rates { learning_rate: rates.rows, weight_decay: rates.row_decay, sparse: true };
        // In the order in which the inputs were recorded.
        let mut gradients = of_rows.iter();
        if self.config.item_width > 0 {
            let gradient = gradients.next().expect("items were recorded");
            self.items.step(&examples.candidate_rows, gradient, of_rows_rates);
        }
        if self.config.category_width > 0 {
            let gradient = gradients.next().expect("categories were recorded");
            self.categories.step(&examples.candidate_categories, gradient, of_rows_rates);
        }
    }
}
