//! Intensities that are linear in features of the past.

use super::fit::Statistics;

/// Pseudo-events of each parameter, spread over one pseudo-unit of exposure: a weak Gamma prior.
const PRIOR: f64 = 1e-3;
const EXPOSURE: f64 = 1.0;
/// No parameter is below this.
pub(super) const LEAST: f64 = 1e-9;

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
    /// Rows of `width`, one for each kind.
    pub fn new(rows: Vec<f64>, width: usize) -> Self {
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

    /// The row of `kind`.
    pub fn row(&self, kind: usize) -> &[f64] {
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
    pub(super) fn log_prior(&self) -> f64 {
        self.rows.iter().map(|value| PRIOR * value.ln() - EXPOSURE * value).sum()
    }
}

/// Lanes of a sum: enough for vector instructions, and one order of addition everywhere.
pub(super) const LANES: usize = 4;

/// Σ a b.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (whole, rest) = (a.chunks_exact(LANES).zip(b.chunks_exact(LANES)), a.len() / LANES * LANES);
    for (a, b) in whole {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a[rest..].iter().zip(&b[rest..]).map(|(a, b)| a * b).sum::<f64>()
}
