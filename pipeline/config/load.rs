//! The layers merged into a [`Config`], with the checks that need more than one setting.

use std::collections::BTreeMap;
use std::path::Path;

use schemas::event::{ColumnType, EventColumns};
use serde_json::{Map, Value};
use shaders::sdim::GROUPS_MAX;

use super::error::ConfigError;
use super::layers::{self, Leaf};
use super::settings::Kind;
use super::{Config, properties};

/// The settings of `file` (where given), then of this process's environment, then of `sets` (`KEY=VALUE`).
///
/// # Errors
/// Where a setting is unknown, has a wrong value, or does not go with another.
pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Config, ConfigError> {
    // A variable that is not Unicode cannot be a setting's; its name is compared as far as it is.
    let variables = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    load_from(file, variables, sets)
}

/// [`load`] with the environment given.
///
/// # Errors
/// As [`load`].
pub fn load_from(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    sets: &[String],
) -> Result<Config, ConfigError> {
    let mut leaves = Vec::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| ConfigError::ConfigFile { path: path.into(), error })?;
        leaves.extend(layers::file(path, &text)?);
    }
    leaves.extend(layers::environment(environment)?);
    leaves.extend(layers::sets(sets)?);
    build(leaves)
}

/// The later of two values of one setting counts; names below a table add up.
fn build(leaves: Vec<Leaf>) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let mut tree = serde_json::to_value(&config).expect("settings have text keys only");
    let mut origins = BTreeMap::new();
    for Leaf { setting, name, value, origin } in leaves {
        match setting.kind {
            Kind::Properties => {
                let text = value.as_str().expect("properties are checked to be text").to_string();
                config.kafka.properties.insert(name.clone(), text);
                origins.insert(name, origin);
            }
            Kind::Columns => {
                let kind = serde_json::from_value(value).expect("types of columns are checked");
                declare(&mut config.events.columns, name, kind);
            }
            _ => put(&mut tree, setting.key, value),
        }
    }
    if let Some((property, reason, remedy)) = properties::refuse(&config.kafka.properties) {
        let origin = origins.remove(&property).expect("a refused property was set somewhere");
        return Err(ConfigError::Property { property, reason, origin, remedy });
    }
    let built: Config = serde_json::from_value(tree).expect("every value is checked against its setting");
    config = Config {
        events: super::EventSettings { columns: config.events.columns, ..built.events },
        kafka: super::KafkaSettings { properties: config.kafka.properties, ..built.kafka },
        ..built
    };
    together(&config)?;
    Ok(config)
}

fn declare(columns: &mut Vec<(String, ColumnType)>, name: String, kind: ColumnType) {
    match columns.iter_mut().find(|(known, _)| *known == name) {
        Some(column) => column.1 = kind,
        None => columns.push((name, kind)),
    }
}

fn put(tree: &mut Value, key: &str, value: Value) {
    let mut at = tree;
    for part in key.split('.') {
        let table: &mut Map<String, Value> = at.as_object_mut().expect("settings are tables down to their names");
        at = table.entry(part).or_insert(Value::Null);
    }
    *at = value;
}

/// What no setting shows by itself.
fn together(config: &Config) -> Result<(), ConfigError> {
    let wrong = |what: String, remedy: &str| Err(ConfigError::Together { what, remedy: remedy.into() });
    if let Err(error) = EventColumns::new(config.events.columns.clone()) {
        return wrong(error.to_string(), "rename the column");
    }
    if config.events.columns.len() > 1000 {
        return wrong(
            format!("events.columns declares {} columns", config.events.columns.len()),
            "declare 1000 at most",
        );
    }
    if config.sdim.enabled && config.sdim.window > config.history.max_events {
        return wrong(
            format!(
                "sdim.window={} is longer than the kept history, history.max_events={}",
                config.sdim.window, config.history.max_events
            ),
            "raise history.max_events or lower sdim.window",
        );
    }
    let (bits, group_bits) = (config.sdim.bits, config.sdim.group_bits);
    if !bits.is_multiple_of(group_bits) || bits / group_bits > GROUPS_MAX {
        return wrong(
            format!(
                "sdim.bits={bits} hyperplanes are no whole number of groups of sdim.group_bits={group_bits}, or more than {GROUPS_MAX}"
            ),
            "set sdim.bits to a multiple of sdim.group_bits, like 48 and 3, or 96 and 6",
        );
    }
    if config.candidates.enabled && config.route == super::Route::Direct {
        return wrong(
            "candidates.enabled: candidates stand among their user's events in by-user, which route=direct does not have"
                .into(),
            "set route=by-user, or candidates.enabled=false",
        );
    }
    if config.prompt_tpp.enabled && config.route == super::Route::Direct {
        return wrong(
            "prompt_tpp.enabled: versions of its model change at places of by-user, which route=direct does not have"
                .into(),
            "set route=by-user, or prompt_tpp.enabled=false",
        );
    }
    if config.items.vectors == super::VectorSource::CoOccurrence {
        let what = |other: &str, why: &str| format!("items.vectors=co-occurrence and {other}: {why}");
        if config.items.version > 0 {
            let why = "versions of vectors that are learned are numbered as they are made";
            return wrong(what("items.version", why), "leave items.version out, or set items.vectors=topic");
        }
        if config.sdim.items == super::ItemVectors::Hashed {
            let why = "both say where vectors come from";
            return wrong(what("sdim.items=hashed", why), "set sdim.items=topic, or items.vectors=topic");
        }
        if config.route == super::Route::Direct {
            let why = "versions of vectors change at places of by-user, which route=direct does not have";
            return wrong(what("route=direct", why), "set route=by-user, or items.vectors=topic");
        }
    }
    if config.items.version > 0 && config.route == super::Route::Direct {
        return wrong(
            "items.version: versions of items change at places of by-user, which route=direct does not have".into(),
            "set route=by-user, or items.version=0",
        );
    }
    if config.route == super::Route::Direct && config.partitions.is_some_and(|n| n != config.topics.partitions) {
        return wrong(
            format!(
                "with route=direct the tasks are the partitions of events, but partitions={} and topics.partitions={}",
                config.partitions.unwrap_or_default(),
                config.topics.partitions
            ),
            "set topics.partitions to what events has, and leave `partitions` out",
        );
    }
    Ok(())
}
