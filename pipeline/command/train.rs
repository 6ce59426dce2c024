//! `train`: a model fitted to events of one's own, to start a learner from (`prompt_tpp.start`).

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Failure, Settings};
use crate::evaluate::input;
use crate::forecast::version::About;
use crate::forecast::vocabulary::Vocabulary;
use crate::learn::prompt_tpp::warm_up::WarmUp;
use crate::model::{self, Model};
use crate::service;
use crate::source::Input;

/// The seed of every network: the same events give the same model.
const SEED: u64 = 0;

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    /// The model
    model: Trained,
    /// Events: a file (.jsonl, .json, .csv, .parquet, plain, .gz or .zst) or a SELECT over files
    #[arg(long = "input", value_name = "TOPIC=SOURCE", required = true)]
    inputs: Vec<String>,
    /// The file that the model is written to, as safetensors
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Passes over the events; prompt_tpp.warm_up_passes where it is not given
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Trained {
    /// Forecasts of each user's next event
    PromptTpp,
}

impl Train {
    /// Trains, and prints what was learned from.
    ///
    /// # Errors
    /// Where something is wrong with the arguments, or fails.
    pub fn run(self) -> Result<(), Failure> {
        let inputs = Input::parse_all(&self.inputs)?;
        let config = self.settings.load()?;
        let Trained::PromptTpp = self.model;
        let numbered = input::read(&inputs, &config.event_columns()).map_err(Failure::failed)?;
        if numbered.dead > 0 {
            tracing::warn!("{} records are no events; `run` shows them as dead letters", numbered.dead);
        }
        let mut vocabulary = Vocabulary::default();
        let places = numbered.kinds.iter().map(|kind| vocabulary.add(kind, config.prompt_tpp.types_max));
        let places: Vec<u32> = places.collect();
        let mut events = WarmUp::default();
        for event in numbered.stream.whole().events() {
            events.event(u64::from(event.user), places[event.kind as usize], event.time_ms);
        }
        let epochs = self.epochs.unwrap_or(config.prompt_tpp.warm_up_passes);
        let mut device = service::device(&config).map_err(Failure::failed)?;
        let network = events.fit(&mut device, vocabulary.places(), epochs, SEED).map_err(Failure::failed)?;
        let about = About {
            types: vocabulary.names().to_vec(),
            unit_ms: network.config().unit_ms,
            targets: events.targets() as u64,
            ..About::default()
        };
        let about = serde_json::to_value(about).map_err(Failure::failed)?;
        let model = Model { name: "prompt_tpp".into(), version: 0, about, tensors: network.weights() };
        model::file::save(&model, &self.output).map_err(Failure::failed)?;
        let (types, targets, parameters) = (vocabulary.names().len(), events.targets(), network.parameters());
        println!(
            "{}",
            json!({"model": "prompt_tpp", "output": self.output, "targets": targets, "types": types, "epochs": epochs,
                   "parameters": parameters})
        );
        Ok(())
    }
}
