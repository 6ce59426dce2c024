//! Frequencies of types and mixtures of gaps by context, which follow the stream.

use super::forgetting::{GapMixtures, KindCounts};
use super::marginal::{Marginal, Marginals};
use crate::evaluate::Past;
use crate::evaluate::mixture::nats;
use crate::evaluate::prequential::{Step, steps};
use crate::evaluate::sample::least;

/// Half-lives that are tried, in events of the group.
pub const HALF_LIVES: [f64; 8] = [10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, f64::INFINITY];

/// What the next event is taken to depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Nothing.
    None,
    /// The type of the user's previous event.
    PreviousKind,
}

impl Context {
    /// How many groups there are.
    pub fn groups(self, past: Past<'_>) -> usize {
        match self {
            Self::None => 1,
            Self::PreviousKind => past.kinds(),
        }
    }

    /// The group of what comes after an event of type `kind`.
    pub fn after(self, kind: u32) -> usize {
        match self {
            Self::None => 0,
            Self::PreviousKind => kind as usize,
        }
    }

    /// Group and position of every target of `past`.
    pub fn targets(self, past: Past<'_>) -> impl Iterator<Item = (usize, usize)> {
        past.targets(0..past.len()).filter_map(move |i| Some((self.after(past.event(past.previous(i)?).kind), i)))
    }
}

/// Types and gaps by context, which forget apart.
#[derive(Clone, Debug)]
pub struct Frequencies {
    context: Context,
    half_lives: (f64, f64),
    kinds: KindCounts,
    gaps: GapMixtures,
}

impl Frequencies {
    /// Nothing seen, nothing forgotten.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            half_lives: (f64::INFINITY, f64::INFINITY),
            kinds: KindCounts::default(),
            gaps: GapMixtures::default(),
        }
    }

    /// The half-lives of types and of gaps, in events of the group.
    pub fn half_lives(&self) -> (f64, f64) {
        self.half_lives
    }

    /// The group of what comes after the event at `position`.
    fn group(&self, past: Past<'_>, position: usize) -> usize {
        self.context.after(past.event(position).kind)
    }

    /// −log likelihood of types and of gaps from position `from` on.
    fn nats(&mut self, past: Past<'_>, from: usize) -> (f64, f64) {
        let (mut kinds, mut gaps) = (0.0, 0.0);
        for step in steps(past, from) {
            match step {
                Step::Fold(position) => self.learn(past, position),
                Step::Issue { after, target } => {
                    let group = self.group(past, after);
                    kinds -= self.kinds.probability(group, past.event(target).kind).ln();
                    gaps += nats(self.gaps.mixture(group), past.log_gap(target));
                }
            }
        }
        (kinds, gaps)
    }
}

impl Marginal for Frequencies {
    /// Chooses the half-lives that forecast best, for types and gaps apart.
    fn tune(&mut self, past: Past<'_>, warm_up: usize) {
        let gaps = GapMixtures::fit(past.until(warm_up), self.context);
        let tried = HALF_LIVES.map(|half_life| {
            self.kinds = KindCounts::fit(past.until(warm_up), self.context, half_life);
            self.gaps = gaps.clone().forgetting(half_life);
            self.nats(past, warm_up)
        });
        let best = |losses| least(losses, &HALF_LIVES).unwrap_or(f64::INFINITY);
        self.half_lives = (best(&tried.map(|(kinds, _)| kinds)), best(&tried.map(|(_, gaps)| gaps)));
    }

    fn fit(&mut self, past: Past<'_>) {
        self.kinds = KindCounts::fit(past, self.context, self.half_lives.0);
        self.gaps = GapMixtures::fit(past, self.context).forgetting(self.half_lives.1);
    }

    fn forecast(&mut self, past: Past<'_>, after: usize, forecast: &mut Marginals) {
        let group = self.group(past, after);
        forecast.gap.extend_from_slice(self.gaps.mixture(group));
        self.kinds.distribution(group, &mut forecast.kinds);
    }

    fn learn(&mut self, past: Past<'_>, position: usize) {
        let Some(before) = past.previous(position) else { return };
        let group = self.group(past, before);
        self.kinds.learn(group, past.event(position).kind);
        self.gaps.learn(group, past.log_gap(position));
    }
}
