//! Users' events as a caller has them, made ready for the tape: times relative, ragged, in f32.

use super::sketch::sketches;
use super::{Config, Goal};
use crate::Error;
use crate::ops::{ALL_TYPES, Feed, Gap, Real, Tape, time_encoding};

/// Slowest over fastest frequency, nearly, of the encodings of times and of places in the window.
const TIME_BASE: f64 = 10_000.0;
const PLACE_BASE: f64 = 100.0;
const DAY_MS: i64 = 86_400_000;

/// In place of a time: there is none.
pub const NEVER_MS: i64 = i64::MIN;

/// A batch of sequences, each the recent window of one user, oldest event first.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// (sequences + 1): sequence b has the events `offsets[b]..offsets[b + 1]`, at least one.
    pub offsets: &'a [u32],
    /// (events): below [`Config::types`].
    pub types: &'a [u32],
    /// (events): milliseconds, not falling within a sequence.
    pub times_ms: &'a [i64],
    /// (sequences): the first so many events, the newest of them, choose the prompts; they are never targets. Best all
    /// before the first target.
    pub context: &'a [u32],
    /// (sequences): the first event that is a target, at least `context` and 1; all before it are only looked at. Only
    /// for learning and scoring.
    pub first_target: &'a [u32],
    /// (sequences): until then no event came after the last one ([`NEVER_MS`]: not known). Only for learning and
    /// scoring.
    pub open_until_ms: &'a [i64],
}

impl Batch<'_> {
    /// How many sequences there are.
    pub fn sequences(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    pub(super) fn range(&self, sequence: usize) -> std::ops::Range<usize> {
        self.offsets[sequence] as usize..self.offsets[sequence + 1] as usize
    }

    /// The targets of a sequence, as events of the batch.
    pub(crate) fn targets(&self, sequence: usize) -> std::ops::Range<usize> {
        let range = self.range(sequence);
        (range.start + self.first_target[sequence] as usize).min(range.end)..range.end
    }

    /// # Errors
    /// [`Error::Shape`] that names the first fault.
    pub(crate) fn check(&self, types: usize) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Shape(format!("a batch of sequences is malformed: {what}")));
        let (sequences, events) = (self.sequences(), self.types.len());
        if self.offsets.first() != Some(&0) || self.offsets.last() != Some(&(events as u32)) {
            return wrong(format!("offsets must go from 0 to the {events} types"));
        }
        if self.times_ms.len() != events {
            return wrong(format!("{} times of {events} events", self.times_ms.len()));
        }
        let found = [self.context.len(), self.first_target.len(), self.open_until_ms.len()];
        if found != [sequences; 3] {
            return wrong(format!("{found:?} contexts, first targets and open gaps of {sequences} sequences"));
        }
        if let Some(b) = (0..sequences).find(|&b| self.first_target[b] < self.context[b].max(1)) {
            let (first, context) = (self.first_target[b], self.context[b]);
            return wrong(format!("the first target of sequence {b} is {first}, within its context of {context}"));
        }
        if let Some(b) = (0..sequences).find(|&b| self.offsets[b] >= self.offsets[b + 1]) {
            return wrong(format!("sequence {b} has no event"));
        }
        if let Some(b) = (0..sequences).find(|&b| !self.times_ms[self.range(b)].is_sorted()) {
            return wrong(format!("the times of sequence {b} fall"));
        }
        if let Some(&kind) = self.types.iter().find(|&&kind| kind as usize >= types) {
            return wrong(format!("type {kind} of a model with {types} types; call grow first"));
        }
        Ok(())
    }
}

/// What a feed needs beside the batch.
pub(crate) struct Making<'a, T> {
    pub config: &'a Config,
    pub goal: Goal,
    /// Per pool (pool): subtracted from the cosines before the choice.
    pub penalties: &'a [Vec<T>],
    /// Where in its cell each sample of an integral stands, in [0, 1); drawn in order.
    pub position: &'a mut dyn FnMut() -> f64,
    /// Samples of an integral.
    pub samples: usize,
    /// [`Goal::Forecast`]: per sequence the times at which intensities are asked for.
    pub grid: Option<(&'a [u32], &'a [i64])>,
}

/// A query row: what is known of the gap after the `newest` event of its sequence.
struct Query {
    newest: usize,
    visible: u32,
    gap_ms: i64,
    kind: Gap,
    next: u32,
}

impl<T: Real> Making<'_, T> {
    /// The feed of a checked batch.
    pub fn feed(&mut self, tape: &Tape, batch: &Batch<'_>) -> Feed<T> {
        let config = self.config;
        let mut feed = tape.feed::<T>();
        feed.sequences = batch.sequences();
        let queries: Vec<Vec<Query>> = (0..feed.sequences).map(|b| self.queries(batch, b)).collect();
        let targets = queries.iter().flatten().filter(|query| query.kind == Gap::Closed).count().max(1);
        let grid = self.grid(batch, &queries);
        let per_prompt = (config.chosen * config.prompt_rows) as u32;
        for (name, offsets) in tape.axes.iter().zip(&mut feed.offsets) {
            *offsets = match *name {
                "event" => batch.offsets.to_vec(),
                "prefix" => steps(feed.sequences, |_| per_prompt),
                "state prompt" => steps(feed.sequences, |_| config.chosen as u32),
                "query" if config.forecasts => steps(feed.sequences, |b| queries[b].len() as u32),
                "node" if config.forecasts && self.goal == Goal::Forecast => {
                    steps(feed.sequences, |b| (queries[b].len() * 3 * config.components) as u32)
                }
                "grid" if config.intensity => grid.offsets.clone(),
                "sequence" => steps(feed.sequences, |_| 1),
                _ => steps(feed.sequences, |_| 0),
            };
        }
        let mut queries: Vec<Query> = queries.into_iter().flatten().collect();
        if !config.forecasts {
            queries.clear();
        }
        self.fill_ids(tape, batch, &queries, &grid, &mut feed);
        let places: Vec<u32> = (0..feed.sequences).flat_map(|b| 0..batch.range(b).len() as u32).collect();
        let mut penalties = self.penalties.iter();
        let match_weight = config.match_weight / feed.sequences.max(1) as f64;
        let one = |query: &Query| T::of(1.0 / targets as f64 * f64::from(u8::from(query.kind == Gap::Closed)));
        for (n, (name, _)) in tape.inputs.iter().enumerate() {
            feed.floats[n] = match *name {
                "time" => self.encode(&since_first(batch, config), |i| places[i]),
                "query time" => {
                    let times = since_first(batch, config);
                    let newest: Vec<f64> = queries.iter().map(|query| times[query.newest]).collect();
                    self.encode(&newest, |n| queries[n].visible - 1)
                }
                "prompt time" => self.encode(&prompt_times(batch, config), |b| batch.context[b]),
                "grid time" => self.encode(&grid.times, |n| grid.visible[n] - 1),
                "match weight" => {
                    let weight = |b: usize| if batch.context[b] > 0 { T::of(match_weight) } else { T::ZERO };
                    (0..feed.sequences).map(weight).collect()
                }
                "features" => features(batch, config, 0..batch.types.len()),
                "sketch" => sketches(batch, config),
                "newest features" => features(batch, config, queries.iter().map(|query| query.newest)),
                "gap" => queries.iter().map(|query| T::of(config.standardized(query.gap_ms))).collect(),
                "gap weight" => vec![T::of(1.0 / targets as f64); queries.len()],
                "type weight" => queries.iter().map(one).collect(),
                "intensity weight" => grid.weights.iter().map(|&w| T::of(w / targets as f64)).collect(),
                "penalty" => penalties.next().expect("one penalty per pool").clone(),
                other => unreachable!("no input is named {other}"),
            };
        }
        feed
    }

    fn fill_ids(&self, tape: &Tape, batch: &Batch<'_>, queries: &[Query], grid: &Grid, feed: &mut Feed<T>) {
        let config = self.config;
        for (n, (name, _)) in tape.id_inputs.iter().enumerate() {
            feed.ids[n] = match *name {
                "context" => (0..feed.sequences).map(|b| batch.context[b].min(batch.range(b).len() as u32)).collect(),
                "state prompts" => vec![config.chosen as u32; feed.sequences],
                "type" => batch.types.to_vec(),
                "types before" => types_before(batch, config, 0..batch.types.len()),
                "types before newest" => types_before(batch, config, queries.iter().map(|query| query.newest)),
                "visible" => {
                    let own = u32::from(config.self_token);
                    (0..feed.sequences).flat_map(|b| (0..batch.range(b).len() as u32).map(move |i| i + own)).collect()
                }
                "visible to queries" => queries.iter().map(|query| query.visible).collect(),
                "newest type" => queries.iter().map(|query| batch.types[query.newest]).collect(),
                "gap kind" => queries.iter().map(|query| query.kind as u32).collect(),
                "next type" => queries.iter().map(|query| query.next).collect(),
                "newest type of grid" => grid.newest.iter().map(|&i| batch.types[i]).collect(),
                "visible to grid" => grid.visible.clone(),
                "intensity type" => grid.types.clone(),
                other => unreachable!("no indexes are named {other}"),
            };
        }
    }

    /// The query rows of one sequence.
    fn queries(&self, batch: &Batch<'_>, b: usize) -> Vec<Query> {
        let range = batch.range(b);
        let last = range.end - 1;
        let after_last = |gap_ms, kind| Query { newest: last, visible: range.len() as u32, gap_ms, kind, next: 0 };
        if self.goal == Goal::Forecast {
            return vec![after_last(0, Gap::Open)];
        }
        let target = |j: usize| Query {
            newest: j - 1,
            visible: (j - range.start) as u32,
            gap_ms: batch.times_ms[j].saturating_sub(batch.times_ms[j - 1]),
            kind: Gap::Closed,
            next: batch.types[j],
        };
        let mut queries: Vec<Query> = batch.targets(b).map(target).collect();
        let until = batch.open_until_ms[b];
        if until != NEVER_MS {
            queries.push(after_last(until.saturating_sub(batch.times_ms[last]).max(0), Gap::Open));
        }
        queries
    }

    /// Encodings of times, in units, and of places in the window.
    fn encode(&self, times: &[f64], place: impl Fn(usize) -> u32) -> Vec<T> {
        let (width, all) = (self.config.time_width, self.config.encoding());
        let mut rows = vec![T::ZERO; times.len() * all];
        let times: Vec<f64> = times.iter().map(|time| time / self.config.encoding_units).collect();
        time_encoding(&times, width, &mut rows, (0, all), TIME_BASE);
        let places: Vec<f64> = (0..times.len()).map(|n| f64::from(place(n))).collect();
        time_encoding(&places, self.config.order_width, &mut rows, (width, all), PLACE_BASE);
        rows
    }

    /// Rows of the intensity head: per target the event's own moment and the samples of its gap.
    fn grid(&mut self, batch: &Batch<'_>, queries: &[Vec<Query>]) -> Grid {
        let mut grid = Grid { offsets: vec![0], ..Grid::default() };
        if !self.config.intensity {
            return grid;
        }
        for (b, queries) in queries.iter().enumerate() {
            let first = batch.times_ms[batch.range(b).start];
            let at = |ms: i64| ms.saturating_sub(first) as f64 / self.config.unit_ms;
            if let Some((offsets, times)) = self.grid {
                let sight = (batch.range(b).end - 1, batch.range(b).len() as u32);
                let asked = &times[offsets[b] as usize..offsets[b + 1] as usize];
                asked.iter().for_each(|&ms| grid.push(at(ms), sight, ALL_TYPES, 0.0));
            } else if self.goal == Goal::Learn {
                for query in queries {
                    let (start, gap) = (at(batch.times_ms[query.newest]), query.gap_ms as f64 / self.config.unit_ms);
                    if query.kind == Gap::Closed {
                        grid.push(start + gap, (query.newest, query.visible), query.next, 1.0);
                    }
                    for s in 0..self.samples {
                        let part = (s as f64 + (self.position)()) / self.samples as f64;
                        let weight = gap / self.samples as f64;
                        grid.push(start + gap * part, (query.newest, query.visible), ALL_TYPES, weight);
                    }
                }
            }
            grid.offsets.push(grid.times.len() as u32);
        }
        grid
    }
}

#[derive(Default)]
struct Grid {
    offsets: Vec<u32>,
    times: Vec<f64>,
    visible: Vec<u32>,
    newest: Vec<usize>,
    types: Vec<u32>,
    weights: Vec<f64>,
}

impl Grid {
    fn push(&mut self, time: f64, (newest, visible): (usize, u32), kind: u32, weight: f64) {
        self.times.push(time);
        self.visible.push(visible);
        self.newest.push(newest);
        self.types.push(kind);
        self.weights.push(weight);
    }
}

impl Config {
    /// The logarithm of a gap, in units, standardized; below 1 ms as 1 ms.
    pub(crate) fn standardized(&self, gap_ms: i64) -> f64 {
        ((gap_ms.max(1) as f64 / self.unit_ms).ln() - self.log_gap_mean) / self.log_gap_deviation
    }
}

fn steps(sequences: usize, rows: impl Fn(usize) -> u32) -> Vec<u32> {
    let mut sum = 0;
    let rest = (0..sequences).map(|b| {
        sum += rows(b);
        sum
    });
    std::iter::once(0).chain(rest).collect()
}

/// Each event's time since the first of its sequence, in units.
fn since_first(batch: &Batch<'_>, config: &Config) -> Vec<f64> {
    let of_sequence = |b: usize| {
        let times = &batch.times_ms[batch.range(b)];
        times.iter().map(|&ms| ms.saturating_sub(times[0]) as f64 / config.unit_ms)
    };
    (0..batch.sequences()).flat_map(of_sequence).collect()
}

/// Per sequence: the last context event's time plus the mean gap of the context; zero without context.
fn prompt_times(batch: &Batch<'_>, config: &Config) -> Vec<f64> {
    let of_sequence = |b: usize| {
        let times = &batch.times_ms[batch.range(b)];
        let context = (batch.context[b] as usize).min(times.len());
        if context == 0 {
            return 0.0;
        }
        let since = times[context - 1].saturating_sub(times[0]) as f64 / config.unit_ms;
        since + since / (context - 1).max(1) as f64
    };
    (0..batch.sequences()).map(of_sequence).collect()
}

/// Each event's first of its sequence.
fn firsts(batch: &Batch<'_>) -> Vec<usize> {
    (0..batch.sequences()).flat_map(|b| batch.range(b).map(move |_| batch.range(b).start)).collect()
}

/// Per event the types of those before it, newest first, plus 1; 0 where there is none.
fn types_before(batch: &Batch<'_>, config: &Config, events: impl IntoIterator<Item = usize>) -> Vec<u32> {
    let firsts = firsts(batch);
    let before = |i: usize, lag: usize| if i - firsts[i] >= lag { batch.types[i - lag] + 1 } else { 0 };
    events
        .into_iter()
        .flat_map(|i| (1..=config.before()).map(move |lag| (i, lag)))
        .map(|(i, lag)| before(i, lag))
        .collect()
}

/// Per event, of itself and of those before it, zero where there is none: the standardized logarithm of the gap and
/// whether there was one; the time of day and of week as angles.
fn features<T: Real>(batch: &Batch<'_>, config: &Config, events: impl IntoIterator<Item = usize>) -> Vec<T> {
    let (columns, firsts) = (config.features(), firsts(batch));
    let mut single = Vec::with_capacity(batch.types.len() * columns);
    for (i, &first) in firsts.iter().enumerate() {
        if config.gap_inputs {
            let gap = (i > first).then(|| batch.times_ms[i].saturating_sub(batch.times_ms[i - 1]));
            single.push(T::of(gap.map_or(0.0, |gap| config.standardized(gap))));
            single.push(if gap.is_some() { T::ONE } else { T::ZERO });
        }
        if config.clock_inputs {
            for period in [DAY_MS, 7 * DAY_MS] {
                let angle = batch.times_ms[i].rem_euclid(period) as f64 / period as f64 * std::f64::consts::TAU;
                single.extend([T::of(angle.sin()), T::of(angle.cos())]);
            }
        }
    }
    let mut features = Vec::new();
    for i in events {
        for lag in 0..config.recent {
            match i.checked_sub(lag).filter(|&at| at >= firsts[i]) {
                Some(at) => features.extend_from_slice(&single[at * columns..(at + 1) * columns]),
                None => features.resize(features.len() + columns, T::ZERO),
            }
        }
    }
    features
}
