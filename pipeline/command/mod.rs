//! The command line: one file per command.
//!
//! Exit status: 0 done, 1 failed, 2 wrong usage, 130 where a second signal cut a stop short.
//!
//! # Layout
//! - [`run`], [`serve`], [`replay`], [`topics`], [`demo`], [`evaluate`], [`train`], [`inspect`], [`bench`]: the commands.
//! - [`failure`]: what a command says when it fails.
//! - [`logs`]: lines on standard error.
//! - [`signals`]: SIGINT and SIGTERM.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config};
use crate::log::kafka::KafkaBroker;

pub mod bench;
pub mod demo;
pub mod evaluate;
pub mod failure;
pub mod inspect;
pub mod logs;
pub mod replay;
pub mod run;
pub mod serve;
pub mod signals;
pub mod topics;
pub mod train;

pub use failure::Failure;

/// Keeps, for every user, an up-to-the-event picture between Kafka topics, exactly once.
#[derive(Debug, Parser)]
#[command(name = "wellspring", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs files through the whole service in this process, and writes its outputs to files
    Run(run::Run),
    /// Runs the service on Kafka
    Serve(serve::Serve),
    /// Sends files to Kafka as JSON records
    Replay(replay::Replay),
    /// Makes or verifies every topic with its settings
    Topics(topics::Topics),
    /// Runs synthetic users with known truth through the service, with the local page
    Demo(demo::Demo),
    /// Tells how good forecasts are on events of one's own, beside trivial baselines
    Evaluate(evaluate::Evaluate),
    /// Fits a model to records of one's own, to start a learner from
    Train(train::Train),
    /// Shows what is kept of a user, what a model is, what a snapshot holds
    Inspect(inspect::Inspect),
    /// Measures the service on this machine
    Bench(bench::Bench),
}

/// Where settings come from.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// A TOML file of settings; wellspring.toml shows them all
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, above the file and the environment (WELLSPRING_ENGINE__WORKERS=2): engine.workers=2
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl Settings {
    /// The settings; from here on logs are written as they say.
    ///
    /// # Errors
    /// Where one is unknown or wrong.
    pub fn load(&self) -> Result<Config, Failure> {
        let config = config::load(self.config.as_deref(), &self.sets)?;
        logs::start(&config.log);
        Ok(config)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // clap prints what is wrong with the arguments itself, with status 2; help and version have status 0.
    let cli = Cli::parse();
    let stop = Arc::new(AtomicBool::new(false));
    signals::stop_on_signal(Arc::clone(&stop));
    let done = match cli.command {
        Command::Run(command) => command.run(&stop),
        Command::Serve(command) => command.run(&stop),
        Command::Replay(command) => command.run(&stop),
        Command::Topics(command) => command.run(),
        Command::Demo(command) => command.run(&stop),
        Command::Evaluate(command) => command.run(),
        Command::Train(command) => command.run(&stop),
        Command::Inspect(command) => command.run(),
        Command::Bench(command) => command.run(&stop),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.status)
        }
    }
}

/// The cluster of the settings.
pub(crate) fn broker(config: &Config) -> KafkaBroker {
    KafkaBroker::new(&config.kafka.brokers, &config.kafka.properties)
}
