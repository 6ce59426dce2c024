//! Maximum a posteriori EM of a Hawkes process (Veen and Schoenberg 2008).

use super::excitation::Excitations;
use super::parameters::{Features, LANES, LEAST, Parameters, dot};
use crate::evaluate::Past;

/// Sufficient statistics of the complete data.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// By kind and feature: events of the kind that the feature caused.
    pub caused: Vec<f64>,
    /// By feature: its integral.
    pub exposure: Vec<f64>,
}

impl Statistics {
    /// Adds an event of `kind`, whose cause is shared out by `parameters`.
    pub fn add(&mut self, parameters: &Parameters, features: &Features, kind: usize) {
        let row = parameters.row(kind);
        let scale = dot(row, &features.intensity).max(f64::MIN_POSITIVE).recip();
        let caused = &mut self.caused[kind * row.len()..][..row.len()];
        for ((caused, value), feature) in caused.iter_mut().zip(row).zip(&features.intensity) {
            *caused += value * feature * scale;
        }
        self.exposure.iter_mut().zip(&features.integral).for_each(|(exposure, integral)| *exposure += integral);
    }

    fn scale(&mut self, factor: f64) {
        self.caused.iter_mut().chain(&mut self.exposure).for_each(|value| *value *= factor);
    }

    /// `events` more go by, at a half-life in events.
    pub fn forget(&mut self, events: usize, half_life: f64) {
        self.scale(0.5_f64.powf(events as f64 / half_life));
    }

    /// The start counts for at most what the forgetting remembers.
    pub fn cap(&mut self, half_life: f64) {
        let events: f64 = self.caused.iter().sum();
        if events > 0.0 {
            self.scale((half_life / std::f64::consts::LN_2 / events).min(1.0));
        }
    }
}

/// The targets of a past, ready for many passes of EM.
#[derive(Clone, Debug)]
pub struct Fit {
    kinds: usize,
    width: usize,
    /// By kind: features of its targets, one after another.
    intensities: Vec<Vec<f32>>,
    exposure: Vec<f64>,
}

impl Fit {
    /// Lays out the features of the targets of `past`; `rates` in 1 / unit.
    pub fn new(past: Past<'_>, rates: &[f64]) -> Self {
        let (kinds, width) = (past.kinds(), 1 + rates.len() * past.kinds());
        let mut fit = Self { kinds, width, intensities: vec![Vec::new(); kinds], exposure: vec![LEAST; width] };
        let (mut excitations, mut features) = (Excitations::new(past, rates), Features::default());
        for target in past.targets(0..past.len()) {
            let Some(before) = past.previous(target) else { continue };
            features.fill(rates, excitations.after(past, before), past.gap(target));
            let intensities = &mut fit.intensities[past.event(target).kind as usize];
            intensities.extend(features.intensity.iter().map(|x| *x as f32));
            fit.exposure.iter_mut().zip(&features.integral).for_each(|(exposure, integral)| *exposure += integral);
        }
        fit
    }

    /// Runs EM. `watch` sees the objective before each pass, in nats but for a constant: −log likelihood less log
    /// prior.
    pub fn run(&self, passes: usize, mut watch: impl FnMut(f64)) -> (Parameters, Statistics) {
        let mut statistics = Statistics { caused: vec![0.0; self.kinds * self.width], exposure: self.exposure.clone() };
        let mut parameters = self.start();
        let passes = if self.intensities.iter().all(Vec::is_empty) { 0 } else { passes };
        for _ in 0..passes {
            statistics.caused.fill(0.0);
            let mut nats = dot(parameters.total(), &self.exposure) - parameters.log_prior();
            for (kind, caused) in statistics.caused.chunks_mut(self.width).enumerate() {
                nats += expect(parameters.row(kind), &self.intensities[kind], caused);
            }
            watch(nats);
            parameters.maximize(&statistics);
        }
        (parameters, statistics)
    }

    /// Every feature excites a little, frequent kinds more. Where nothing was seen it stays so.
    fn start(&self) -> Parameters {
        let targets: usize = self.intensities.iter().map(|rows| rows.len() / self.width).sum();
        let mut rows = Vec::with_capacity(self.kinds * self.width);
        for intensities in &self.intensities {
            let share = (intensities.len() / self.width) as f64 / targets.max(1) as f64;
            rows.resize(rows.len() + self.width, 0.1 / self.kinds as f64 + 0.2 * share);
        }
        Parameters::new(rows, self.width)
    }
}

/// Shares out the causes of events of one kind, of which `intensities` are the features; Σ −log intensity.
fn expect(row: &[f64], intensities: &[f32], caused: &mut [f64]) -> f64 {
    let mut nats = 0.0;
    for features in intensities.chunks(row.len()) {
        let intensity = dot_single(row, features).max(f64::MIN_POSITIVE);
        let scale = intensity.recip();
        nats -= intensity.ln();
        for (caused, feature) in caused.iter_mut().zip(features) {
            *caused += f64::from(*feature) * scale;
        }
    }
    caused.iter_mut().zip(row).for_each(|(caused, value)| *caused *= value);
    nats
}

/// As [`dot`].
fn dot_single(a: &[f64], b: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    let (whole, rest) = (a.chunks_exact(LANES).zip(b.chunks_exact(LANES)), a.len() / LANES * LANES);
    for (a, b) in whole {
        for lane in 0..LANES {
            sums[lane] += a[lane] * f64::from(b[lane]);
        }
    }
    sums.iter().sum::<f64>() + a[rest..].iter().zip(&b[rest..]).map(|(a, b)| a * f64::from(*b)).sum::<f64>()
}
