//! `train`: a model fitted to records of one's own, to start a learner from (`prompt_tpp.start`, `sdim.start`, `muse.start`).

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use schemas::output::Room;
use serde_json::{Value, json};

use super::{Failure, Settings};
use crate::config::Config;
use crate::evaluate::input;
use crate::forecast::version::About;
use crate::forecast::vocabulary::Vocabulary;
use crate::learn::prompt_tpp::seen;
use crate::learn::prompt_tpp::warm_up::WarmUp;
use crate::learn::ranking::passes::{self, PASSES, TrainError};
use crate::model::{self, Model};
use crate::run::RunError;
use crate::run::inputs::Inputs;
use crate::run::progress::Watched;
use crate::service;
use crate::source::Input;
use crate::source::input::InputTopic;

/// The seed of every network: the same events give the same model.
const SEED: u64 = 0;

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    /// The model
    model: Trained,
    /// Records: a file (.jsonl, .json, .csv, .parquet, plain, .gz or .zst) or a SELECT over files. prompt_tpp reads
    /// events; sdim and muse read events, items, candidates and feedback
    #[arg(long = "input", value_name = "TOPIC=SOURCE", required = true)]
    inputs: Vec<String>,
    /// The file that the model is written to, as safetensors
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Passes over what there is to learn from. Where it is not given: prompt_tpp.warm_up_passes; for sdim and muse 1, since
    /// with more of them models with embeddings of items are worse on what comes next
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Trained {
    /// Forecasts of each user's next event
    PromptTpp,
    /// Candidates scored by long-term interest, read from hash buckets
    Sdim,
    /// Candidates scored by long-term interest, searched by content
    Muse,
}

impl Train {
    /// Trains, and prints what was learned from.
    ///
    /// # Errors
    /// Where something is wrong with the arguments, or fails.
    pub fn run(self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let inputs = Input::parse_all(&self.inputs)?;
        let config = self.settings.load()?;
        let room = match self.model {
            Trained::PromptTpp => Room::PromptTpp,
            Trained::Sdim => Room::Sdim,
            Trained::Muse => Room::Muse,
        };
        if room != Room::PromptTpp && !inputs.iter().any(|input| input.topic == InputTopic::Feedback) {
            return Err(Failure::usage(format!(
                "no --input brings feedback, and {} learns from what users did with candidates; add --input feedback=FILE, \
                 and candidates=FILE where feedback names requests",
                room.name()
            )));
        }
        writable(&self.output)?;
        let epochs = self.epochs.map(|epochs| epochs as usize);
        let (model, told) = match self.model {
            Trained::PromptTpp => forecasts(&inputs, &config, epochs)?,
            Trained::Sdim | Trained::Muse => ranking(room, inputs, config, epochs.unwrap_or(PASSES), stop)?,
        };
        model::file::save(&model, &self.output).map_err(Failure::failed)?;
        let mut shown = json!({"model": room.name(), "output": self.output});
        shown.as_object_mut().expect("it is one").extend(told.as_object().cloned().unwrap_or_default());
        println!("{shown}");
        Ok(())
    }
}

/// Fails where a file cannot be written, before there is anything to write.
fn writable(path: &Path) -> Result<(), Failure> {
    let is_new = !path.exists();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let opened = dir
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| OpenOptions::new().append(true).create(true).open(path));
    opened.map_err(|error| Failure::from(RunError::output(path, error)))?;
    if is_new {
        // Nothing is left of a training that fails.
        drop(std::fs::remove_file(path));
    }
    Ok(())
}

fn forecasts(inputs: &[Input], config: &Config, epochs: Option<usize>) -> Result<(Model, Value), Failure> {
    let numbered = input::read(inputs, &config.event_columns()).map_err(Failure::failed)?;
    warn_dead(numbered.dead);
    let mut vocabulary = Vocabulary::default();
    let places = numbered.kinds.iter().map(|kind| vocabulary.add(kind, config.prompt_tpp.types_max));
    let places: Vec<u32> = places.collect();
    let mut events = WarmUp::default();
    for event in numbered.stream.whole().events() {
        events.event(u64::from(event.user), places[event.kind as usize], event.time_ms);
    }
    let epochs = epochs.unwrap_or(config.prompt_tpp.warm_up_passes);
    let mut device = service::device(config).map_err(Failure::failed)?;
    let network = events
        .fit(&mut device, (vocabulary.places(), seen(&config.prompt_tpp)), epochs, SEED)
        .map_err(Failure::failed)?;
    let about = About {
        types: vocabulary.names().to_vec(),
        unit_ms: network.config().unit_ms,
        targets: events.targets() as u64,
        ..About::default()
    };
    let about = serde_json::to_value(about).map_err(Failure::failed)?;
    let model = Model { name: "prompt_tpp".into(), version: 0, about, tensors: network.weights() };
    let (types, targets, parameters) = (vocabulary.names().len(), events.targets(), network.parameters());
    Ok((model, json!({"targets": targets, "types": types, "epochs": epochs, "parameters": parameters})))
}

fn ranking(
    room: Room,
    inputs: Vec<Input>,
    config: Config,
    epochs: usize,
    stop: &Arc<AtomicBool>,
) -> Result<(Model, Value), Failure> {
    let mut feed = Watched::new(Inputs::open(inputs)?, None);
    let trained = passes::train(config, room, &mut feed, epochs, stop).map_err(|error| match error {
        TrainError::Run(error) => error.into(),
        error => Failure::failed(error),
    })?;
    warn_dead(trained.dead_letters);
    let passes::Trained { model, samples, targets, items, parameters, .. } = trained;
    let told =
        json!({"samples": samples, "targets": targets, "items": items, "epochs": epochs, "parameters": parameters});
    Ok((model, told))
}

fn warn_dead(records: u64) {
    if records > 0 {
        tracing::warn!("{records} records are none of their topics; `run` shows them as dead letters");
    }
}
