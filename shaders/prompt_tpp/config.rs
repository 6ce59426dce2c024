//! The settings of a model, and the tensors that follow from them.

use super::sketch::SKETCH;
use crate::Error;
use crate::ops::{BUMPS, COMPONENTS_MAX, Tensors};

/// The sizes of a model and the scales of its stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Types of events, K; see [`Model::grow`](super::Model::grow).
    pub types: usize,
    /// Width of a head, d.
    pub width: usize,
    /// Width of a time encoding, even.
    pub time_width: usize,
    /// Width of an encoding of events' places in the window, even; canonically 0.
    pub order_width: usize,
    /// Whether the encodings turn queries and keys (rotary encoding) instead of standing beside what is projected:
    /// then only differences of times and places matter. Canonically not. Needs `recent`.
    pub relative: bool,
    /// Heads, each a stack of its own.
    pub heads: usize,
    /// Layers of each head.
    pub layers: usize,
    /// Prompts in a pool, M.
    pub pool: usize,
    /// Prompts chosen, N.
    pub chosen: usize,
    /// Rows of a prompt.
    pub prompt_rows: usize,
    /// Whether there is one pool more, whose prompts are added to what the forecasting head reads. Canonically not.
    pub state_prompts: bool,
    /// How many of the context's newest events choose the prompts, by what they bring. Canonically 0: all of them, by
    /// their types and times.
    pub retrieval: usize,
    /// How far a batch must be from the nearest keys, as a part of its own spread, for spare prompts to be taken; see
    /// `regimes`. Canonically 0: there are no spare ones, all can be chosen from the beginning.
    pub novelty: f64,
    /// Width of the type head's hidden layer.
    pub hidden: usize,
    /// Components of the mixture of the gap.
    pub components: usize,
    /// What the attention's weights are normalized by.
    pub self_token: bool,
    /// How many of the newest events a row sees at once, its own among them: a short causal convolution. Query rows
    /// start from the same of the newest event. Canonically 0: events bring their type alone, query rows start at zero.
    pub recent: usize,
    /// Whether events bring the logarithm of their gap.
    pub gap_inputs: bool,
    /// Whether events bring the time of day and the day of the week (UTC).
    pub clock_inputs: bool,
    /// Whether the forecasting head is there.
    pub forecasts: bool,
    /// Whether the intensity head is there.
    pub intensity: bool,
    /// Samples of the intensity's integral over each gap while training, and while scoring.
    pub samples: [usize; 2],
    /// The stream's unit of time in ms; best its median gap.
    pub unit_ms: f64,
    /// Units of time per unit of the time encoding, whose slowest period is 63,000 of them.
    pub encoding_units: f64,
    /// Mean of ln(gap / unit) on the stream.
    pub log_gap_mean: f64,
    /// Standard deviation of ln(gap / unit) on the stream.
    pub log_gap_deviation: f64,
    /// Weight of the distance between chosen keys and the context.
    pub match_weight: f64,
    /// How much a prompt's share of past choices counts against it while training.
    pub usage_weight: f64,
    /// Steps between two updates of the pool.
    pub pool_interval: u64,
    /// Steps over which the learning rate rises.
    pub rise_steps: u64,
    /// The longest gradient; a longer one is shortened to it.
    pub gradient_norm_max: f64,
}

impl Default for Config {
    /// What forecasts best on real streams: the canonical model, relative, with gaps as inputs.
    fn default() -> Config {
        Config {
            types: 1,
            width: 32,
            time_width: 16,
            order_width: 16,
            relative: true,
            heads: 2,
            layers: 2,
            pool: 40,
            chosen: 5,
            prompt_rows: 5,
            state_prompts: true,
            retrieval: 8,
            novelty: 1.0,
            hidden: 128,
            components: 8,
            self_token: false,
            recent: 1,
            gap_inputs: true,
            clock_inputs: false,
            forecasts: true,
            intensity: false,
            samples: [8, 32],
            unit_ms: 60_000.0,
            encoding_units: 10.0,
            log_gap_mean: 0.0,
            log_gap_deviation: 1.0,
            match_weight: 0.1,
            usage_weight: 0.1,
            pool_interval: 2,
            rise_steps: 100,
            gradient_norm_max: 1.0,
        }
    }
}

impl Config {
    /// The model of the specification: encodings beside what is projected, events that bring their type alone, query
    /// rows that start at zero.
    pub fn canonical() -> Config {
        Config {
            order_width: 0,
            relative: false,
            pool: 10,
            state_prompts: false,
            retrieval: 0,
            novelty: 0.0,
            hidden: 64,
            recent: 0,
            gap_inputs: false,
            encoding_units: 1.0,
            ..Config::default()
        }
    }
}

/// Standard deviation of a component's logarithm of the gap that is not gone below: no component can win by standing
/// on a tick of the clock.
pub const SIGMA_MIN: f64 = 0.05;

/// What a tensor belongs to: groups are trained at rates of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Embeddings and attention.
    Base,
    /// What reads the query row.
    Heads,
    /// Prompts and their keys.
    Pool,
    /// Prompts of states.
    State,
    /// The stream's affine map of the logarithm of time, and a bias per type.
    Calibration,
}

impl Config {
    /// Columns of what an event brings beside its type.
    pub(super) fn features(&self) -> usize {
        2 * usize::from(self.gap_inputs) + 4 * usize::from(self.clock_inputs)
    }

    /// Events before its own that a row sees at once.
    pub(super) fn before(&self) -> usize {
        self.recent.saturating_sub(1)
    }

    /// Columns of the encodings of time and place.
    pub(super) fn encoding(&self) -> usize {
        self.time_width + self.order_width
    }

    /// The floor of the mixture's deviations on the standardized scale.
    pub(super) fn floor(&self) -> f64 {
        SIGMA_MIN / self.log_gap_deviation
    }

    /// All tensors, with the part that each belongs to.
    pub(super) fn tensors(&self) -> (Tensors, Vec<Part>) {
        let (d, input) = (self.width, self.width + self.encoding());
        let key = if self.retrieval > 0 { SKETCH } else { input };
        let mut list: Vec<(String, usize, usize, Part)> = Vec::new();
        let mut add = |name: &str, rows, columns, part| list.push((name.to_owned(), rows, columns, part));
        add("embedding", self.types, d, Part::Base);
        if self.recent > 0 {
            // Row 0: there is no such event.
            add("before.embedding", self.types + 1, d, Part::Base);
            add("before.weight", self.before() * d, d, Part::Base);
            add("features.weight", self.recent * self.features(), d, Part::Base);
            add("query.embedding", self.types, d, Part::Base);
            add("query.before.weight", self.before() * d, d, Part::Base);
            add("query.features.weight", self.recent * self.features(), d, Part::Base);
        }
        for head in 0..self.heads {
            for layer in 0..self.layers {
                for name in ["query", "key", "value"] {
                    let rows = if self.relative { d } else { input };
                    add(&format!("head{head}.layer{layer}.{name}.weight"), rows, d, Part::Base);
                    add(&format!("head{head}.layer{layer}.{name}.bias"), 1, d, Part::Base);
                }
                for pool in ["key", "value"] {
                    add(
                        &format!("head{head}.layer{layer}.{pool}.prompts"),
                        self.pool * self.prompt_rows,
                        d,
                        Part::Pool,
                    );
                    add(&format!("head{head}.layer{layer}.{pool}.keys"), self.pool, key, Part::Pool);
                }
            }
        }
        let state = self.heads * d;
        if self.forecasts {
            let state = state + self.recent * self.features();
            add("gap.weight", state, 3 * self.components, Part::Heads);
            add("gap.bias", 1, 3 * self.components, Part::Heads);
            add("type.state.weight", state, self.hidden, Part::Heads);
            add("type.state.bias", 1, self.hidden, Part::Heads);
            add("type.gap.weight", BUMPS, self.hidden, Part::Heads);
            add("type.weight", self.hidden, self.types, Part::Heads);
            add("type.bias", 1, self.types, Part::Heads);
            add("calibration.time", 1, 2, Part::Calibration);
            add("calibration.type", 1, self.types, Part::Calibration);
        }
        if self.intensity {
            add("intensity.weight", state, self.types, Part::Heads);
            add("intensity.bias", 1, self.types, Part::Heads);
            add("intensity.log_scale", 1, self.types, Part::Heads);
        }
        if self.has_state_prompts() {
            add("state.prompts", self.pool, state + self.recent * self.features(), Part::State);
            add("state.keys", self.pool, key, Part::Pool);
        }
        let mut tensors = Tensors::default();
        list.iter().for_each(|(name, rows, columns, _)| tensors.add(name, *rows, *columns));
        (tensors, list.into_iter().map(|(_, _, _, part)| part).collect())
    }
}

impl Config {
    /// Pools: one for keys and one for values per head and layer, and one of states.
    pub(super) fn pools(&self) -> usize {
        2 * self.heads * self.layers + usize::from(self.has_state_prompts())
    }

    pub(super) fn has_state_prompts(&self) -> bool {
        self.forecasts && self.state_prompts
    }

    /// What turns -ln of the density of the standardized logarithm into that of the gap in units.
    pub(super) fn log_jacobian(&self, gap_ms: i64) -> f64 {
        self.log_gap_deviation.ln() + (gap_ms.max(1) as f64 / self.unit_ms).ln()
    }

    /// # Errors
    /// [`Error::Shape`] that names the setting.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Shape(format!("prompt_tpp cannot be built: {what}")));
        if self.types == 0 || self.width == 0 || self.heads == 0 || self.layers == 0 || self.prompt_rows == 0 {
            return wrong("types, width, heads, layers and prompt_rows must be at least 1");
        }
        if self.time_width == 0 || !self.time_width.is_multiple_of(2) || !self.order_width.is_multiple_of(2) {
            return wrong("time_width must be even and positive, order_width even");
        }
        if self.relative && (self.recent == 0 || self.encoding() > self.width) {
            return wrong("relative needs recent of at least 1, and no more encodings than width");
        }
        if self.chosen > self.pool || self.chosen == 0 {
            return wrong("of a pool at least 1 and at most all prompts can be chosen");
        }
        if self.novelty > 0.0 && self.retrieval == 0 {
            return wrong("novelty needs retrieval of at least 1: regimes are told apart by what happened of late");
        }
        if self.components == 0 || self.components > COMPONENTS_MAX {
            return wrong("a mixture has from 1 to 16 components");
        }
        if !self.forecasts && !self.intensity {
            return wrong("it needs a head: forecasts, intensity or both");
        }
        let scales = [self.unit_ms, self.log_gap_deviation];
        if scales.iter().any(|scale| !scale.is_finite() || *scale <= 0.0) || !self.log_gap_mean.is_finite() {
            return wrong("unit_ms and log_gap_deviation must be positive, log_gap_mean finite");
        }
        if self.floor() < SIGMA_MIN * 1e-3 {
            return wrong("log_gap_deviation is above 1,000");
        }
        Ok(())
    }
}
