//! A process of known truth whose regime changes: what a learner must follow, and what it should find again.
//!
//! Every user is a multivariate Hawkes process with one exponential kernel,
//! `λ_k(s) = μ_k + Σ_j A[k][j] X_j exp(−b s)`, drawn exactly (Dassios and Zhao 2013). The regime in force at an event
//! rules the gap after it: so the true conditional density is known when the forecast is issued, and [`Truth`] is a
//! legal forecaster that no other can beat but by luck.

mod truth;

pub use truth::Truth;

use super::Event;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How users behave for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Regime {
    /// μ by kind, in events per unit; their sum is above 0.
    pub base: Vec<f64>,
    /// `A[k][j]`: what an event of kind j adds to the intensity of kind k, in events per unit.
    pub excitation: Vec<Vec<f64>>,
    /// b, in 1 / unit.
    pub decay: f64,
}

/// A stretch of the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// How long, in events of all users; the last one goes on for ever.
    pub events: usize,
    /// Which of the process's regimes.
    pub regime: usize,
}

/// Users, regimes, and when these are in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Decides everything.
    pub seed: u64,
    /// Users, who all come from the beginning on.
    pub users: u32,
    /// The unit of the regimes, in ms; long enough for whole milliseconds to be fine.
    pub unit_ms: f64,
    /// The regimes, all of one number of kinds.
    pub regimes: Vec<Regime>,
    /// Which regime when.
    pub stretches: Vec<Stretch>,
}

impl Process {
    /// Number of kinds.
    pub fn kinds(&self) -> usize {
        self.regimes[0].base.len()
    }

    /// The regime in force at the event at `position`.
    pub fn regime(&self, position: usize) -> usize {
        let mut begin = 0;
        for stretch in &self.stretches {
            begin += stretch.events;
            if position < begin {
                return stretch.regime;
            }
        }
        self.stretches.last().map_or(0, |stretch| stretch.regime)
    }

    /// The first `events` events, in stream order. The first of each user is of any kind, within the first unit.
    pub fn events(&self, events: usize) -> Vec<Event> {
        self.draws().take(events).map(|drawn| drawn.event).collect()
    }

    /// All events, in stream order, one at a time: as [`Process::events`], without end.
    pub fn draws(&self) -> Draws {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let kinds = self.kinds();
        let coming = (0..self.users)
            .map(|user| {
                let time_ms = (uniform(&mut random) * self.unit_ms) as i64;
                let kind = (uniform(&mut random) * kinds as f64) as u32;
                Reverse((time_ms, user, kind))
            })
            .collect();
        let users = self.users as usize;
        Draws {
            process: self.clone(),
            random,
            coming,
            last: vec![0; users],
            nats: vec![f64::NAN; users],
            excited: vec![0.0; users * self.regimes.len() * kinds],
            position: 0,
        }
    }
}

/// An event of a [`Process`], and how likely it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// The event.
    pub event: Event,
    /// Which regime rules the gap after it.
    pub regime: usize,
    /// −log density of the gap before it, in units, and of its kind, given all that was known when the gap began (issue
    /// time); none of a user's first.
    pub truth_nats: Option<f64>,
}

/// The events of a [`Process`] without end.
pub struct Draws {
    process: Process,
    random: ChaCha8Rng,
    coming: BinaryHeap<Reverse<(i64, u32, u32)>>,
    /// By user: his last time, the nats of his next event, and by regime and kind the excitation right after his last.
    last: Vec<i64>,
    nats: Vec<f64>,
    excited: Vec<f64>,
    position: usize,
}

impl Iterator for Draws {
    type Item = Drawn;

    fn next(&mut self) -> Option<Drawn> {
        let Process { unit_ms, ref regimes, .. } = self.process;
        let kinds = self.process.kinds();
        let Reverse((time_ms, user, kind)) = self.coming.pop()?;
        let of = user as usize;
        let gap = (time_ms - self.last[of]) as f64 / unit_ms;
        let own = &mut self.excited[of * regimes.len() * kinds..][..regimes.len() * kinds];
        for (row, regime) in own.chunks_mut(kinds).zip(regimes) {
            let decay = (-regime.decay * gap).exp();
            row.iter_mut().for_each(|x| *x *= decay);
            row[kind as usize] += 1.0;
        }
        self.last[of] = time_ms;
        let regime = self.process.regime(self.position);
        self.position += 1;
        let truth_nats = Some(self.nats[of]).filter(|nats| !nats.is_nan());
        let (rules, own) = (&regimes[regime], &own[regime * kinds..][..kinds]);
        let (gap, next) = rules.next(own, &mut self.random);
        let gap_ms = ((gap * unit_ms).round() as i64).max(1);
        self.nats[of] = rules.nats(own, gap_ms as f64 / unit_ms, next as usize);
        self.coming.push(Reverse((time_ms + gap_ms, user, next)));
        Some(Drawn { event: Event { user, kind, time_ms }, regime, truth_nats })
    }
}

impl Regime {
    /// Draws the next gap, in units, and the next kind.
    fn next(&self, excited: &[f64], random: &mut ChaCha8Rng) -> (f64, u32) {
        let added = |row: &[f64]| row.iter().zip(excited).map(|(a, x)| a * x).sum::<f64>();
        let sum: f64 = self.excitation.iter().map(|row| added(row)).sum();
        let base: f64 = self.base.iter().sum();
        // The earlier of two: the base rate's next event, and the excitation's, which may never come.
        let constant = -uniform(random).ln() / base;
        let spent = 1.0 + self.decay * uniform(random).ln() / sum;
        let gap = if spent > 0.0 { constant.min(-spent.ln() / self.decay) } else { constant };
        let decay = (-self.decay * gap).exp();
        let mut left = uniform(random) * (base + sum * decay);
        for (kind, (base, row)) in self.base.iter().zip(&self.excitation).enumerate() {
            left -= base + added(row) * decay;
            if left < 0.0 {
                return (gap, kind as u32);
            }
        }
        (gap, self.base.len() as u32 - 1)
    }

    /// −log density of the next event `gap` units after one that left the excitation `excited`, of kind `kind`:
    /// Λ(gap) − log λ_kind(gap).
    fn nats(&self, excited: &[f64], gap: f64, kind: usize) -> f64 {
        let added = |row: &[f64]| row.iter().zip(excited).map(|(a, x)| a * x).sum::<f64>();
        let (decay, spent) = ((-self.decay * gap).exp(), -(-self.decay * gap).exp_m1() / self.decay);
        let all: f64 = self.excitation.iter().map(|row| added(row)).sum();
        let compensator = self.base.iter().sum::<f64>() * gap + all * spent;
        compensator - (self.base[kind] + added(&self.excitation[kind]) * decay).ln()
    }
}

/// Above 0, below 1.
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    ((random.next_u64() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// How many values after `back` it takes until the mean of `window` of them in a row is within `tolerance` (0.05 is
/// 5 %) of `former`: the end of the first such window. None if it never is.
pub fn events_until_back(nats: &[f64], back: usize, former: f64, tolerance: f64, window: usize) -> Option<usize> {
    let near = former + tolerance * former.abs();
    let mut windows = nats[back..].windows(window);
    windows.position(|values| values.iter().sum::<f64>() / window as f64 <= near).map(|first| first + window)
}
