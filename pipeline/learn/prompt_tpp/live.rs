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

    /// Learns from all that waits, in steps of about `windows` windows; gives how many were not taken, for a loss that is not
    /// finite.
    ///
    /// # Errors
    /// What the device says.
    pub fn learn(&mut self, device: &mut Device, windows: usize, rates: &LearningRates) -> Result<u64, shaders::Error> {
        let (count, mut refused) = (self.windows.len(), 0);
        let steps = (count / windows).max(1);
        let mut batch = Windows::default();
        for step in 0..steps {
            batch.clear();
            (count * step / steps..count * (step + 1) / steps).for_each(|at| batch.copy(&self.windows, at));
            let step = on_device(&mut self.network, device, |network| network.step(&batch.batch(), rates))?;
            refused += u64::from(!step.applied);
        }
        self.steps += steps as u64;
        self.targets += std::mem::take(&mut self.pending_targets);
        self.windows.clear();
        Ok(refused)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Samples {
        let mut samples = Samples { names: vec!["a".into(), "b".into()], ..Samples::default() };
        for user in 0..4 {
            samples.types.extend([0, 1, 0, 1]);
            samples.times_ms.extend([0, 5_000, 5_500, 12_000].map(|time_ms| time_ms + user as i64));
            samples.end(user, 1);
        }
        samples
    }

    #[test]
    fn a_network_that_is_not_finite_any_more_goes_back_to_its_last_version() {
        let (mut device, config) = (Device::Cpu, Config { types: 3, unit_ms: 5_000.0, ..Config::default() });
        let mut live = Live::new(Model::new(&device, config, 7).unwrap(), 0);
        let mut lesson = |live: &mut Live, rates: &LearningRates| {
            (0..4).for_each(|window| live.take(&samples(), window, |kind| u32::from(kind) + 1));
            live.learn(&mut device, 4, rates).unwrap()
        };
        assert_eq!(lesson(&mut live, &LearningRates::online(1e-3)), 0);
        assert!(live.check(&Device::Cpu).unwrap());
        let good = live.saved();
        lesson(&mut live, &LearningRates::online(f64::INFINITY));
        assert!(!live.check(&Device::Cpu).unwrap(), "a step without bounds leaves nothing finite");
        assert_eq!(live.network.save(), good, "and is taken back whole");
        assert_eq!(lesson(&mut live, &LearningRates::online(1e-3)), 0, "learning goes on from there");
        assert!(live.check(&Device::Cpu).unwrap() && live.saved() != good);
    }
}
