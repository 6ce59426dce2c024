//! An online Bayesian mixture of the other trivial models, with weights for type and gap apart.

use super::bigram::bigram;
use super::constant::constant;
use super::frequencies::Frequencies;
use super::marginal::{Marginal, Marginals};
use super::user::User;
use crate::evaluate::Past;
use crate::evaluate::mixture::{Component, nats};
use crate::evaluate::prequential::{Step, steps};

const PARTS: usize = 3;
/// What an event multiplies the credits by.
const RETENTION: f64 = 0.999;
/// Credit of each part before anything was forecast, in events.
const START: f64 = 20.0;

/// [`constant`], [`bigram`] and [`User`] together, each weighted by the share of past events it accounts for. A part's
/// credit grows by its responsibility for the event, which is one step of EM for the weights.
#[derive(Clone, Debug)]
pub struct Blend {
    constant: Frequencies,
    bigram: Frequencies,
    user: User,
    /// Credits for types and for gaps.
    credits: [[f64; PARTS]; 2],
    /// Those earned on the validation part, from which forecasting begins.
    earned: [[f64; PARTS]; 2],
    /// By user.
    standing: Vec<Standing>,
}

/// What the parts forecast for a user, and after which of his events.
#[derive(Clone, Debug, Default)]
struct Standing {
    after: Option<usize>,
    forecasts: [Marginals; PARTS],
}

impl Default for Blend {
    fn default() -> Self {
        Self {
            constant: constant(),
            bigram: bigram(),
            user: User::default(),
            credits: [[START; PARTS]; 2],
            earned: [[START; PARTS]; 2],
            standing: Vec::new(),
        }
    }
}

impl Blend {
    fn parts(&mut self) -> [&mut dyn Marginal; PARTS] {
        [&mut self.constant, &mut self.bigram, &mut self.user]
    }

    /// Weights of the parts for types and for gaps.
    pub fn weights(&self) -> ([f64; PARTS], [f64; PARTS]) {
        (shares(self.credits[0]), shares(self.credits[1]))
    }

    /// Lets the parts forecast after the event at `after`, and keeps what they say until the user's next event.
    fn issue(&mut self, past: Past<'_>, after: usize) {
        let user = past.event(after).user as usize;
        let mut standing = std::mem::take(&mut self.standing[user]);
        standing.after = Some(after);
        for (part, forecast) in self.parts().into_iter().zip(&mut standing.forecasts) {
            forecast.clear();
            part.forecast(past, after, forecast);
        }
        self.standing[user] = standing;
    }
}

impl Marginal for Blend {
    fn tune(&mut self, past: Past<'_>, warm_up: usize) {
        self.parts().into_iter().for_each(|part| part.tune(past, warm_up));
        self.earned = [[START; PARTS]; 2];
        self.fit(past.until(warm_up));
        for step in steps(past, warm_up) {
            match step {
                Step::Fold(position) => self.learn(past.until(position + 1), position),
                Step::Issue { after, .. } => self.issue(past, after),
            }
        }
        self.earned = self.credits;
    }

    fn fit(&mut self, past: Past<'_>) {
        self.parts().into_iter().for_each(|part| part.fit(past));
        self.credits = self.earned;
        self.standing = vec![Standing::default(); past.users()];
    }

    fn forecast(&mut self, past: Past<'_>, after: usize, forecast: &mut Marginals) {
        self.issue(past, after);
        let (kinds, gaps) = self.weights();
        forecast.kinds.resize(past.kinds(), 0.0);
        let standing = &self.standing[past.event(after).user as usize];
        for (part, (kind_weight, gap_weight)) in standing.forecasts.iter().zip(kinds.into_iter().zip(gaps)) {
            forecast.gap.extend(part.gap.iter().map(|c| Component { weight: c.weight * gap_weight, ..*c }));
            for (mixed, probability) in forecast.kinds.iter_mut().zip(&part.kinds) {
                *mixed += kind_weight * probability;
            }
        }
    }

    fn learn(&mut self, past: Past<'_>, position: usize) {
        let event = past.event(position);
        if let Some(before) = past.previous(position) {
            if self.standing[event.user as usize].after != Some(before) {
                self.issue(past.until(position), before);
            }
            let forecasts = &self.standing[event.user as usize].forecasts;
            let y = past.log_gap(position);
            credit(&mut self.credits[0], forecasts.each_ref().map(|part| part.kinds[event.kind as usize]));
            credit(&mut self.credits[1], forecasts.each_ref().map(|part| (-nats(&part.gap, y)).exp()));
        }
        self.parts().into_iter().for_each(|part| part.learn(past, position));
    }
}

/// One more event that the parts gave these likelihoods.
fn credit(credits: &mut [f64; PARTS], likelihoods: [f64; PARTS]) {
    let weights = shares(*credits);
    let joint: [f64; PARTS] = std::array::from_fn(|part| weights[part] * likelihoods[part]);
    // An event that none of them thought possible says nothing about them.
    let responsible = if joint.iter().sum::<f64>() > 0.0 { shares(joint) } else { weights };
    for (credit, share) in credits.iter_mut().zip(responsible) {
        *credit = RETENTION * *credit + share;
    }
}

fn shares(values: [f64; PARTS]) -> [f64; PARTS] {
    let sum: f64 = values.iter().sum();
    values.map(|value| value / sum)
}
