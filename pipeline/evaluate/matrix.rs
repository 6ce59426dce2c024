//! Tasks one after another: after each, the tests of all; what is forgotten, what carries over.
//!
//! A stream is cut into windows of time; each is one task: its first 70 % of events to learn from, the next 10 % to
//! choose by, the last 20 % to be tested on. `R[i][j]` is the mean NLL of test j after task i.

use super::prequential::score_frozen;
use super::{EvaluateError, Forecaster, Stream};
use serde::Serialize;
use std::ops::Range;

/// Shares of a window's events before its dev and its test part.
const DEV: f64 = 0.7;
const TEST: f64 = 0.8;

/// What windows have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As many events; right where a stream is denser at one end.
    Events,
    /// As much time.
    Time,
}

/// Positions of one window of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Events to learn from.
    pub train: Range<usize>,
    /// Events to choose by.
    pub dev: Range<usize>,
    /// Events to be tested on.
    pub test: Range<usize>,
}

/// Cuts `stream` into `count` tasks.
///
/// # Errors
/// A task with nothing to learn from, to choose by, or to test.
pub fn tasks(stream: &Stream, count: usize, cut: Cut) -> Result<Vec<Task>, EvaluateError> {
    let events = stream.whole().events();
    let (first, last) = (events[0].time_ms, events[events.len() - 1].time_ms);
    let begin = |task: usize| match cut {
        Cut::Events => events.len() * task / count,
        Cut::Time if task == count => events.len(),
        Cut::Time => {
            let from = i128::from(first) + (i128::from(last) - i128::from(first)) * task as i128 / count as i128;
            events.partition_point(|event| i128::from(event.time_ms) < from)
        }
    };
    (0..count)
        .map(|number| {
            let window = begin(number)..begin(number + 1);
            let at = |share: f64| window.start + (share * window.len() as f64) as usize;
            let task = Task { train: window.start..at(DEV), dev: at(DEV)..at(TEST), test: at(TEST)..window.end };
            let parts = [(&task.train, "learn from"), (&task.dev, "choose by"), (&task.test, "test")];
            for (part, purpose) in parts {
                if stream.whole().targets(part.clone()).next().is_none() {
                    return Err(EvaluateError::Task { task: number, tasks: count, purpose });
                }
            }
            Ok(task)
        })
        .collect()
}

/// A model that learns task after task.
pub trait Continual {
    /// Forgets all; before any task it may choose settings by the first.
    ///
    /// # Errors
    /// What keeps the model from it.
    fn start(&mut self, stream: &Stream, first: &Task) -> Result<(), EvaluateError>;

    /// Learns from the train part of a task, and may choose by its dev part; histories reach back into earlier tasks.
    ///
    /// # Errors
    /// What keeps the model from it.
    fn train(&mut self, stream: &Stream, task: &Task) -> Result<(), EvaluateError>;

    /// Mean NLL of the events at `targets`, each under the forecast from his user's earlier events; learns nothing.
    ///
    /// # Errors
    /// What keeps the model from it.
    fn test(&mut self, stream: &Stream, targets: &[usize]) -> Result<f64, EvaluateError>;
}

/// A [`Forecaster`] that learns task after task as it learns from a stream: the first is fitted, as a stream's first
/// half is; from the others it learns block by block, in one pass.
pub struct OnePass<'a>(pub &'a mut dyn Forecaster);

impl Continual for OnePass<'_> {
    fn start(&mut self, stream: &Stream, first: &Task) -> Result<(), EvaluateError> {
        self.0.tune(stream.until(first.dev.end), first.train.end)?;
        self.0.fit(stream.until(0))
    }

    fn train(&mut self, stream: &Stream, task: &Task) -> Result<(), EvaluateError> {
        if task.train.start == 0 {
            return self.0.fit(stream.until(task.train.end));
        }
        for from in task.train.clone().step_by(self.0.block()) {
            let until = (from + self.0.block()).min(task.train.end);
            self.0.learn(stream.until(until), from..until)?;
        }
        Ok(())
    }

    fn test(&mut self, stream: &Stream, targets: &[usize]) -> Result<f64, EvaluateError> {
        Ok(score_frozen(stream.whole(), targets, self.0)?.mean(|score| score.nats()))
    }
}

/// `R[i][j]`: mean NLL of test j after task i, in nats per event and unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matrix {
    /// By test: before any task.
    pub initial: Vec<f64>,
    /// By task learned last, then by test.
    pub after: Vec<Vec<f64>>,
}

impl Matrix {
    /// Takes `model` through all `tasks`.
    ///
    /// # Errors
    /// What keeps the model from it.
    pub fn of(stream: &Stream, tasks: &[Task], model: &mut dyn Continual) -> Result<Self, EvaluateError> {
        assert!(!tasks.is_empty(), "a matrix of no task");
        let tests: Vec<Vec<usize>> =
            tasks.iter().map(|task| stream.whole().targets(task.test.clone()).collect()).collect();
        let all = |model: &mut dyn Continual| tests.iter().map(|targets| model.test(stream, targets)).collect();
        model.start(stream, &tasks[0])?;
        let initial = all(model)?;
        let after = tasks
            .iter()
            .map(|task| {
                model.train(stream, task)?;
                all(model)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { initial, after })
    }

    fn last(&self) -> &[f64] {
        &self.after[self.after.len() - 1]
    }

    /// Mean NLL of all tests after the last task.
    pub fn average(&self) -> f64 {
        mean(self.last().iter().copied())
    }

    /// By how much the tests of earlier tasks are worse after the last task than they were at best before it. None of a
    /// single task.
    pub fn forgetting(&self) -> Option<f64> {
        let earlier = &self.after[..self.after.len() - 1];
        let best = |test: usize| earlier.iter().map(|row| row[test]).fold(f64::INFINITY, f64::min);
        (!earlier.is_empty()).then(|| mean((0..earlier.len()).map(|test| self.last()[test] - best(test))))
    }

    /// By how much tests are better just before their task is learned than before any; how bad they are before any is
    /// as arbitrary as the parameters that a model begins with. None of a single task.
    pub fn forward_transfer(&self) -> Option<f64> {
        let tasks = 1..self.after.len();
        (!tasks.is_empty()).then(|| mean(tasks.map(|task| self.initial[task] - self.after[task - 1][task])))
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}
