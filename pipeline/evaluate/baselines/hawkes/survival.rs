//! The next event of a Hawkes process from its survival function G(s) = exp(−Λ(s)), Λ in closed form.

use super::parameters::Parameters;
use std::f64::consts::LN_2;

/// Cells of the grid on which types are integrated: gaps from e⁻⁹ to e⁹ units, a fifth of a nat apart.
const CELLS: usize = 91;
const REACH: f64 = 9.0;

/// What integrals over the gap need, for given decay rates.
#[derive(Clone, Debug, Default)]
pub struct Survival {
    rates: Vec<f64>,
    /// Ends of the cells, in units; the first begins at 0.
    ends: Vec<f64>,
    /// `[rate][cell]`: (1 − exp(−b s)) / b at the cell's end, and exp(−b s) at its middle.
    integrals: Vec<f64>,
    decays: Vec<f64>,
}

impl Survival {
    /// For `rates` in 1 / unit.
    pub fn new(rates: &[f64]) -> Self {
        let step = 2.0 * REACH / (CELLS - 1) as f64;
        let ends: Vec<f64> = (0..CELLS).map(|cell| (step * cell as f64 - REACH).exp()).collect();
        let middle = |cell: usize| 0.5 * (ends[cell] + cell.checked_sub(1).map_or(0.0, |before| ends[before]));
        Self {
            integrals: rates.iter().flat_map(|rate| ends.iter().map(move |end| integral(*rate, *end))).collect(),
            decays: rates.iter().flat_map(|rate| (0..CELLS).map(move |cell| (-rate * middle(cell)).exp())).collect(),
            rates: rates.to_vec(),
            ends: ends.clone(),
        }
    }

    /// The most probable kind with the gap integrated out, and the median gap in units, after an event that left
    /// `excitation`, `[rate][kind]`.
    pub fn likely(&self, parameters: &Parameters, excitation: &[f64]) -> (u32, f64) {
        let (base, excited) = self.total(parameters, excitation);
        let (alive, alive_decayed) = self.weights(base, &excited);
        let mut likely = (0, f64::NEG_INFINITY);
        for (kind, row) in parameters.rows().enumerate() {
            let probability = alive * row[0] + self.sum(&row[1..], excitation, &alive_decayed);
            if probability > likely.1 {
                likely = (kind as u32, probability);
            }
        }
        (likely.0, self.median(base, &excited))
    }

    /// Probability of each kind with the gap integrated out.
    pub fn kinds(&self, parameters: &Parameters, excitation: &[f64]) -> Vec<f64> {
        let (base, excited) = self.total(parameters, excitation);
        let (alive, alive_decayed) = self.weights(base, &excited);
        let probability = |row: &[f64]| alive * row[0] + self.sum(&row[1..], excitation, &alive_decayed);
        let joint: Vec<f64> = parameters.rows().map(probability).collect();
        let all: f64 = joint.iter().sum();
        joint.iter().map(|probability| probability / all).collect()
    }

    /// Base rate of all kinds, and by decay rate what excitation adds to it right after the event.
    fn total(&self, parameters: &Parameters, excitation: &[f64]) -> (f64, Vec<f64>) {
        let (total, kinds) = (parameters.total(), excitation.len() / self.rates.len());
        let dot = |(a, x): (&[f64], &[f64])| a.iter().zip(x).map(|(a, x)| a * x).sum();
        (total[0], total[1..].chunks(kinds).zip(excitation.chunks(kinds)).map(dot).collect())
    }

    /// Σ over rates of `by_rate` times the excitation that `row` weighs.
    fn sum(&self, row: &[f64], excitation: &[f64], by_rate: &[f64]) -> f64 {
        let kinds = excitation.len() / self.rates.len();
        let rows = row.chunks(kinds).zip(excitation.chunks(kinds)).zip(by_rate);
        rows.map(|((a, x), rate)| rate * a.iter().zip(x).map(|(a, x)| a * x).sum::<f64>()).sum()
    }

    /// ∫ G(s) ds, and by rate ∫ exp(−b s) G(s) ds.
    fn weights(&self, base: f64, excited: &[f64]) -> (f64, Vec<f64>) {
        let (mut alive, mut decayed) = (0.0, vec![0.0; self.rates.len()]);
        let (mut before, mut begin) = (1.0, 0.0);
        for cell in 0..CELLS {
            let added = excited.iter().enumerate().map(|(rate, x)| x * self.integrals[rate * CELLS + cell]);
            let survival = (-(base * self.ends[cell] + added.sum::<f64>())).exp();
            let weight = 0.5 * (before + survival) * (self.ends[cell] - begin);
            alive += weight;
            for (rate, sum) in decayed.iter_mut().enumerate() {
                *sum += weight * self.decays[rate * CELLS + cell];
            }
            (before, begin) = (survival, self.ends[cell]);
        }
        (alive, decayed)
    }

    /// The gap at which Λ is ln 2, by bisection of its logarithm. The base rate alone would take ln 2 / base.
    fn median(&self, base: f64, excited: &[f64]) -> f64 {
        let reached = |s: f64| {
            let added = excited.iter().zip(&self.rates).map(|(x, rate)| x * integral(*rate, s));
            base * s + added.sum::<f64>() >= LN_2
        };
        let all = base + excited.iter().sum::<f64>();
        let (mut low, mut high) = ((LN_2 / all).ln(), (LN_2 / base).ln());
        while high - low > 1e-6 {
            let middle = 0.5 * (low + high);
            if reached(middle.exp()) { high = middle } else { low = middle }
        }
        high.exp()
    }
}

/// ∫₀ˢ exp(−b v) dv.
fn integral(rate: f64, s: f64) -> f64 {
    -(-rate * s).exp_m1() / rate
}
