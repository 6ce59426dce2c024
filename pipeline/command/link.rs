//! What the commands call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use operators::Views;

use super::Failure;
use crate::config::Config;
use crate::log::Broker;
use crate::log::kafka::{KafkaBroker, KafkaFeed};
use crate::metrics::Metrics;
use crate::source::Input;
use crate::synthetic;

fn not_linked(what: &str) -> Failure {
    Failure::failed(format!("`{what}` is not part of this build; command line; use a build that has it"))
}

/// Runs `inputs` to their end; gives the summary as one JSON object.
///
/// # Errors
/// Where something fails.
pub fn run(_: Config, _: &[Input], _: &Path, _: &Arc<AtomicBool>) -> Result<String, Failure> {
    Err(not_linked("run"))
}

/// Serves on Kafka until `stop`.
///
/// # Errors
/// Where something fails.
pub fn serve(_: Config, _: Metrics, _: &Arc<AtomicBool>) -> Result<(), Failure> {
    Err(not_linked("serve"))
}

/// Runs the synthetic `world` over the embedded log, for so many events or until `stop`.
///
/// # Errors
/// Where something fails.
pub fn demo(_: Config, _: synthetic::Settings, _: Option<u64>, _: Metrics, _: &Arc<AtomicBool>) -> Result<(), Failure> {
    Err(not_linked("demo"))
}

/// Measures the path of an event; prints the figures.
///
/// # Errors
/// Where something fails.
pub fn bench_path(_: Config, _: bool, _: &Arc<AtomicBool>) -> Result<(), Failure> {
    Err(not_linked("bench path"))
}

/// The cluster of the settings.
pub fn broker(config: &Config) -> Box<dyn Broker> {
    Box::new(KafkaBroker::new(&config.kafka.brokers, &config.kafka.properties))
}

/// A producer for the cluster of the settings.
///
/// # Errors
/// Where it cannot be had.
pub fn feed(config: &Config) -> Result<KafkaFeed, Failure> {
    Ok(KafkaFeed::open(&KafkaBroker::new(&config.kafka.brokers, &config.kafka.properties))?)
}

/// The views of the settings: each name, and whether it keeps one value per user, the newest.
///
/// # Errors
/// Where the file cannot be read or a view is refused.
pub fn views(config: &Config) -> Result<Vec<(String, bool)>, Failure> {
    let sql = config.views_sql()?.unwrap_or_default();
    let views = Views::compile(&sql, &config.event_columns()).map_err(Failure::usage)?;
    let names = views.names().into_iter().enumerate();
    Ok(names.map(|(index, name)| (name, views.is_latest_value(index))).collect())
}
