//! Models that score a user's candidates: one tower, and different ways to know the user's long interest.
//!
//! Every candidate has a key, a frozen unit vector (content, co-occurrence in the log, or a hash of the item), and so has
//! every behavior: what is known of a user never depends on a model's version, only on the catalogue's. Target attention
//! over the newest behaviors is the short interest S (softmax of scale cos(W_q q, W_k k) + a bias per power of two of
//! age; W begin as the identity, the scale at 5). The long interest L is one of [`Long`]. The tower is a perceptron over
//! [item and category embedding, S, q S, L, q L (dropout while training)], [q . S, 5 cos(q, S), the same of L], SimTier's
//! counts (MUSE), q itself and the inputs, standardized: live counters, and whatever request and item bring.
//!
//! Learned are the embeddings (rows of items and categories on clocks of their own: only those in a batch are touched),
//! the projections, and the tower, by binary cross-entropy and Adam.
//!
//! - this file: the forward pass as it is recorded; the backward pass follows from it;
//! - `config`: the settings and the tensors that follow from them;
//! - `examples`: [`Examples`], what comes in; `batch`: made ready for the tape; `standard`: the scale of the inputs;
//! - `model`: [`Model`], which learns; `embedding`: rows beside the tape; `table`: how they learn; `learner`: a step;
//!   `state`: saving, loading, growing;
//! - `weights`: what was learned, shared by all who score by it ([`Weights`], [`Scorer`]).

mod batch;
mod config;
mod embedding;
mod examples;
mod learner;
mod model;
mod standard;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod weights;

use config::TIER_COLUMNS;
pub use config::{Config, Long, SaTa, TIERS};
pub use examples::Examples;
pub use learner::{LearningRates, Step};
pub use model::Model;
pub use weights::{Scorer, Weights};

use crate::ops::{Axis, Chosen, Function, Ids, Rows, Similarities, Tape, Tensors, Value};

/// What a tape is recorded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The loss.
    Learn,
    /// Probabilities.
    Score,
}

/// Cosines that enter the tower are multiplied by this: a fresh tower must hear them.
const COSINE_SCALE: f64 = 5.0;
/// What the released code adds to every weight (spec muse 2.4).
const RELEASED_FLOOR: f64 = 1e-7;

/// Records the forward pass; inputs are known by their names, see `batch`.
pub(crate) struct Network<'a> {
    config: &'a Config,
    tensors: &'a Tensors,
    goal: Goal,
    pub tape: Tape,
}

/// Behaviors that attention asks.
struct Behaviors {
    keys: Value,
    actions: Option<Value>,
    ages: Ids,
}

impl<'a> Network<'a> {
    /// [`Goal::Learn`]: the loss, and the gradients of items and categories. [`Goal::Score`]: one output, probabilities.
    pub fn record(config: &'a Config, tensors: &'a Tensors, goal: Goal) -> Tape {
        let mut network = Network { config, tensors, goal, tape: Tape::new() };
        let candidate = network.tape.axis("candidate");
        let key = network.tape.input("candidate key", candidate, config.dim);
        let mut vectors = Vec::new();
        for (name, width) in [("item", config.item_width), ("category", config.category_width)] {
            if width > 0 {
                vectors.push(network.tape.trained_input(name, candidate, width).0);
            }
        }
        let mut scalars = Vec::new();
        let mut interests = Vec::new();
        if config.short > 0 {
            interests.push(network.short(key));
        }
        interests.extend(network.long(key, candidate));
        let tape = &mut network.tape;
        for interest in interests {
            vectors.extend([interest, tape.multiply(interest, key)]);
            scalars.push(tape.similarity(key, interest, COSINE_SCALE));
        }
        if config.long == Long::Muse {
            let counts = tape.input("tiers", candidate, TIER_COLUMNS);
            let weight = tape.tensor(tensors, "tiers.weight");
            scalars.push(tape.multiply(counts, weight));
        }
        scalars.push(key);
        if config.inputs > 0 {
            scalars.push(tape.input("inputs", candidate, config.inputs));
        }
        if goal == Goal::Learn && config.dropout > 0.0 && !vectors.is_empty() {
            let all = tape.concat(&vectors);
            let mask = tape.input("mask", candidate, config.vectors());
            vectors = vec![tape.multiply(all, mask)];
        }
        vectors.extend(scalars);
        let x = tape.concat(&vectors);
        network.tower(x, candidate);
        network.tape
    }

    fn tensor(&mut self, name: &str) -> Value {
        self.tape.tensor(self.tensors, name)
    }

    /// Behaviors of one axis, their inputs and their action types' embedding.
    fn behaviors(&mut self, axis: Axis, names: [&'static str; 3]) -> Behaviors {
        let keys = self.tape.input(names[0], axis, self.config.dim);
        let actions = (self.config.action_width > 0).then(|| {
            let ids = self.tape.input_ids(names[1], axis, 1);
            let embedding = self.tensor("action.embedding");
            self.tape.gather(embedding, ids, 1, axis)
        });
        Behaviors { keys, actions, ages: self.tape.input_ids(names[2], axis, 1) }
    }

    /// Target attention over the newest behaviors.
    fn short(&mut self, key: Value) -> Value {
        let recent = self.tape.axis("recent");
        let behaviors = self.behaviors(recent, ["recent key", "recent action", "recent age"]);
        self.attend("short", key, &behaviors, recent, None)
    }

    fn long(&mut self, key: Value, candidate: Axis) -> Option<Value> {
        let long = self.config.long;
        if long.needs_reads() {
            return Some(self.tape.input("read", candidate, self.config.dim));
        }
        if !long.needs_behaviors() {
            return None;
        }
        let behavior = self.tape.axis("behavior");
        let behaviors = self.behaviors(behavior, ["behavior key", "behavior action", "behavior age"]);
        if long == Long::All {
            return Some(self.attend("long", key, &behaviors, behavior, None));
        }
        let found = self.tape.axis("found");
        let ranges = self.tape.input_ids("found range", candidate, 2);
        let rows = self.tape.input_ids("found behavior", found, 1);
        let mut chosen = Chosen { ranges, rows, similarities: None, floor: 0.0 };
        if long == Long::Hard {
            return Some(self.attend("long", key, &behaviors, behavior, Some(chosen)));
        }
        let coefficients = self.tensor("long.coefficients");
        chosen.similarities =
            Some(Similarities { values: self.tape.input("found similarity", found, 1), coefficients });
        Some(self.sa_ta(key, &behaviors, chosen))
    }

    /// softmax(scale cos(W_q q, W_k k) + bias of the age), summed over keys and actions.
    fn attend(&mut self, part: &str, key: Value, behaviors: &Behaviors, axis: Axis, chosen: Option<Chosen>) -> Value {
        let [of_query, of_key, scale, ages] =
            ["query.weight", "key.weight", "scale", "age"].map(|name| self.tensor(&format!("{part}.{name}")));
        let tape = &mut self.tape;
        let query = tape.linear(key, of_query, None, None);
        let query = tape.unit(query);
        let query = tape.multiply(query, scale);
        let keys = tape.linear(behaviors.keys, of_key, None, None);
        let keys = tape.unit(keys);
        let bias = tape.gather(ages, behaviors.ages, 1, axis);
        let values = [behaviors.keys].into_iter().chain(behaviors.actions).collect();
        tape.target_attention(query, Rows { key: keys, values, bias: Some(bias) }, chosen, 1.0)
    }

    /// Attention that is aware of similarity (spec muse 2.4).
    fn sa_ta(&mut self, key: Value, behaviors: &Behaviors, mut chosen: Chosen) -> Value {
        let released = self.config.sa_ta == SaTa::Released;
        let value = match behaviors.actions {
            Some(actions) => self.tape.concat(&[behaviors.keys, actions]),
            None => behaviors.keys,
        };
        let [query, keys, value] = [("query", key), ("key", behaviors.keys), ("value", value)].map(|(name, x)| {
            let weight = self.tensor(&format!("long.{name}.weight"));
            let bias = released.then(|| self.tensor(&format!("long.{name}.bias")));
            let y = self.tape.linear(x, weight, bias, None);
            if released { self.tape.apply(Function::Silu, y, None) } else { y }
        });
        let scale = if released { 1.0 } else { 1.0 / (self.config.dim as f64).sqrt() };
        chosen.floor = if released { RELEASED_FLOOR } else { 0.0 };
        self.tape.target_attention(query, Rows { key: keys, values: vec![value], bias: None }, Some(chosen), scale)
    }

    fn tower(&mut self, x: Value, candidate: Axis) {
        let mut x = x;
        for layer in 0..3 {
            let [weight, bias] = ["weight", "bias"].map(|name| self.tensor(&format!("tower.{layer}.{name}")));
            x = self.tape.linear(x, weight, Some(bias), None);
            if layer < 2 {
                x = self.tape.apply(Function::Relu, x, None);
            }
        }
        let tape = &mut self.tape;
        if self.goal == Goal::Score {
            let p = tape.apply(Function::Sigmoid, x, None);
            tape.output(p);
            return;
        }
        // -ln p(label) = ln(1 + e^x) where the label is 0, ln(1 + e^-x) where it is 1.
        let signs = tape.input("sign", candidate, 1);
        let x = tape.multiply(x, signs);
        let entropy = tape.apply(Function::Softplus, x, None);
        let weights = tape.input("weight", candidate, 1);
        tape.loss(entropy, weights);
    }
}
