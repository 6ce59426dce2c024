//! What the heads say before anything is learned: how gaps and types of the stream's beginning are spread, whatever the
//! history.

use super::Model;

/// Gaps that the mixture is fitted to, at most.
const GAPS_MAX: usize = 20_000;
const ITERATIONS: usize = 100;
/// What is left of the heads' random weights, so that what they add does not blur a narrow component.
const WEIGHTS_LEFT: f32 = 0.1;

impl Model {
    /// Lets the heads of a new model begin with the spread of these gaps (ms) and types: the mixture by
    /// expectation-maximization, types by their counts. Without it the first passes are spent on learning just that; the
    /// narrower the components that the stream needs, the more of them.
    pub fn start_from(&mut self, gaps_ms: &[i64], types: &[u32]) {
        if !self.config.forecasts || gaps_ms.is_empty() {
            return;
        }
        let every = gaps_ms.len().div_ceil(GAPS_MAX);
        let logs = gaps_ms.iter().step_by(every).map(|&gap| self.config.standardized(gap)).collect();
        let mixture = spread(logs, self.config.components, self.config.floor());
        let mut counts = vec![1.0; self.config.types];
        types.iter().for_each(|&kind| counts[kind as usize] += 1.0);
        let total: f64 = counts.iter().sum();
        let logs = counts.iter().map(|count| (count / total).ln()).collect::<Vec<f64>>();
        for (name, values) in [("gap.bias", mixture), ("type.bias", logs)] {
            let range = self.tensors.get(name).expect("the head is there").range();
            self.parameters[range].iter_mut().zip(values).for_each(|(bias, value)| *bias = value as f32);
        }
        let range = self.tensors.get("gap.weight").expect("the head is there").range();
        self.parameters[range].iter_mut().for_each(|weight| *weight *= WEIGHTS_LEFT);
    }
}

/// Logits, means and log deviations (above the floor) of a mixture fitted to `logs`: from equal parts of them, in order.
fn spread(mut logs: Vec<f64>, components: usize, floor: f64) -> Vec<f64> {
    logs.sort_unstable_by(f64::total_cmp);
    let n = logs.len() as f64;
    let part = |m: usize| (m * logs.len() / components).min(logs.len() - 1);
    let mut shares = vec![1.0 / components as f64; components];
    let mut means: Vec<f64> = (0..components).map(|m| logs[(part(m) + part(m + 1)) / 2]).collect();
    let mut deviations: Vec<f64> =
        (0..components).map(|m| (0.5 * (logs[part(m + 1)] - logs[part(m)])).max(2.0 * floor)).collect();
    let mut posterior = vec![0.0; components];
    for _ in 0..ITERATIONS {
        // A thousandth of an event of unit spread, so that no component vanishes.
        let mut sums: Vec<[f64; 3]> =
            means.iter().map(|mean| [1e-3, 1e-3 * mean, 1e-3 * (1.0 + mean * mean)]).collect();
        for &log in &logs {
            let mut most = f64::MIN;
            for (m, posterior) in posterior.iter_mut().enumerate() {
                let z = (log - means[m]) / deviations[m];
                *posterior = shares[m].ln() - 0.5 * z * z - deviations[m].ln();
                most = most.max(*posterior);
            }
            posterior.iter_mut().for_each(|p| *p = (*p - most).exp());
            let total: f64 = posterior.iter().sum();
            for (sums, p) in sums.iter_mut().zip(&posterior) {
                let weight = p / total;
                sums.iter_mut().zip([1.0, log, log * log]).for_each(|(sum, x)| *sum += weight * x);
            }
        }
        for (m, [count, sum, squares]) in sums.into_iter().enumerate() {
            shares[m] = count / n;
            means[m] = sum / count;
            deviations[m] = (squares / count - means[m] * means[m]).max(0.0).sqrt().max(1.02 * floor);
        }
    }
    let logits = shares.iter().map(|share| share.ln());
    let log_deviations = deviations.iter().map(|deviation| (deviation - floor).ln());
    logits.chain(means.iter().copied()).chain(log_deviations).collect()
}
