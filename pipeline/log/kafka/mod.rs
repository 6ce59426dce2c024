//! The log that is Apache Kafka, through librdkafka, on the calling thread.
//!
//! # Layout
//! - `settings`: librdkafka's properties, ours and the user's.
//! - `member`: the [`Log`] of one worker. `producer`: its transactional producer. `reader`: a [`Reader`].
//! - `feed`: a producer without transactions. `context`: what librdkafka tells from inside. `errors`: what to do then.
//! - `diagnosis`: why no broker answers.
//! - `survey`: topics as the brokers see them.
//! - `closing`: a consumer that is dropped in bounded time. `ends`: where partitions begin and end, as far as the client knows.

mod closing;
mod context;
mod diagnosis;
mod ends;
mod errors;
mod feed;
mod member;
mod producer;
mod reader;
mod settings;
mod survey;

pub use feed::KafkaFeed;

use super::{Broker, Class, Log, LogError, Reader, TopicPartition, TopicSpec, TopicState};
use context::QuietContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a broker may take to answer at the start.
const START_MAX: Duration = Duration::from_secs(15);
const CALL_MAX: Duration = Duration::from_secs(20);

/// A Kafka cluster.
pub struct KafkaBroker {
    brokers: String,
    properties: BTreeMap<String, String>,
    /// Made at the first question, and kept: connections cost more than what is asked.
    admin: Mutex<Option<Arc<AdminClient<QuietContext>>>>,
}

impl KafkaBroker {
    /// The cluster at `brokers` (`host:port,…`), with the user's librdkafka properties, which [`check`] must have let pass.
    pub fn new(brokers: &str, properties: &BTreeMap<String, String>) -> Self {
        Self { brokers: brokers.into(), properties: properties.clone(), admin: Mutex::default() }
    }

    fn admin(&self) -> Result<Arc<AdminClient<QuietContext>>, LogError> {
        let mut kept = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(admin) = &*kept {
            return Ok(Arc::clone(admin));
        }
        let made = settings::admin(&self.brokers, &self.properties).create_with_context(QuietContext::default());
        let admin = Arc::new(made.map_err(|error| errors::fatal(self.name(), &error))?);
        *kept = Some(Arc::clone(&admin));
        Ok(admin)
    }

    fn name(&self) -> String {
        format!("brokers \"{}\"", self.brokers)
    }
}

impl Broker for KafkaBroker {
    fn open(&self, group: &str, member: &str, topics: &[String]) -> Result<Box<dyn Log>, LogError> {
        for (topic, found) in topics.iter().zip(self.survey(topics)?) {
            found.ok_or_else(|| unknown_topic(topic))?;
        }
        // Fences who had the name before, so that what is read of the group's offsets afterwards is final.
        let config = settings::transactional(&self.brokers, &self.properties, member);
        let producer = producer::TransactionalProducer::open(config, member)?;
        let config = settings::member(&self.brokers, &self.properties, group, member);
        Ok(Box::new(member::KafkaLog::open(config, producer, group, topics)?))
    }

    fn reader(&self, topics: &[String]) -> Result<Box<dyn Reader>, LogError> {
        let config = settings::reader(&self.brokers, &self.properties);
        Ok(Box::new(reader::KafkaReader::open(&config, topics)?))
    }

    fn survey(&self, topics: &[String]) -> Result<Vec<Option<TopicState>>, LogError> {
        let found = survey::survey(self.admin()?.inner(), topics);
        found.map_err(|survey::Unanswered { topics, code }| {
            let error = errors::of_code(Class::Fatal, topics, code);
            if diagnosis::is_mute(code) {
                return diagnosis::explained(error, &self.brokers, &self.properties);
            }
            error
        })
    }

    fn create(&self, topics: &[TopicSpec]) -> Result<Vec<String>, LogError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let admin = self.admin()?;
        let made = topics.iter().map(|spec| {
            // As many replicas as the brokers give by default.
            let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(-1));
            spec.settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        });
        let made: Vec<NewTopic<'_>> = made.collect();
        let results =
            wait(admin.create_topics(&made, &options()))?.map_err(|error| errors::fatal(self.name(), &error))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(name) => created.push(name),
                Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(errors::of_code(Class::Fatal, format!("creating topic \"{name}\""), code));
                }
            }
        }
        // A topic that was just made is not known to every broker at once.
        let deadline = Instant::now() + START_MAX;
        for name in &created {
            while partitions_of(admin.inner(), name)?.is_none() && Instant::now() < deadline {
                sleep(Duration::from_millis(20));
            }
        }
        Ok(created)
    }

    fn describe(&self, topic: &str, settings: &[String]) -> Result<Option<TopicState>, LogError> {
        let admin = self.admin()?;
        let Some(state) = self.survey(&[topic.into()])?.pop().flatten() else { return Ok(None) };
        let context = || format!("settings of topic \"{topic}\"");
        let found = wait(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options()))?;
        let mut found = found.map_err(|error| errors::fatal(context(), &error))?;
        let Some(found) = found.pop() else { return Ok(None) };
        let found = found.map_err(|code| errors::of_code(Class::Fatal, context(), code))?;
        let value = |name: &String| Some((name.clone(), found.get(name)?.value.clone()?));
        Ok(Some(TopicState { settings: settings.iter().filter_map(value).collect(), ..state }))
    }

    fn trim(&self, at: &TopicPartition, before: i64) -> Result<(), LogError> {
        let admin = self.admin()?;
        let context = || format!("deleting records of partition {} of topic \"{}\"", at.partition, at.topic);
        let list = list_of(std::iter::once((at, Some(before))))?;
        let done = wait(admin.delete_records(&list, &options()))?.map_err(|error| errors::fatal(context(), &error))?;
        let refused = done.find_partition(&at.topic, at.partition).and_then(|element| element.error().err());
        refused.map_or(Ok(()), |error| Err(errors::fatal(context(), &error)))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(START_MAX)).operation_timeout(Some(START_MAX))
}

/// Waits for an answer that librdkafka's own thread will bring.
fn wait<T>(answer: impl Future<Output = T>) -> Result<T, LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime =
        runtime.map_err(|error| LogError::new(Class::Fatal, "administration client".into(), error.to_string()))?;
    Ok(runtime.block_on(answer))
}

fn unknown_topic(topic: &str) -> LogError {
    errors::of_code(Class::Fatal, format!("topic \"{topic}\""), Code::UnknownTopicOrPartition)
}

/// How many partitions a topic has; none where there is no such topic.
fn partitions_of<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Option<i32>, LogError> {
    let context = || format!("topic \"{topic}\"");
    let found = client.fetch_metadata(Some(topic), START_MAX).map_err(|error| errors::fatal(context(), &error))?;
    let Some(found) = found.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(Code::from) {
        None => Ok(Some(found.partitions().len() as i32).filter(|count| *count > 0)),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::LeaderNotAvailable) => Ok(None),
        Some(code) => Err(errors::of_code(Class::Fatal, context(), code)),
    }
}

/// What is left until `deadline`, in whole milliseconds: rdkafka's polls spin through the fraction of one.
fn left_until(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    Duration::from_millis(left.as_micros().div_ceil(1000) as u64)
}

/// librdkafka's list of these partitions, with offsets where there are any.
fn list_of<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, Option<i64>)>,
) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::new();
    for (at, offset) in partitions {
        let mut element = list.add_partition(&at.topic, at.partition);
        if let Some(offset) = offset {
            let context = || format!("partition {} of topic \"{}\"", at.partition, at.topic);
            element.set_offset(At::Offset(offset)).map_err(|error| errors::fatal(context(), &error))?;
        }
    }
    Ok(list)
}

/// Seeks; waits for partitions whose fetcher has not started yet, since librdkafka refuses to seek there until then.
fn seek_now<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    mut left: Vec<(TopicPartition, i64)>,
) -> Result<(), LogError> {
    let deadline = Instant::now() + CALL_MAX;
    // A consumer that is dead goes nowhere, which its next poll tells.
    while !left.is_empty() && consumer.client().fatal_error().is_none() {
        let context = || format!("seek in partition {} of topic \"{}\"", left[0].0.partition, left[0].0.topic);
        let list = list_of(left.iter().map(|(at, next)| (at, Some(*next))))?;
        let problem = match consumer.seek_partitions(list, CALL_MAX) {
            Err(error) => errors::of_class(Class::Retriable, context(), &error),
            Ok(sought) => {
                let refused = |at: &TopicPartition| {
                    sought.find_partition(&at.topic, at.partition).and_then(|element| element.error().err())
                };
                left.retain(|(at, _)| refused(at).is_some());
                let Some((at, _)) = left.first() else { return Ok(()) };
                let error = refused(at).unwrap_or(KafkaError::Canceled);
                errors::of_class(
                    Class::Retriable,
                    format!("seek in partition {} of \"{}\"", at.partition, at.topic),
                    &error,
                )
            }
        };
        if problem.class == Class::Fatal || Instant::now() >= deadline {
            return Err(problem);
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}
