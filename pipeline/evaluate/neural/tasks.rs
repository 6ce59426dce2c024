//! PromptTPP in the matrix protocol: fitted to the first task, then going on in six ways, one pass over each of the others.

use shaders::Device;
use shaders::prompt_tpp::Model;

use super::{Fitted, Network, SEED, Way, best_fit, choose, fit};
use crate::evaluate::matrix::{Continual, Matrix, OnePass, Task};
use crate::evaluate::{EvaluateError, Stream};
use crate::forecast::window::{Seen, WindowCut};

/// Takes all six ways through `tasks`; gives the matrix of each to `each` as it is there. Passes and rates are chosen on
/// the first task's dev part.
///
/// # Errors
/// Where the device fails, or a score is not finite.
pub fn matrix(
    stream: &Stream,
    tasks: &[Task],
    (device, seen): (&Device, Seen),
    each: &mut dyn FnMut(&'static str, Matrix),
) -> Result<(), EvaluateError> {
    let first = &tasks[0];
    let past = stream.until(first.dev.end);
    let Fitted { model: fitted, seen, .. } = best_fit(past, first.train.end, (device, seen))?;
    let cut = seen.cut;
    let untrained = fit::fit(device, fitted.config().clone(), (stream.until(0), cut), 0, SEED)?;
    for way in choose(past, first.train.end, (&fitted, cut), device)? {
        tracing::info!(model = way.name, "evaluating");
        let network = Network::new((&untrained, cut), device, way)?;
        let mut learner = Learner { network, untrained: &untrained, fitted: &fitted, cut, device, way };
        each(way.name, Matrix::of(stream, tasks, &mut learner)?);
    }
    Ok(())
}

/// One way from task to task.
struct Learner<'a> {
    network: Network,
    untrained: &'a Model,
    /// To the first task.
    fitted: &'a Model,
    cut: WindowCut,
    device: &'a Device,
    way: Way,
}

impl Continual for Learner<'_> {
    fn start(&mut self, _: &Stream, _: &Task) -> Result<(), EvaluateError> {
        self.network = Network::new((self.untrained, self.cut), self.device, self.way)?;
        Ok(())
    }

    fn train(&mut self, stream: &Stream, task: &Task) -> Result<(), EvaluateError> {
        if task.train.start == 0 {
            self.network = Network::new((self.fitted, self.cut), self.device, self.way)?;
            return Ok(());
        }
        OnePass(&mut self.network).train(stream, task)
    }

    fn test(&mut self, stream: &Stream, targets: &[usize]) -> Result<f64, EvaluateError> {
        OnePass(&mut self.network).test(stream, targets)
    }
}
