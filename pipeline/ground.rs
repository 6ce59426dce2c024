//! The topics that a process stands on: they are there, have partitions enough, and let this user do what is needed, at the
//! start and for as long as it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use schemas::output::Output;
use schemas::topics::Topics;

use crate::config::{Config, Role};
use crate::log::{Broker, LogError, Operation, TopicState};
use crate::roles;

/// How often the topics are looked at while the service runs.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// A broker that has just come back may not know yet of a topic: what is wrong has to be wrong twice.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// How soon a stop is seen.
const NAP: Duration = Duration::from_millis(50);

/// Why the service cannot stand on its topics.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// The brokers cannot be asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A topic is missing or has another number of partitions than it must have.
    #[error("{0}; `wellspring topics create` makes what is missing, `wellspring topics check` shows what differs")]
    Topic(String),
    /// A topic was deleted and made again while it was in use.
    #[error(
        "topic {0} was deleted and made anew while the service ran: its records are gone, and what is committed belongs to \
         the old one; restore the topic, or start over under another `app`"
    )]
    Anew(String),
    /// This user may not do with a topic what the service needs.
    #[error(
        "topic {topic}: this user is not allowed to {operations}; grant it (kafka-acls.sh --add --allow-principal \
         User:… {flags} --topic {topic})"
    )]
    Denied {
        /// The topic's full name.
        topic: String,
        /// `Read and Write`.
        operations: String,
        /// `--operation Read --operation Write`.
        flags: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partitions {
    AtLeast(i32),
    /// N, which is fixed for an app's life.
    Exactly(i32),
}

struct Need {
    partitions: Partitions,
    operations: Vec<Operation>,
}

/// The topics of a process, by name, and their ids as they were at the start.
pub struct Ground {
    needs: BTreeMap<String, Need>,
    found: Vec<TopicState>,
}

impl Ground {
    /// Looks at every topic that the roles of this process use.
    ///
    /// # Errors
    /// Where one is missing, has too few partitions, another N, or is closed to this user.
    pub fn check(config: &Config, topics: &Topics, broker: &dyn Broker) -> Result<Self, GroundError> {
        let mut ground = Self { needs: needs(config, topics), found: Vec::new() };
        ground.found = ground.look(broker)?;
        Ok(ground)
    }

    /// How many partitions a topic had at the start.
    pub fn partitions(&self, topic: &str) -> Option<i32> {
        self.of(topic).map(|state| state.partitions)
    }

    /// What tells a topic from another one of the same name.
    pub fn id(&self, topic: &str) -> Option<&str> {
        self.of(topic).map(|state| state.id.as_str())
    }

    fn of(&self, topic: &str) -> Option<&TopicState> {
        self.needs.keys().zip(&self.found).find(|(name, _)| *name == topic).map(|(_, state)| state)
    }

    /// Looks again.
    ///
    /// # Errors
    /// As [`Ground::check`], and where a topic is not the one that it was.
    pub fn look(&self, broker: &dyn Broker) -> Result<Vec<TopicState>, GroundError> {
        let names: Vec<String> = self.needs.keys().cloned().collect();
        let mut states = Vec::new();
        for ((topic, need), found) in self.needs.iter().zip(broker.survey(&names)?) {
            let Some(found) = found else { return Err(GroundError::Topic(format!("topic {topic} does not exist"))) };
            need.hold(topic, &found)?;
            if self.of(topic).is_some_and(|before| before.id != found.id) {
                return Err(GroundError::Anew(topic.clone()));
            }
            states.push(found);
        }
        Ok(states)
    }

    /// Looks from time to time on a thread of its own, until `stop` is set or something is wrong.
    pub fn watch(
        self: &Arc<Self>,
        cluster: &Arc<dyn Broker>,
        stop: &Arc<AtomicBool>,
    ) -> JoinHandle<Result<(), GroundError>> {
        let (ground, cluster, stop) = (Arc::clone(self), Arc::clone(cluster), Arc::clone(stop));
        let rest = move |wait: Duration| {
            let until = Instant::now() + wait;
            while !stop.load(Ordering::Relaxed) && Instant::now() < until {
                std::thread::sleep(NAP);
            }
            !stop.load(Ordering::Relaxed)
        };
        let look = move || {
            while rest(LOOK_INTERVAL) {
                if is_wrong(&ground.look(cluster.as_ref())) && rest(SECOND_LOOK) {
                    let again = ground.look(cluster.as_ref());
                    if is_wrong(&again) {
                        return again.map(drop);
                    }
                }
            }
            Ok(())
        };
        std::thread::Builder::new().name("ground".into()).spawn(look).expect("the system gives a thread")
    }
}

/// Brokers that do not answer say nothing about topics.
fn is_wrong<T>(looked: &Result<T, GroundError>) -> bool {
    looked.as_ref().err().is_some_and(|error| !matches!(error, GroundError::Log(_)))
}

impl Need {
    fn hold(&self, topic: &str, found: &TopicState) -> Result<(), GroundError> {
        let denied = |operation: &&Operation| found.denied.contains(operation);
        let denied: Vec<String> = self.operations.iter().filter(denied).map(|it| format!("{it:?}")).collect();
        if !denied.is_empty() {
            let flags: Vec<String> = denied.iter().map(|operation| format!("--operation {operation}")).collect();
            let (topic, operations, flags) = (topic.into(), denied.join(" and "), flags.join(" "));
            return Err(GroundError::Denied { topic, operations, flags });
        }
        let has = format!("topic {topic} has {} partitions", found.partitions);
        match self.partitions {
            Partitions::Exactly(n) if found.partitions != n => Err(GroundError::Topic(format!(
                "{has}, the settings say {n} (`partitions`); their number is fixed for an app's life"
            ))),
            Partitions::AtLeast(least) if found.partitions < least => Err(GroundError::Topic(format!(
                "{has}, needed are {least} (`partitions`): add some (kafka-topics.sh --alter --topic {topic} --partitions \
                 {least})"
            ))),
            _ => Ok(()),
        }
    }
}

fn needs(config: &Config, topics: &Topics) -> BTreeMap<String, Need> {
    use Operation::{Describe, Read, Write};
    let n = config.partitions_kafka() as i32;
    let mut needs: BTreeMap<String, Need> = BTreeMap::new();
    let mut need = |topic: String, partitions, operation| {
        let need = needs.entry(topic).or_insert(Need { partitions, operations: vec![Describe] });
        if !need.operations.contains(&operation) {
            need.operations.push(operation);
        }
    };
    let log = roles::engine_log(config, topics);
    for role in config.roles.iter().filter(|role| roles::works(config, **role)) {
        match role {
            Role::Router => {
                for input in roles::inputs(config) {
                    need(topics.input(input), Partitions::AtLeast(1), Read);
                }
                need(topics.by_user(), Partitions::Exactly(n), Write);
                need(topics.name(Output::DeadLetter), Partitions::AtLeast(1), Write);
            }
            Role::Engine => {
                need(log.clone(), Partitions::Exactly(n), Read);
                for output in topics.outputs(&roles::said(config)) {
                    // A task's outputs go to the partition of its own number.
                    let least = if matches!(output, Output::Late | Output::DeadLetter) { 1 } else { n };
                    need(topics.name(output), Partitions::AtLeast(least), Write);
                }
                for room in roles::learning(config) {
                    need(topics.samples(room), Partitions::Exactly(1), Write);
                }
            }
            Role::Learner => {
                for room in roles::learning(config) {
                    need(topics.samples(room), Partitions::Exactly(1), Read);
                }
                need(topics.by_user(), Partitions::Exactly(n), Write);
                for operation in [Read, Write] {
                    need(topics.models(), Partitions::Exactly(1), operation);
                    need(topics.learners(), Partitions::Exactly(1), operation);
                }
            }
        }
    }
    if roles::reads_items(config) {
        need(topics.input("items"), Partitions::AtLeast(1), Read);
    }
    if !roles::rooms(config).is_empty() {
        need(topics.models(), Partitions::AtLeast(1), Read);
        need(topics.models(), Partitions::AtLeast(1), Write);
    }
    needs
}
