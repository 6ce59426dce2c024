//! Every event is scored under the forecast that was in force, then learned from (Dawid 1984, "prequential").

use super::{EvaluateError, Forecaster, Judgment, Outcome, Past, Score, Stream};

/// Forecasts issued at once, at most.
const BATCH: usize = 256;

/// How well a model forecast the events of a part of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Positions of the scored events, ascending: the same for every model of a stream.
    pub positions: Vec<usize>,
    /// Their users.
    pub users: Vec<u32>,
    /// How well each was forecast.
    pub each: Vec<Score>,
}

impl Scores {
    /// Mean of a figure over the events.
    pub fn mean(&self, figure: impl Fn(&Score) -> f64) -> f64 {
        self.each.iter().map(figure).sum::<f64>() / self.each.len() as f64
    }

    /// A figure of every event.
    pub fn figures(&self, figure: impl Fn(&Score) -> f64) -> Vec<f64> {
        self.each.iter().map(figure).collect()
    }
}

/// One moment of a stream that is passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The event at this position has arrived; its user's forecast is about to be issued anew.
    Fold(usize),
    /// The event at `after` has been folded: the forecast of its user's next event, the one at `target`, is issued.
    Issue {
        /// Where it is issued.
        after: usize,
        /// What it will be scored by.
        target: usize,
    },
}

/// Passes through `past` from position `from` on: first the forecasts that stand there, then event by event.
/// A forecast that nothing will ever be scored by is left out.
pub fn steps(past: Past<'_>, from: usize) -> impl Iterator<Item = Step> {
    let issue = move |after| past.next(after).map(|target| Step::Issue { after, target });
    let folds = (from..past.len()).flat_map(move |i| [Some(Step::Fold(i)), issue(i)].into_iter().flatten());
    past.standing(from).filter_map(issue).chain(folds)
}

/// The whole protocol: settings are chosen on the validation part, the model is fitted to the first half and scored on
/// the second, on which it learns as it goes.
///
/// # Errors
/// What keeps the model from it; a score that is not finite.
pub fn prequential(stream: &Stream, model: &mut dyn Forecaster) -> Result<Scores, EvaluateError> {
    let split = stream.split();
    let past = stream.until(split.scored);
    model.tune(past, split.warm_up)?;
    model.fit(past)?;
    score(stream.whole(), split.scored, model)
}

/// Scores every event of `past` from position `from` on whose user was seen before, and learns block by block.
///
/// # Errors
/// What keeps the model from it; a score that is not finite.
pub fn score(past: Past<'_>, from: usize, model: &mut dyn Forecaster) -> Result<Scores, EvaluateError> {
    let mut pass = Pass { past, scored: Vec::new(), after: Vec::new(), outcomes: Vec::new(), judgments: Vec::new() };
    let (mut learned, block) = (from, model.block().max(1));
    for step in steps(past, from) {
        match step {
            Step::Fold(position) => {
                if position + 1 - learned == block {
                    pass.flush(model)?;
                    model.learn(past.until(position + 1), learned..position + 1)?;
                    learned = position + 1;
                }
            }
            Step::Issue { after, target } => {
                pass.after.push(after);
                pass.outcomes.push(Outcome::at(past, target));
                if pass.after.len() == BATCH {
                    pass.flush(model)?;
                }
            }
        }
    }
    pass.flush(model)?;
    Ok(pass.finish())
}

/// Scores events of `past` under the forecasts that the model, as it is, issues after their users' previous ones.
///
/// # Errors
/// What keeps the model from it; a score that is not finite.
pub fn score_frozen(past: Past<'_>, targets: &[usize], model: &mut dyn Forecaster) -> Result<Scores, EvaluateError> {
    let mut pass = Pass { past, scored: Vec::new(), after: Vec::new(), outcomes: Vec::new(), judgments: Vec::new() };
    for batch in targets.chunks(BATCH) {
        for target in batch {
            pass.after.extend(past.previous(*target));
            pass.outcomes.push(Outcome::at(past, *target));
        }
        assert_eq!(pass.after.len(), pass.outcomes.len(), "a target is an event whose user was seen before");
        pass.flush(model)?;
    }
    Ok(pass.finish())
}

/// Forecasts between issue and score.
struct Pass<'a> {
    past: Past<'a>,
    scored: Vec<(usize, Score)>,
    after: Vec<usize>,
    outcomes: Vec<Outcome>,
    judgments: Vec<Judgment>,
}

impl Pass<'_> {
    fn flush(&mut self, model: &mut dyn Forecaster) -> Result<(), EvaluateError> {
        let Some(last) = self.after.iter().max() else { return Ok(()) };
        self.judgments.clear();
        model.issue(self.past.until(last + 1), &self.after)?;
        model.score(&self.outcomes, &mut self.judgments)?;
        assert_eq!(self.judgments.len(), self.outcomes.len(), "`{}` judges every forecast once", model.name());
        for (outcome, judgment) in self.outcomes.iter().zip(&self.judgments) {
            let score = Score::new(judgment, outcome);
            if !score.nats().is_finite() {
                let (model, position) = (model.name().to_owned(), outcome.position);
                return Err(EvaluateError::NotFinite { model, position, nats: score.nats() });
            }
            self.scored.push((outcome.position, score));
        }
        self.after.clear();
        self.outcomes.clear();
        Ok(())
    }

    fn finish(mut self) -> Scores {
        self.scored.sort_unstable_by_key(|(position, _)| *position);
        Scores {
            positions: self.scored.iter().map(|(position, _)| *position).collect(),
            users: self.scored.iter().map(|(position, _)| self.past.event(*position).user).collect(),
            each: self.scored.into_iter().map(|(_, score)| score).collect(),
        }
    }
}
