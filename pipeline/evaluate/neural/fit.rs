//! A network fitted to the beginning of a stream, by the same passes as the live learner's.

use shaders::Device;
use shaders::prompt_tpp::{Config, Model};

use super::windows::add_targets;
use crate::evaluate::{EvaluateError, Past};
use crate::forecast::window::{Seen, WindowCut, Windows};
use crate::learn;

/// The scales of a stream, for a network that sees so much.
pub(super) fn config(past: Past<'_>, seen: Seen) -> Config {
    let logs: Vec<f64> = past.targets(0..past.len()).map(|position| past.log_gap(position)).collect();
    Config { clock_inputs: seen.clock, ..learn::prompt_tpp::fit::config(past.kinds(), past.unit_ms(), &logs) }
}

/// All windows of a past; the gaps after users' last events are open until its end.
pub(super) fn windows(past: Past<'_>, cut: WindowCut) -> Windows {
    let mut all = Windows::default();
    let Some(newest) = past.events().last() else { return all };
    for last in past.open() {
        let history = past.history(last);
        add_targets(&mut all, cut, (past, history), 0..history.len(), newest.time_ms);
    }
    all
}

/// A new network that has passed over `past` so many times.
pub(super) fn fit(
    device: &Device,
    config: Config,
    (past, cut): (Past<'_>, WindowCut),
    passes: usize,
    seed: u64,
) -> Result<Model, EvaluateError> {
    let gaps_ms: Vec<i64> = past.targets(0..past.len()).map(|position| past.gap_ms(position)).collect();
    let types: Vec<u32> = past.targets(0..past.len()).map(|position| past.event(position).kind).collect();
    let all = (&windows(past, cut), &gaps_ms[..], &types[..]);
    let fitted = learn::prompt_tpp::fit::fit(&mut device.clone(), config, all, passes, seed);
    fitted.map_err(|error| EvaluateError::Model { model: "prompt_tpp".into(), source: Box::new(error) })
}
