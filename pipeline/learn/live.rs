//! A network that goes on learning: windows in, steps, and what a version of it is.

use schemas::sample::Samples;
use shaders::Device;
use shaders::ops::tensors::Named;
use shaders::prompt_tpp::{Config, LearningRates, Model, NEVER_MS};

use super::fit::on_device;
use crate::forecast::vocabulary::Vocabulary;
use crate::forecast::window::Windows;

/// The network, with what has not been learned from yet.
#[derive(Debug)]
pub struct Live {
    network: Model,
    /// The state to go back to where numbers are not finite any more.
    good: Named,
    windows: Windows,
    pending_targets: u64,
    /// Targets learned from.
    pub targets: u64,
    /// Steps since the last version.
    pub steps: u64,
}

/// Steps that were taken on what was pending.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// How many.
    pub steps: u64,
    /// Of them, not taken: the loss was not finite.
    pub refused: u64,
    /// The mean loss, in nats per target of standardized gaps.
    pub loss: f64,
}

impl Live {
    /// A network that has learned from so many targets.
    pub fn new(network: Model, targets: u64) -> Self {
        let good = network.save();
        Self { network, good, windows: Windows::default(), pending_targets: 0, targets, steps: 0 }
    }

    /// What [`Live::saved`] gave.
    ///
    /// # Errors
    /// Where tensors are missing or of other shapes, or the device fails.
    pub fn load(device: &Device, saved: Named, targets: u64) -> Result<Self, shaders::Error> {
        Ok(Self::new(Model::load(device, Config::default(), saved)?, targets))
    }

    /// Makes room for all types.
    ///
    /// # Errors
    /// What the device says.
    pub fn grow(&mut self, device: &mut Device, vocabulary: &Vocabulary) -> Result<(), shaders::Error> {
        on_device(&mut self.network, device, |network| network.grow(vocabulary.places()))
    }

    /// Takes a window whose types are known by `place_of`.
    pub fn take(&mut self, samples: &Samples, window: usize, place_of: impl Fn(u16) -> u32) {
        let range = samples.events(window);
        let first_target = samples.first_target[window];
        self.pending_targets += (range.len() - first_target as usize) as u64;
        range.for_each(|at| self.windows.event(place_of(samples.types[at]), samples.times_ms[at]));
        self.windows.end(first_target, NEVER_MS);
    }

    /// How many windows wait.
    pub fn pending(&self) -> usize {
        self.windows.len()
    }

    /// Learns from all that waits, in steps of about `windows` windows.
    ///
    /// # Errors
    /// What the device says.
    pub fn learn(
        &mut self,
        device: &mut Device,
        windows: usize,
        rates: &LearningRates,
    ) -> Result<Progress, shaders::Error> {
        let (count, mut progress, mut losses) = (self.windows.len(), Progress::default(), 0.0);
        let steps = (count / windows).max(1);
        let mut batch = Windows::default();
        for step in 0..steps {
            batch.clear();
            (count * step / steps..count * (step + 1) / steps).for_each(|at| batch.copy(&self.windows, at));
            if batch.is_empty() {
                continue;
            }
            let step = on_device(&mut self.network, device, |network| network.step(&batch.batch(), rates))?;
            progress.steps += 1;
            progress.refused += u64::from(!step.applied);
            losses += if step.applied { step.loss - step.distance } else { 0.0 };
        }
        progress.loss = losses / (progress.steps - progress.refused).max(1) as f64;
        self.steps += progress.steps;
        self.targets += std::mem::take(&mut self.pending_targets);
        self.windows.clear();
        Ok(progress)
    }

    /// Whether all numbers are finite; where not, the network is what it was when a version was last made of it.
    ///
    /// # Errors
    /// What the device says.
    pub fn check(&mut self, device: &Device) -> Result<bool, shaders::Error> {
        let saved = self.network.save();
        let floats = saved.values().filter_map(|entry| entry.to_floats(&entry.shape).ok());
        if floats.flatten().all(f32::is_finite) {
            self.good = saved;
            return Ok(true);
        }
        let types = self.network.config().types;
        self.network = Model::load(device, Config::default(), self.good.clone())?;
        self.network.grow(types)?;
        Ok(false)
    }

    /// What engines need.
    pub fn weights(&self) -> Named {
        self.network.weights()
    }

    /// What a learner needs to go on to the same bits.
    pub fn saved(&self) -> Named {
        self.good.clone()
    }

    /// Densities of gaps are per so many ms.
    pub fn unit_ms(&self) -> f64 {
        self.network.config().unit_ms
    }

    /// How often each prompt of each pool was chosen while learning, pool by pool.
    pub fn usage(&self) -> &[u64] {
        self.network.usage()
    }
}
