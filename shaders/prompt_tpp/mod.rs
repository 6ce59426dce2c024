//! PromptTPP (Xue et al., NeurIPS 2023): a temporal point process with a pool of prompts that learns continually.
//!
//! Given a user's last events, the model says when his next event comes and of which type. The history is encoded by
//! attention (A-NHP, Yang et al. 2022): events attend to earlier events and to a prefix of prompts, and a query row,
//! standing for "after the last event", to all events before it. Each head and layer has a pool for its keys and one
//! for its values: prompts with a key each; those whose keys are nearest to the user's context are taken. The context
//! is what the user did before the first target, so that the choice cannot see what it helps to forecast. One pool more
//! has prompts that are added to the state which the forecasting head reads.
//!
//! Two heads read the query row. The forecasting head is a mixture of log-normal distributions of the gap and a
//! distribution of the type given the gap (intensity-free, Shchur et al. 2020). The intensity head, beside it, gives
//! lambda_k(t) by a scaled softplus, integrated over stratified samples.
//!
//! What deviates from the published code, which leaks the future into the past: masks, retrieval and the time of the
//! prompts are causal; the event rows are computed once, the query rows against them; training sees the survival of
//! the gap that is still open at the end of a window.
//!
//! - this file: the forward pass as it is recorded; the backward pass follows from it;
//! - `config`: the settings and the tensors that follow from them;
//! - `batch`: users' events as they come, made ready for the tape; `sketch`: what chooses the prompts;
//! - `model`: [`Model`], the public face; `start`: how it begins; `learner`: its step; `regimes`: prompts that are spare,
//!   in use, or wait for their regime; `state`: saving, loading, growing;
//! - `forecast`: what a mixture says about gaps.

mod batch;
pub mod bench;
mod config;
mod forecast;
mod learner;
mod model;
mod regimes;
mod sketch;
mod start;
mod state;
#[cfg(test)]
mod tests;

pub use batch::{Batch, NEVER_MS};
use config::Part;
pub use config::{Config, SIGMA_MIN};
pub use forecast::{Forecasts, Mixture};
pub use learner::{LearningRates, Step};
pub use model::{Model, Scores};
use sketch::SKETCH;

use crate::ops::{Axis, Form, Function, Ids, KeyValue, Owner, Tape, Tensors, Value};

/// What a tape is recorded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Losses of every target.
    Learn,
    /// The mixture and the types' distribution of every query row.
    Forecast,
}

/// Places of the results of a tape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// Losses: of the match.
    pub distances: Vec<usize>,
    /// Outputs of [`Goal::Learn`]: -ln of the standardized density of the gap, or of its survival; -ln p(type | gap).
    pub gap: Option<usize>,
    pub kind: Option<usize>,
    /// Outputs of the intensity head: -ln lambda or the sum of lambdas, and all lambdas.
    pub intensity_term: Option<usize>,
    pub intensities: Option<usize>,
    /// Outputs of [`Goal::Forecast`].
    pub mixture: Option<usize>,
    pub types: Option<usize>,
}

/// The forward pass, recorded.
#[derive(Debug)]
pub(crate) struct Network {
    pub tape: Tape,
    pub places: Places,
}

/// Query rows of one head: each looks at the first events of its sequence, as many as are visible.
struct Queries {
    times: Value,
    visible: Ids,
    /// What rows start from; canonically zero.
    start: Option<Value>,
}

impl Network {
    /// Records the forward pass. Inputs, in this order: see [`batch`].
    pub fn record(config: &Config, tensors: &Tensors, goal: Goal) -> Network {
        let mut network = Network { tape: Tape::new(), places: Places::default() };
        let tape = &mut network.tape;
        let (sequence, event, prefix) = (tape.axis("sequence"), tape.axis("event"), tape.axis("prefix"));
        let (query, grid, node) = (tape.axis("query"), tape.axis("grid"), tape.axis("node"));
        let context = tape.input_ids("context", sequence, 1);
        let types = tape.input_ids("type", event, 1);
        let visible = tape.input_ids("visible", event, 1);
        let times = tape.input("time", event, config.encoding());
        let prompt_times = tape.input("prompt time", sequence, config.encoding());
        let match_weights = tape.input("match weight", sequence, 1);
        let visible_to_queries = tape.input_ids("visible to queries", query, 1);
        let query_times = tape.input("query time", query, config.encoding());

        let (z, _) = network.events(config, tensors, ["", "", "features"], types, event);
        let (mut start, mut newest_features) = (None, None);
        if config.recent > 0 {
            let newest = network.tape.input_ids("newest type", query, 1);
            let names = ["query.", "newest ", "newest features"];
            let (row, features) = network.events(config, tensors, names, newest, query);
            (start, newest_features) = (Some(row), features);
        }
        let about = if config.retrieval > 0 {
            network.tape.input("sketch", sequence, SKETCH)
        } else {
            let tape = &mut network.tape;
            let of_types = tape.segment(z, context, true, sequence).detached();
            let of_times = tape.segment(times, context, true, sequence);
            tape.concat(&[of_types, of_times])
        };
        let tape = &mut network.tape;

        let mut all = Vec::new();
        if config.forecasts {
            all.push(Queries { times: query_times, visible: visible_to_queries, start });
        }
        if config.intensity {
            let visible = tape.input_ids("visible to grid", grid, 1);
            let times = tape.input("grid time", grid, config.encoding());
            let start = (config.recent > 0).then(|| {
                let newest = tape.input_ids("newest type of grid", grid, 1);
                let embedding = tape.tensor(tensors, "query.embedding");
                let row = tape.gather(embedding, newest, 1, grid);
                tape.apply(Function::Tanh, row, None)
            });
            all.push(Queries { times, visible, start });
        }
        let encoder = Encoder { config, tensors, prefix, context, visible, times, prompt_times, match_weights };
        let mut states = encoder.record(&mut network, z, about, &all).into_iter();
        if config.forecasts {
            let mut state = states.next().expect("one state per kind of query");
            if let Some(features) = newest_features {
                state = network.tape.concat(&[state, features]);
            }
            if config.state_prompts {
                let prompts = encoder.state_prompts(&mut network, sequence, about);
                state = network.tape.expand(state, prompts, Owner::Sequence);
            }
            network.forecasting_head(config, tensors, state, goal, (query, node));
        }
        if config.intensity {
            let state = states.next().expect("one state per kind of query");
            network.intensity_head(tensors, state, goal, grid);
        }
        network
    }

    /// tanh of what an event and the few before it bring, their types and features; and the features as they are.
    fn events(
        &mut self,
        config: &Config,
        tensors: &Tensors,
        names: [&'static str; 3],
        types: Ids,
        axis: Axis,
    ) -> (Value, Option<Value>) {
        let (tape, [tensor, input, features]) = (&mut self.tape, names);
        let embedding = tape.tensor(tensors, &format!("{tensor}embedding"));
        let mut z = tape.gather(embedding, types, 1, axis);
        if config.before() > 0 {
            let name = if input.is_empty() { "types before" } else { "types before newest" };
            let before = tape.input_ids(name, axis, config.before());
            let embedding = tape.tensor(tensors, "before.embedding");
            let rows = tape.gather(embedding, before, 1, axis);
            let weight = tape.tensor(tensors, &format!("{tensor}before.weight"));
            z = tape.linear(rows, weight, None, Some(z));
        }
        let brings_features = config.recent > 0 && config.features() > 0;
        let features = brings_features.then(|| tape.input(features, axis, config.recent * config.features()));
        if let Some(features) = features {
            let weight = tape.tensor(tensors, &format!("{tensor}features.weight"));
            z = tape.linear(features, weight, None, Some(z));
        }
        (tape.apply(Function::Tanh, z, None), features)
    }

    /// A mixture of the gap, and the types given the gap.
    fn forecasting_head(
        &mut self,
        config: &Config,
        tensors: &Tensors,
        state: Value,
        goal: Goal,
        (query, node): (Axis, Axis),
    ) {
        let tape = &mut self.tape;
        let [weight, bias] = ["gap.weight", "gap.bias"].map(|name| tape.tensor(tensors, name));
        let mixture = tape.linear(state, weight, Some(bias), None);
        let map = tape.tensor(tensors, "calibration.time");
        let mixture = tape.affine_mixture(mixture, map);
        let [weight, bias] = ["type.state.weight", "type.state.bias"].map(|name| tape.tensor(tensors, name));
        let about_state = tape.linear(state, weight, Some(bias), None);
        let of_gap = tape.tensor(tensors, "type.gap.weight");
        let [weight, bias, shift] =
            ["type.weight", "type.bias", "calibration.type"].map(|name| tape.tensor(tensors, name));
        let logits = |tape: &mut Tape, hidden: Value| {
            let hidden = tape.apply(Function::Tanh, hidden, None);
            let logits = tape.linear(hidden, weight, Some(bias), None);
            tape.expand(logits, shift, Owner::Table)
        };
        if goal == Goal::Learn {
            let gap = tape.input("gap", query, 1);
            let kinds = tape.input_ids("gap kind", query, 1);
            let of_gaps = tape.mixture(mixture, gap, kinds, config.floor());
            let gap_weights = tape.input("gap weight", query, 1);
            tape.loss(of_gaps, gap_weights);
            let bumps = tape.bumps(gap);
            let hidden = tape.linear(bumps, of_gap, None, Some(about_state));
            let logits = logits(tape, hidden);
            let next = tape.input_ids("next type", query, 1);
            let of_types = tape.cross_entropy(logits, next);
            let type_weights = tape.input("type weight", query, 1);
            tape.loss(of_types, type_weights);
            self.places.gap = Some(tape.output(of_gaps));
            self.places.kind = Some(tape.output(of_types));
        } else {
            // The types' distribution with the gap integrated out: a sum over nodes of the mixture.
            let (nodes, weights) = tape.mixture_nodes(mixture, config.floor(), node);
            let bumps = tape.bumps(nodes);
            let hidden = tape.linear(bumps, of_gap, None, None);
            let hidden = tape.expand(hidden, about_state, Owner::Group(3 * config.components));
            let logits = logits(tape, hidden);
            let shares = tape.softmax(logits);
            let shares = tape.weighted_sum(shares, weights, 3 * config.components, query);
            self.places.mixture = Some(tape.output(mixture));
            self.places.types = Some(tape.output(shares));
        }
    }

    fn intensity_head(&mut self, tensors: &Tensors, state: Value, goal: Goal, grid: Axis) {
        let tape = &mut self.tape;
        let [weight, bias, log_scale] =
            ["intensity.weight", "intensity.bias", "intensity.log_scale"].map(|name| tape.tensor(tensors, name));
        let x = tape.linear(state, weight, Some(bias), None);
        let intensities = tape.intensity(x, log_scale);
        self.places.intensities = Some(tape.output(intensities));
        if goal == Goal::Learn {
            let types = tape.input_ids("intensity type", grid, 1);
            let weights = tape.input("intensity weight", grid, 1);
            let terms = tape.intensity_term(intensities, types);
            tape.loss(terms, weights);
            self.places.intensity_term = Some(tape.output(terms));
        }
    }
}

/// Both streams of the attention: event rows z, once, and query rows c against them (spec 2.4).
struct Encoder<'a> {
    config: &'a Config,
    tensors: &'a Tensors,
    prefix: Axis,
    context: Ids,
    visible: Ids,
    times: Value,
    prompt_times: Value,
    match_weights: Value,
}

impl Encoder<'_> {
    /// The states of all heads, side by side, per kind of query.
    fn record(&self, network: &mut Network, start: Value, about: Value, queries: &[Queries]) -> Vec<Value> {
        let form = if self.config.self_token { Form::SelfToken } else { Form::OnePlus };
        let mut states = vec![Vec::new(); queries.len()];
        for head in 0..self.config.heads {
            let mut z = start;
            let mut c: Vec<Option<Value>> = queries.iter().map(|queries| queries.start).collect();
            for layer in 0..self.config.layers {
                let at = format!("head{head}.layer{layer}");
                let prefix = KeyValue {
                    key: self.prompts(network, &at, "key", about),
                    value: self.prompts(network, &at, "value", about),
                };
                let tape = &mut network.tape;
                let key = self.project(tape, &at, "key", Some(z), self.times);
                let rows = KeyValue { key, value: self.project(tape, &at, "value", Some(z), self.times) };
                for (queries, c) in queries.iter().zip(&mut c) {
                    let query = self.project(tape, &at, "query", *c, queries.times);
                    let own = self.config.self_token.then(|| KeyValue {
                        key: self.project(tape, &at, "key", *c, queries.times),
                        value: self.project(tape, &at, "value", *c, queries.times),
                    });
                    let o = tape.attention(form, query, rows, prefix, own, queries.visible);
                    *c = Some(tape.apply(Function::Tanh, o, *c));
                }
                // Nothing looks at the events after the last layer.
                if layer + 1 < self.config.layers {
                    let query = self.project(tape, &at, "query", Some(z), self.times);
                    let o = tape.attention(form, query, rows, prefix, None, self.visible);
                    z = tape.apply(Function::Tanh, o, Some(z));
                }
            }
            states.iter_mut().zip(c).for_each(|(states, c)| states.extend(c));
        }
        states.iter().map(|states| network.tape.concat(states)).collect()
    }

    /// [x ; times] W + b, where no x is as if it were zero. Relative: x W + b, queries and keys turned by times.
    fn project(&self, tape: &mut Tape, at: &str, name: &str, x: Option<Value>, times: Value) -> Value {
        let d = self.config.width;
        let weight = tape.tensor(self.tensors, &format!("{at}.{name}.weight"));
        let bias = tape.tensor(self.tensors, &format!("{at}.{name}.bias"));
        if self.config.relative {
            let y = tape.linear(x.expect("query rows start from the newest event"), weight, Some(bias), None);
            return if name == "value" { y } else { tape.rotate(y, times) };
        }
        let of_times = tape.rows_of(weight, d..d + self.config.encoding());
        let y = tape.linear(times, of_times, Some(bias), None);
        let Some(x) = x else { return y };
        let of_x = tape.rows_of(weight, 0..d);
        tape.linear(x, of_x, None, Some(y))
    }

    /// The mean of the chosen prompts of the pool of states.
    fn state_prompts(&self, network: &mut Network, sequence: Axis, about: Value) -> Value {
        let chosen = self.choose(network, "state", about);
        let tape = &mut network.tape;
        let (axis, count) = (tape.axis("state prompt"), tape.input_ids("state prompts", sequence, 1));
        let prompts = tape.tensor(self.tensors, "state.prompts");
        let rows = tape.gather(prompts, chosen, 1, axis);
        tape.segment(rows, count, true, sequence)
    }

    /// The prompts of the pool at `at` whose keys are nearest to what the context is about.
    fn choose(&self, network: &mut Network, at: &str, about: Value) -> Ids {
        let tape = &mut network.tape;
        let keys = tape.tensor(self.tensors, &format!("{at}.keys"));
        let cosines = tape.cosine(about, keys);
        let penalty = tape.input("penalty", Axis::Table(self.config.pool), 1);
        let chosen = tape.top(cosines, Some(penalty), self.context, self.config.chosen);
        tape.output_ids(chosen);
        let distance = tape.distance(cosines, chosen);
        network.places.distances.push(tape.loss(distance, self.match_weights));
        chosen
    }

    /// The chosen prompts of one pool, projected like the rows beside which they stand (spec 3).
    fn prompts(&self, network: &mut Network, at: &str, name: &str, about: Value) -> Value {
        let chosen = self.choose(network, &format!("{at}.{name}"), about);
        let (tape, d) = (&mut network.tape, self.config.width);
        let weight = tape.tensor(self.tensors, &format!("{at}.{name}.weight"));
        let bias = tape.tensor(self.tensors, &format!("{at}.{name}.bias"));
        let prompts = tape.tensor(self.tensors, &format!("{at}.{name}.prompts"));
        if self.config.relative {
            let projected = tape.linear(prompts, weight, Some(bias), None);
            return tape.gather(projected, chosen, self.config.prompt_rows, self.prefix);
        }
        let (of_x, of_times) = (tape.rows_of(weight, 0..d), tape.rows_of(weight, d..d + self.config.encoding()));
        let projected = tape.linear(prompts, of_x, None, None);
        let rows = tape.gather(projected, chosen, self.config.prompt_rows, self.prefix);
        let of_prompt_times = tape.linear(self.prompt_times, of_times, Some(bias), None);
        tape.expand(rows, of_prompt_times, Owner::Sequence)
    }
}
