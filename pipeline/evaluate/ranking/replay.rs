//! The log played again: what the live counters knew of each candidate when its request came.

use std::time::Instant;

use operators::rates::{Candidate, FORMS, INPUTS, Limits, Rates, UserRates, feature_forms};

use super::keys::{Keys, dot};
use super::log::{Log, Request};

/// Behaviors that cosines are inputs of: those that every model looks at.
const NEWEST: usize = 50;

/// Inputs of all candidates.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Their names, in order.
    pub names: Vec<String>,
    /// (candidates, names)
    pub inputs: Vec<f32>,
    /// By candidate: largest and mean cosine with the whole history.
    pub cosines: Vec<[f32; 2]>,
    /// What the counters took, in seconds.
    pub counters_s: f64,
    /// What the cosines with the whole history took, in seconds.
    pub cosines_s: f64,
}

impl Replay {
    /// Plays `log`. A request sees what is strictly older, and of its user's history the newest `history_max`.
    pub fn new(log: &Log, keys: &Keys, history_max: usize) -> Self {
        let features = log.feature_names.iter();
        let forms =
            features.flat_map(|name| ["", "_centered", "_rank", "_inverse"].map(|form| format!("{name}{form}")));
        let names: Vec<String> = INPUTS.map(str::to_owned).into_iter().chain(forms).collect();
        let mut replay = Self {
            inputs: Vec::with_capacity(names.len() * log.candidates.len()),
            names,
            cosines: Vec::with_capacity(log.candidates.len()),
            counters_s: 0.0,
            cosines_s: 0.0,
        };
        let mut counters = Counters::new(log);
        let mut seen = Seen::default();
        for request in &log.requests {
            let start = Instant::now();
            counters.until(log, request.time_ms);
            let counted = Instant::now();
            seen.look(log, keys, request, history_max);
            let looked = Instant::now();
            replay.cosines.extend(&seen.cosines);
            for (at, &item) in log.candidates[request.candidates.clone()].iter().enumerate() {
                let [cosine_max, cosine_mean] = seen.recent[at];
                let candidate = Candidate { item: u64::from(item), last_seen: seen.last[at], cosine_max, cosine_mean };
                counters.rates.inputs(&counters.users[request.user as usize], &candidate, &mut replay.inputs);
                replay.inputs.resize(replay.inputs.len() + log.features.len() * FORMS, 0.0);
            }
            replay.features(log, request);
            replay.cosines_s += (looked - counted).as_secs_f64();
            replay.counters_s += (counted - start + looked.elapsed()).as_secs_f64();
        }
        replay
    }

    fn features(&mut self, log: &Log, request: &Request) {
        let width = self.names.len();
        for (feature, values) in log.features.iter().enumerate() {
            let values = &values[request.candidates.clone()];
            let offset = request.candidates.start * width + INPUTS.len() + feature * FORMS;
            feature_forms(values, offset, width, &mut self.inputs);
        }
    }

    /// One input of all candidates.
    pub fn input(&self, name: &str) -> Vec<f32> {
        let at = self.names.iter().position(|of| of == name).expect("an input of this name");
        self.inputs.iter().skip(at).step_by(self.names.len()).copied().collect()
    }

    /// All inputs, but the cosines are those with the whole history.
    pub fn with_whole_history(&self) -> Vec<f32> {
        let at = |name: &str| INPUTS.iter().position(|of| *of == name).expect("an input of this name");
        let (max, mean) = (at("cosine_max"), at("cosine_mean"));
        let mut inputs = self.inputs.clone();
        for (row, cosines) in inputs.chunks_exact_mut(self.names.len()).zip(&self.cosines) {
            [row[max], row[mean]] = *cosines;
        }
        inputs
    }
}

/// Live counters, and how far into the log they are.
struct Counters {
    rates: Rates,
    users: Vec<UserRates>,
    behaviors: usize,
    marks: usize,
}

impl Counters {
    fn new(log: &Log) -> Self {
        let users = vec![UserRates::default(); log.users()];
        Self { rates: Rates::new(Limits::default()), users, behaviors: 0, marks: 0 }
    }

    /// Counts everything before `time_ms`.
    fn until(&mut self, log: &Log, time_ms: i64) {
        while let Some(&(user, place)) = log.order.get(self.behaviors) {
            let behavior = log.behaviors[place as usize];
            if behavior.time_ms >= time_ms {
                break;
            }
            self.rates.behavior(&mut self.users[user as usize], Some(u64::from(behavior.item)));
            self.behaviors += 1;
        }
        while let Some(mark) = log.marks.get(self.marks).filter(|mark| mark.time_ms < time_ms) {
            let user = &mut self.users[mark.user as usize];
            if mark.clicked {
                self.rates.clicked(user, u64::from(mark.item));
            } else {
                self.rates.shown(user, u64::from(mark.item));
            }
            self.marks += 1;
        }
    }
}

/// What the history of a request has to say of its candidates.
#[derive(Default)]
struct Seen {
    /// Behaviors since the last one with the candidate.
    last: Vec<Option<u32>>,
    /// Largest and mean cosine with the whole history, and with the newest of it.
    cosines: Vec<[f32; 2]>,
    recent: Vec<[f32; 2]>,
    vectors: Vec<f32>,
}

impl Seen {
    fn look(&mut self, log: &Log, keys: &Keys, request: &Request, history_max: usize) {
        let history = log.history(request, history_max);
        let candidates = &log.candidates[request.candidates.clone()];
        let vectors = keys.at(request.time_ms);
        self.last.clear();
        self.last.extend(candidates.iter().map(|&item| {
            let age = history.iter().rev().position(|behavior| behavior.item == item);
            age.map(|age| age as u32)
        }));
        self.vectors.clear();
        // Newest first; items without a vector say nothing.
        let mut newest = 0;
        for (age, behavior) in history.iter().rev().enumerate() {
            if vectors.knows(behavior.item) {
                self.vectors.extend_from_slice(vectors.of(behavior.item));
                newest += usize::from(age < NEWEST);
            }
        }
        self.cosines.clear();
        self.recent.clear();
        for &item in candidates {
            let vector = vectors.of(item);
            let (mut all, mut recent) = (Cosines::default(), [0.0; 2]);
            for (at, other) in self.vectors.chunks_exact(keys.dim).enumerate() {
                all.add(dot(vector, other));
                if at + 1 == newest {
                    recent = all.figures();
                }
            }
            self.cosines.push(all.figures());
            self.recent.push(recent);
        }
    }
}

/// Largest and mean of cosines.
#[derive(Default)]
struct Cosines {
    max: Option<f32>,
    sum: f32,
    n: usize,
}

impl Cosines {
    fn add(&mut self, cosine: f32) {
        self.max = Some(self.max.map_or(cosine, |max| max.max(cosine)));
        self.sum += cosine;
        self.n += 1;
    }

    /// Zeros of nothing.
    fn figures(&self) -> [f32; 2] {
        [self.max.unwrap_or(0.0), self.sum / self.n.max(1) as f32]
    }
}
