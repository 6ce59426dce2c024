//! `evaluate`: how good a model is on records of one's own, beside trivial baselines.

use clap::{Args, ValueEnum};
use shaders::Device;

use super::{Failure, Settings};
use crate::config::{Config, VectorSource};
use crate::evaluate::matrix::{Cut, Matrix, OnePass, tasks};
use crate::evaluate::ranking::{self, Options, interest::Hash, keys::Source};
use crate::evaluate::{EvaluateError, MatrixReport, Report, Scores, Stream, baselines, input, neural, prequential};
use crate::forecast::window::Seen;
use crate::learn::prompt_tpp::seen;
use crate::service;
use crate::source::Input;

/// The seed of every network: the same records give the same report.
const SEED: u64 = 7;

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// The model
    model: Model,
    /// Records: a file (.jsonl, .json, .csv, .parquet, plain, .gz or .zst) or a SELECT over files. prompt_tpp reads
    /// events; sdim and muse read events, items, candidates and feedback
    #[arg(long = "input", value_name = "TOPIC=SOURCE", required = true)]
    inputs: Vec<String>,
    /// prompt_tpp: how it is evaluated
    #[arg(long, value_name = "PROTOCOL", default_value = "prequential")]
    protocol: Protocol,
    /// matrix: how many tasks the stream is cut into, of as many events each
    #[arg(long, value_name = "N", default_value_t = 10)]
    tasks: usize,
    /// sdim, muse: newest behaviors of a user that a request sees
    #[arg(long, value_name = "N", default_value_t = 2048)]
    history: usize,
    /// sdim, muse: passes over the training part, at most; the best one counts
    #[arg(long, value_name = "N", default_value_t = 4)]
    epochs: usize,
    /// sdim, muse: only these rows of the report, by name
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    rows: Vec<String>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Model {
    /// Forecasts of each user's next event
    PromptTpp,
    /// Candidates ranked by long-term interest: SDIM beside live counters, attention of other kinds and MUSE
    Sdim,
    /// The same report: one protocol, all rows
    Muse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Warm-up on 40 % of the stream, settings chosen on 10 %, the rest scored event by event as forecasts were issued
    Prequential,
    /// Task after task, each tested after each: what is forgotten, what carries over
    Matrix,
}

impl Evaluate {
    /// Evaluates and prints.
    ///
    /// # Errors
    /// Where something is wrong with the arguments, or fails.
    pub fn run(self) -> Result<(), Failure> {
        let inputs = Input::parse_all(&self.inputs)?;
        let config = self.settings.load()?;
        let shown = match self.model {
            Model::PromptTpp => self.forecasts(&inputs, &config)?,
            Model::Sdim | Model::Muse => self.rankings(&inputs, &config)?,
        };
        println!("{shown}");
        Ok(())
    }

    fn forecasts(&self, inputs: &[Input], config: &Config) -> Result<String, Failure> {
        let numbered = input::read(inputs, &config.event_columns()).map_err(Failure::failed)?;
        if numbered.dead > 0 {
            tracing::warn!("{} records are no events; `run` shows them as dead letters", numbered.dead);
        }
        let device = service::device(config).map_err(Failure::failed)?;
        let shown = match self.protocol {
            Protocol::Prequential => self.prequential(&numbered.stream, (&device, seen(&config.prompt_tpp))),
            Protocol::Matrix => self.matrix(&numbered.stream, (&device, seen(&config.prompt_tpp))),
        };
        shown.map_err(Failure::failed)
    }

    fn rankings(&self, inputs: &[Input], config: &Config) -> Result<String, Failure> {
        if let Some(unknown) = self.rows.iter().find(|name| !ranking::rows().any(|row| row == *name)) {
            let names: Vec<&str> = ranking::rows().collect();
            return Err(Failure::usage(format!(
                "the report has no row `{unknown}`; --rows {}; name some of {}",
                self.rows.join(","),
                names.join(", ")
            )));
        }
        let options = Options {
            history_max: self.history.max(1),
            vectors: match config.items.vectors {
                VectorSource::Topic => Source::Topic,
                VectorSource::CoOccurrence => Source::CoOccurrence,
            },
            hash: Hash { bits: config.sdim.bits, group_bits: config.sdim.group_bits },
            sa_ta: config.muse.attention.into(),
            epochs: self.epochs.max(1),
            rows: self.rows.clone(),
            seed: SEED,
        };
        let read =
            ranking::input::read(inputs, &config.event_columns(), config.items.version).map_err(Failure::failed)?;
        if read.dead > 0 {
            tracing::warn!("{} records are none of their topics; `run` shows them as dead letters", read.dead);
        }
        let device = service::device(config).map_err(Failure::failed)?;
        let report = ranking::evaluate(&read.log, &device, &options).map_err(Failure::failed)?;
        Ok(if self.json { serde_json::json!(report).to_string() } else { report.to_string() })
    }

    fn prequential(&self, stream: &Stream, network: (&Device, Seen)) -> Result<String, EvaluateError> {
        let mut report = Report::new(stream);
        let mut networks: Vec<(&str, Scores)> = Vec::new();
        for mut model in baselines::all() {
            tracing::info!(model = model.name(), "evaluating");
            let scores = prequential(stream, model.as_mut())?;
            report.add(model.name(), &scores);
        }
        let seen = neural::evaluate(stream, network, &mut |name, scores| {
            report.add(name, scores);
            networks.push((name, scores.clone()));
        })?;
        report.settle(seen);
        let of = |name: &str| networks.iter().find(|(of, _)| *of == name).map(|(name, scores)| (*name, scores));
        for (a, b) in [
            ("online", "frozen"),
            ("prompt", "frozen"),
            ("prompt", "online"),
            ("prompt_joint", "frozen"),
            ("prompt_joint", "online"),
        ] {
            if let (Some(a), Some(b)) = (of(a), of(b)) {
                report.compare(a, b);
            }
        }
        Ok(if self.json { serde_json::json!(report).to_string() } else { report.to_string() })
    }

    fn matrix(&self, stream: &Stream, network: (&Device, Seen)) -> Result<String, EvaluateError> {
        let tasks = tasks(stream, self.tasks, Cut::Events)?;
        let mut report = MatrixReport::new(stream, tasks.len());
        for mut model in baselines::all() {
            let name = model.name().to_owned();
            tracing::info!(model = name, "evaluating");
            report.add(&name, Matrix::of(stream, &tasks, &mut OnePass(model.as_mut()))?);
        }
        neural::matrix(stream, &tasks, network, &mut |name, matrix| report.add(name, matrix))?;
        Ok(if self.json { serde_json::json!(report).to_string() } else { report.to_string() })
    }
}
