//! `topics`: makes or verifies every topic with its settings.

use clap::{Args, Subcommand};

use super::{Failure, Settings, broker};
use crate::config::Config;
use crate::log::{Broker, TopicSpec, TopicState};
use crate::{roles, service};

/// Arguments of `topics`.
#[derive(Debug, Args)]
pub struct Topics {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes every topic that is missing
    Create(Settings),
    /// Lists every difference from what the settings need; changes nothing
    Check(Settings),
}

impl Topics {
    /// Makes or checks; prints a line per topic.
    ///
    /// # Errors
    /// Where something is wrong with the settings, fails, or differs.
    pub fn run(self) -> Result<(), Failure> {
        let (settings, making) = match self.what {
            What::Create(settings) => (settings, true),
            What::Check(settings) => (settings, false),
        };
        let config = settings.load()?;
        let (inputs, own) = (inputs(&config), own(&config, &views(&config)?));
        let broker = broker(&config);
        if making { create(&broker, &[inputs, own].concat()) } else { check(&broker, &inputs, &own) }
    }
}

/// The views of the settings: each name, and whether it keeps one value per user, the newest.
fn views(config: &Config) -> Result<Vec<(String, bool)>, Failure> {
    let views = service::views(config)?;
    let names = views.names().into_iter().enumerate();
    Ok(names.map(|(index, name)| (name, views.is_latest_value(index))).collect())
}

/// Bytes of a record that any topic takes: rows travel in packs of 512 KiB at most, and one long event with them.
const RECORD_BYTES: usize = 1 << 20;
/// Bytes of a record that `dead-letters` takes at least: ones much longer than events.max_bytes are kept whole too.
const DEAD_LETTER_BYTES: usize = 20 << 20;

fn spec(name: String, partitions: u32, settings: &[(&str, &str)]) -> TopicSpec {
    let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    TopicSpec { name, partitions: partitions as i32, settings }
}

const DELETE: &[(&str, &str)] = &[("cleanup.policy", "delete")];
const COMPACT: &[(&str, &str)] = &[("cleanup.policy", "compact")];
/// Who starts reads the whole topic, and what was written last is not compacted until its segment is full.
const COMPACT_SOON: &[(&str, &str)] =
    &[COMPACT[0], ("segment.bytes", "67108864"), ("min.cleanable.dirty.ratio", "0.1")];

/// The input topics, made only where they are missing: where they exist they are their producers' own.
pub fn inputs(config: &Config) -> Vec<TopicSpec> {
    let topics =
        [("events", DELETE), ("items", COMPACT), ("candidates", DELETE), ("feedback", DELETE), ("forget", DELETE)];
    let name = |name: &str| format!("{}{name}", config.topics.prefix);
    topics.iter().map(|(topic, settings)| spec(name(topic), config.topics.partitions, settings)).collect()
}

/// The service's own topics; `views` are the views' names, each with whether it keeps one value per user.
pub fn own(config: &Config, views: &[(String, bool)]) -> Vec<TopicSpec> {
    let n = config.partitions_kafka();
    let public = |name: &str| format!("{}{name}", config.topics.prefix);
    let own = |name: &str| format!("{}.{name}", config.app);
    // A dead letter is a whole record again, a late row one inside another; a request has many items.
    let bytes = (2 * config.events.max_bytes + RECORD_BYTES).to_string();
    let most = (2 * config.events.max_bytes + RECORD_BYTES).max(DEAD_LETTER_BYTES).to_string();
    let mut specs = Vec::new();
    // No time and no size trims by-user: only DeleteRecords below the oldest kept snapshot does. LogAppendTime, since
    // event times would let retention delete what is still needed.
    let by_user = [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("message.timestamp.type", "LogAppendTime"),
        ("max.message.bytes", bytes.as_str()),
    ];
    specs.push(spec(own("by-user"), n, &by_user));
    for name in ["models", "learners"] {
        specs.push(spec(own(name), 1, COMPACT_SOON));
    }
    for (view, is_latest_value) in views {
        let settings = if *is_latest_value { COMPACT } else { DELETE };
        specs.push(spec(public(&format!("features.{view}")), n, settings));
    }
    if config.sdim.enabled {
        specs.push(spec(public("encodings.sdim"), n, COMPACT));
    }
    if config.prompt_tpp.enabled {
        specs.push(spec(public("forecasts"), n, COMPACT));
    }
    for room in roles::learning(config) {
        specs.push(spec(own(&format!("samples.{}", room.name())), 1, &[DELETE[0], ("max.message.bytes", &most)]));
    }
    if config.candidates.enabled {
        specs.push(spec(public("scores"), n, &[DELETE[0], ("max.message.bytes", &most)]));
    }
    for (name, bytes) in [("late", &bytes), ("dead-letters", &most)] {
        specs.push(spec(public(name), config.topics.partitions, &[DELETE[0], ("max.message.bytes", bytes)]));
    }
    specs
}

/// Makes every topic of the settings that is missing, and says nothing.
pub(super) fn make(config: &Config, broker: &dyn Broker) -> Result<(), Failure> {
    broker.create(&[inputs(config), own(config, &views(config)?)].concat())?;
    Ok(())
}

/// Makes what is missing; what exists stays as it is.
fn create(broker: &dyn Broker, specs: &[TopicSpec]) -> Result<(), Failure> {
    let made = broker.create(specs)?;
    for spec in specs {
        let what = if made.contains(&spec.name) { "made" } else { "exists" };
        println!("{what:7} {} ({} partitions)", spec.name, spec.partitions);
    }
    Ok(())
}

/// What differs from `spec`; `found` is none where there is no such topic.
pub fn differences(spec: &TopicSpec, found: Option<&TopicState>) -> Vec<String> {
    let Some(found) = found else {
        return vec!["does not exist; wellspring topics create makes it".into()];
    };
    let mut differences = Vec::new();
    if found.partitions != spec.partitions {
        let what = format!("has {} partitions, the settings say {}", found.partitions, spec.partitions);
        differences.push(format!("{what}; set the number it has, or name another app or prefix"));
    }
    for (key, expected) in &spec.settings {
        let value = found.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let enough = |value: &str| match key.as_str() {
            // More room than needed is no difference.
            "max.message.bytes" => value.parse::<u64>().ok() >= expected.parse::<u64>().ok(),
            _ => value == expected,
        };
        if !value.is_some_and(enough) {
            let value = value.unwrap_or("not set");
            let remedy = format!("kafka-configs.sh --alter --topic {} --add-config {key}={expected}", spec.name);
            differences.push(format!("has {key}={value}, needed is {expected}; {remedy}"));
        }
    }
    differences
}

/// What an existing input lacks: only that a table of items must keep every item.
fn input_differences(spec: &TopicSpec, found: Option<&TopicState>) -> Vec<String> {
    let compacts = |state: &TopicState| state.settings.iter().any(|(_, value)| value.contains("compact"));
    match found {
        Some(state) if spec.settings != [("cleanup.policy".into(), "compact".into())] || compacts(state) => Vec::new(),
        Some(state) => differences(&TopicSpec { partitions: state.partitions, ..spec.clone() }, found),
        None => differences(spec, None),
    }
}

fn check(broker: &dyn Broker, inputs: &[TopicSpec], own: &[TopicSpec]) -> Result<(), Failure> {
    let mut wrong = 0;
    for (place, spec) in inputs.iter().chain(own).enumerate() {
        let keys: Vec<String> = spec.settings.iter().map(|(key, _)| key.clone()).collect();
        let found = broker.describe(&spec.name, &keys)?;
        let compare = if place < inputs.len() { input_differences } else { differences };
        let differences = compare(spec, found.as_ref());
        if differences.is_empty() {
            println!("ok      {}", spec.name);
        }
        for difference in &differences {
            println!("differs {} {difference}", spec.name);
        }
        wrong += usize::from(!differences.is_empty());
    }
    if wrong == 0 {
        return Ok(());
    }
    let all = inputs.len() + own.len();
    Err(Failure::failed(format!("{wrong} of {all} topics differ; on the cluster; see the lines above")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that is asked to make a topic twice at once ends the process.
    #[test]
    fn no_topic_is_named_twice() {
        let mut config = Config::default();
        config.prompt_tpp.enabled = true;
        (config.candidates.enabled, config.sdim.enabled, config.muse.enabled) = (true, true, true);
        let specs = [inputs(&config), own(&config, &[("view".into(), true)])].concat();
        let mut names: Vec<String> = specs.into_iter().map(|spec| spec.name).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }
}
