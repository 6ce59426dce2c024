//! Intensities that are linear in features, and their maximum a posteriori EM (Veen and Schoenberg 2008).

use super::excitation::Excitations;
use crate::evaluate::Past;

/// Pseudo-events of each parameter, spread over one pseudo-unit of exposure: a weak Gamma prior.
const PRIOR: f64 = 1e-3;
const EXPOSURE: f64 = 1.0;
/// No parameter is below this.
const LEAST: f64 = 1e-9;

/// What intensity and compensator are linear in, at one gap: for the base rate, then for each rate and kind.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// 1, then X_dj · exp(−b_d s).
    pub intensity: Vec<f64>,
    /// s, then X_dj · (1 − exp(−b_d s)) / b_d.
    pub integral: Vec<f64>,
}

impl Features {
    /// Those at `gap` units after an event that left `excitation`, `[rate][kind]`.
    pub fn fill(&mut self, rates: &[f64], excitation: &[f64], gap: f64) {
        self.intensity.clear();
        self.integral.clear();
        self.intensity.push(1.0);
        self.integral.push(gap);
        for (row, rate) in excitation.chunks(excitation.len() / rates.len()).zip(rates) {
            let decay = (-rate * gap).exp();
            let integral = -(-rate * gap).exp_m1() / rate;
            self.intensity.extend(row.iter().map(|x| x * decay));
            self.integral.extend(row.iter().map(|x| x * integral));
        }
    }
}

/// μ_k and A[k, d, j]: by kind one row, as long as the features.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    width: usize,
    rows: Vec<f64>,
    /// Sum of the rows: intensity of all kinds together.
    total: Vec<f64>,
}

impl Parameters {
    fn new(rows: Vec<f64>, width: usize) -> Self {
        let mut parameters = Self { width, rows, total: Vec::new() };
        parameters.sum();
        parameters
    }

    fn sum(&mut self) {
        self.total.clear();
        self.total.resize(self.width, 0.0);
        for row in self.rows.chunks(self.width) {
            self.total.iter_mut().zip(row).for_each(|(total, value)| *total += value);
        }
    }

    /// The row of each kind.
    pub fn rows(&self) -> std::slice::Chunks<'_, f64> {
        self.rows.chunks(self.width)
    }

    /// The sum of all rows.
    pub fn total(&self) -> &[f64] {
        &self.total
    }

    fn row(&self, kind: usize) -> &[f64] {
        &self.rows[kind * self.width..][..self.width]
    }

    /// −log density of the gap, and −log of the share that `kind` has in the intensity there.
    pub fn nats(&self, features: &Features, kind: usize) -> (f64, f64) {
        let all = dot(&self.total, &features.intensity);
        let own = dot(self.row(kind), &features.intensity);
        (dot(&self.total, &features.integral) - all.ln(), (all / own).ln())
    }

    /// The parameters of greatest posterior for `statistics`.
    pub fn maximize(&mut self, statistics: &Statistics) {
        for (row, caused) in self.rows.chunks_mut(self.width).zip(statistics.caused.chunks(self.width)) {
            for ((value, caused), exposure) in row.iter_mut().zip(caused).zip(&statistics.exposure) {
                *value = ((caused + PRIOR) / (exposure + EXPOSURE)).max(LEAST);
            }
        }
        self.sum();
    }

    /// Logarithm of the prior, but for a constant.
    fn log_prior(&self) -> f64 {
        self.rows.iter().map(|value| PRIOR * value.ln() - EXPOSURE * value).sum()
    }
}

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

    /// Runs EM. `watch` sees the objective before each pass, in nats but for a constant: −log likelihood less log prior.
    pub fn run(&self, passes: usize, mut watch: impl FnMut(f64)) -> (Parameters, Statistics) {
        let mut statistics = Statistics { caused: vec![0.0; self.kinds * self.width], exposure: self.exposure.clone() };
        let mut parameters = self.start();
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

    /// Every feature excites a little, frequent kinds more.
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

/// Lanes of a sum: enough for vector instructions, and one order of addition everywhere.
const LANES: usize = 4;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (whole, rest) = (a.chunks_exact(LANES).zip(b.chunks_exact(LANES)), a.len() / LANES * LANES);
    for (a, b) in whole {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a[rest..].iter().zip(&b[rest..]).map(|(a, b)| a * b).sum::<f64>()
}

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
