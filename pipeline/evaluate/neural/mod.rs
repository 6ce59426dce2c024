//! PromptTPP in the protocol: one network, fitted once, that goes on in six ways.
//!
//! | name | after the fit |
//! |---|---|
//! | `frozen` | nothing changes |
//! | `online` | everything goes on learning: full fine-tuning |
//! | `calibrated` | only an affine map of log time and a bias per type |
//! | `prompt` | prompts, keys and heads; the base is frozen |
//! | `prompt_calibrated` | both |
//! | `prompt_joint` | everything, prompts and keys at a rate of their own, as the paper has it |
//!
//! # Layout
//! - [`fit`](mod@fit): the fit. `windows`: users' events as the network takes them. `tasks`: the same ways in the matrix
//!   protocol.

mod fit;
mod tasks;
#[cfg(test)]
mod tests;
mod windows;

use std::ops::Range;

use shaders::Device;
use shaders::prompt_tpp::{Forecasts, LearningRates, Model, NEVER_MS};

use self::windows::{add_forecast, add_targets};
use super::prequential::score;
use crate::forecast::window::{Seen, WindowCut, Windows};
pub use tasks::matrix;

use super::{EvaluateError, Forecaster, Judgment, Outcome, Past, Score, Scores, Stream};

/// Passes over the fitted part that are tried, until more of them do worse.
const PASSES: [usize; 5] = [5, 10, 20, 40, 80];
/// More windows than this, passes times windows, are too many.
const WINDOWS_MAX: usize = 300_000;
/// Learning rates that are tried. Higher ones of base and heads win on the short validation part of some streams and drift
/// on the rest.
const ONLINE: [f64; 2] = [1e-4, 3e-4];
const PROMPT: [(f64, f64); 4] = [(1e-3, 1e-4), (3e-3, 1e-4), (1e-2, 1e-4), (1e-2, 3e-4)];
const CALIBRATED: [f64; 3] = [1e-3, 3e-3, 1e-2];
/// On a moving base faster prompts win on validation parts and run after the moment later.
const JOINT: [f64; 1] = [1e-3];
const SEED: u64 = 0;

/// The ways to go on, in the order of reports.
const WAYS: [&str; 6] = ["frozen", "online", "calibrated", "prompt", "prompt_calibrated", "prompt_joint"];

/// A way to go on.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    /// None changes nothing.
    rates: Option<LearningRates>,
}

/// Evaluates all six ways of a network that sees what `seen` says, or what does better on the validation part; gives the scores
/// of each to `each` as they are there, and what it sees.
///
/// # Errors
/// Where the device fails, or a score is not finite.
pub fn evaluate(
    stream: &Stream,
    (device, seen): (&Device, Seen),
    each: &mut dyn FnMut(&'static str, &Scores),
) -> Result<Seen, EvaluateError> {
    let split = stream.split();
    let half = stream.until(split.scored);
    let Fitted { passes, seen, model, .. } = best_fit(half, split.warm_up, (device, seen))?;
    let ways = choose(half, split.warm_up, (&model, seen.cut), device)?;
    let model = fit::fit(device, model.config().clone(), (half, seen.cut), passes, SEED)?;
    for way in ways {
        tracing::info!(model = way.name, "evaluating");
        each(way.name, &score(stream.whole(), split.scored, &mut Network::new((&model, seen.cut), device, way)?)?);
    }
    Ok(seen)
}

/// A network fitted to a stream's beginning, and how it does after that.
struct Fitted {
    nats: f64,
    passes: usize,
    seen: Seen,
    model: Model,
}

/// The network fitted to the events before `warm_up` with as many passes as do best on the others; then the same that sees the
/// clock, and one that sees twice as many events, where that does better.
fn best_fit(past: Past<'_>, warm_up: usize, (device, seen): (&Device, Seen)) -> Result<Fitted, EvaluateError> {
    let fitted = past.until(warm_up);
    let fit = |seen: Seen, passes: usize| {
        let model = fit::fit(device, fit::config(fitted, seen), (fitted, seen.cut), passes, SEED)?;
        let frozen = Way { name: "frozen", rates: None };
        let nats = mean(&score(past, warm_up, &mut Network::new((&model, seen.cut), device, frozen)?)?);
        tracing::info!(passes, ?seen, nats, "fitted to the warm-up, scored on the validation part");
        Ok::<_, EvaluateError>(Fitted { nats, passes, seen, model })
    };
    let windows = fit::windows(fitted, seen.cut).len();
    let mut best = fit(seen, PASSES[0])?;
    for passes in PASSES.into_iter().skip(1).take_while(|passes| passes * windows <= WINDOWS_MAX) {
        let more = fit(seen, passes)?;
        if more.nats >= best.nats {
            break;
        }
        best = more;
    }
    for sees in [
        |seen: Seen| Seen { clock: true, ..seen },
        |seen: Seen| Seen { cut: WindowCut { events: seen.cut.events * 2 }, ..seen },
    ] {
        let other = sees(best.seen);
        if other != best.seen {
            let other = fit(other, best.passes)?;
            best = if other.nats < best.nats { other } else { best };
        }
    }
    Ok(best)
}

/// The rates that do best from `warm_up` on, by way.
fn choose(
    past: Past<'_>,
    warm_up: usize,
    fitted: (&Model, WindowCut),
    device: &Device,
) -> Result<[Way; 6], EvaluateError> {
    let best = |name: &'static str, tried: &[LearningRates]| {
        let mut best: Option<(f64, LearningRates)> = None;
        for &rates in tried {
            let way = Way { name, rates: Some(rates) };
            let nats = mean(&score(past, warm_up, &mut Network::new(fitted, device, way)?)?);
            tracing::info!(model = name, ?rates, nats, "tried");
            if best.is_none_or(|(least, _)| nats < least) {
                best = Some((nats, rates));
            }
        }
        Ok::<_, EvaluateError>(best.expect("more than none are tried").1)
    };
    let online = best("online", &ONLINE.map(LearningRates::online))?;
    let calibrated = best("calibrated", &CALIBRATED.map(LearningRates::calibrated))?;
    let prompt = best("prompt", &PROMPT.map(|(pool, heads)| LearningRates::prompt(pool, heads)))?;
    let both = LearningRates { calibration: calibrated.calibration, ..prompt };
    let joint = best("prompt_joint", &JOINT.map(|pool| LearningRates { pool, ..online }))?;
    let rates = [None, Some(online), Some(calibrated), Some(prompt), Some(both), Some(joint)];
    Ok(std::array::from_fn(|n| Way { name: WAYS[n], rates: rates[n] }))
}

fn mean(scores: &Scores) -> f64 {
    scores.mean(Score::nats)
}

/// A fitted network that goes on in one way.
struct Network {
    way: Way,
    model: Model,
    cut: WindowCut,
    issued: Windows,
    forecasts: Option<Forecasts>,
}

impl Network {
    /// A copy of `fitted` with its optimizer's state, and how it sees users' events.
    fn new((fitted, cut): (&Model, WindowCut), device: &Device, way: Way) -> Result<Self, EvaluateError> {
        let model = Model::load(device, fitted.config().clone(), fitted.save());
        let model = model.map_err(|error| failed(way.name, error))?;
        Ok(Self { way, model, cut, issued: Windows::default(), forecasts: None })
    }
}

fn failed(model: &str, error: shaders::Error) -> EvaluateError {
    EvaluateError::Model { model: model.to_owned(), source: Box::new(error) }
}

impl Forecaster for Network {
    fn name(&self) -> &str {
        self.way.name
    }

    fn tune(&mut self, _: Past<'_>, _: usize) -> Result<(), EvaluateError> {
        unreachable!("it is fitted already")
    }

    fn fit(&mut self, _: Past<'_>) -> Result<(), EvaluateError> {
        unreachable!("it is fitted already")
    }

    fn issue(&mut self, past: Past<'_>, after: &[usize]) -> Result<(), EvaluateError> {
        let mut windows = Windows::default();
        after.iter().for_each(|&position| add_forecast(&mut windows, self.cut, past, past.history(position)));
        self.forecasts = Some(self.model.forecast(&windows.batch()).map_err(|error| failed(self.way.name, error))?);
        self.issued = windows;
        Ok(())
    }

    fn score(&mut self, outcomes: &[Outcome], judgments: &mut Vec<Judgment>) -> Result<(), EvaluateError> {
        let forecasts = self.forecasts.take().expect("forecasts are issued before they are scored");
        let windows = self.issued.with_outcomes(outcomes.iter().map(|outcome| (outcome.kind, outcome.gap_ms)));
        let scores = self.model.score(&windows.batch()).map_err(|error| failed(self.way.name, error))?;
        for (n, outcome) in outcomes.iter().enumerate() {
            let shares = forecasts.types(n);
            let likely = (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b]).then(b.cmp(&a)));
            judgments.push(Judgment {
                gap_nats: scores.gap_nats[n],
                kind_nats: scores.type_nats[n],
                likely_kind: likely.unwrap_or(0) as u32,
                median_gap: forecasts.gap(n).median_ms() / outcome.unit_ms,
            });
        }
        Ok(())
    }

    fn learn(&mut self, past: Past<'_>, events: Range<usize>) -> Result<(), EvaluateError> {
        let Some(rates) = self.way.rates else { return Ok(()) };
        // A user's events of the block follow each other among his.
        let mut users: Vec<(u32, usize)> = past.targets(events).map(|at| (past.event(at).user, at)).collect();
        users.sort_unstable();
        let mut batch = Windows::default();
        for own in users.chunk_by(|a, b| a.0 == b.0) {
            let history = past.history(own[own.len() - 1].1);
            let ranks = history.len() - own.len()..history.len();
            add_targets(&mut batch, self.cut, (past, history), ranks, NEVER_MS);
        }
        if !batch.is_empty() {
            self.model.step(&batch.batch(), &rates).map_err(|error| failed(self.way.name, error))?;
        }
        Ok(())
    }
}
