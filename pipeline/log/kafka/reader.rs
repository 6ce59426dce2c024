//! Reads topics from their beginning, outside of any group.

use super::context::QuietContext;
use super::{errors, left_until, partitions_of, seek_now, unknown_topic};
use crate::log::passing::Passing;
use crate::log::{Class, Incoming, LogError, Reader, TopicPartition};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

const CALL_MAX: Duration = Duration::from_secs(20);
/// Records given by one poll at most.
const POLL_RECORDS: usize = 4096;

struct Place {
    /// Behind the last record; behind the markers after it as well, once the end is told.
    next: i64,
    target: i64,
}

/// One topic with a consumer of its own: librdkafka tells at which partition's end it stands, but not of which topic, and
/// only the end tells that nothing but markers are left.
struct Topic {
    consumer: BaseConsumer<QuietContext>,
    name: Arc<str>,
    places: Vec<Place>,
    passing: Passing,
}

/// A reader of committed records.
pub(super) struct KafkaReader {
    topics: Vec<Topic>,
}

impl Topic {
    fn open(config: &ClientConfig, name: &str) -> Result<Self, LogError> {
        let context = || format!("reader of topic \"{name}\"");
        let made = config.create_with_context(QuietContext::default());
        let consumer: BaseConsumer<QuietContext> = made.map_err(|error| errors::fatal(context(), &error))?;
        let count = partitions_of(consumer.client(), name)?.ok_or_else(|| unknown_topic(name))?;
        let places = (0..count).map(|_| Place { next: 0, target: 0 }).collect();
        let mut topic = Self { consumer, name: name.into(), places, passing: Passing::default() };
        topic.find_end()?;
        let list = super::list_of(topic.positions(|_| true).iter().map(|(at, next)| (at, Some(*next))))?;
        topic.consumer.assign(&list).map_err(|error| errors::fatal(context(), &error))?;
        Ok(topic)
    }

    fn positions(&self, of: impl Fn(&Place) -> bool) -> Vec<(TopicPartition, i64)> {
        let at = |partition| TopicPartition { topic: Arc::clone(&self.name), partition };
        let places = self.places.iter().enumerate().filter(|(_, place)| of(place));
        places.map(|(partition, place)| (at(partition as i32), place.next)).collect()
    }

    fn find_end(&mut self) -> Result<(), LogError> {
        let deadline = Instant::now() + CALL_MAX;
        for (partition, place) in self.places.iter_mut().enumerate() {
            let context = || format!("ends of partition {partition} of topic \"{}\"", self.name);
            let (start, end) = loop {
                let error = match self.consumer.fetch_watermarks(&self.name, partition as i32, CALL_MAX) {
                    Ok(found) => break found,
                    Err(error) => errors::of_class(Class::Retriable, context(), &error),
                };
                // A partition is without a leader for a moment when its broker restarts.
                if error.class == Class::Fatal || Instant::now() >= deadline {
                    return Err(LogError { class: Class::Fatal, ..error });
                }
                sleep(Duration::from_millis(50));
            };
            place.target = end;
            place.next = place.next.max(start);
        }
        Ok(())
    }

    fn is_reached(&self) -> bool {
        self.places.iter().all(|place| place.next >= place.target)
    }

    /// Serves one event; returns whether there was one.
    fn serve(&mut self, wait: Duration, each: &mut dyn FnMut(Incoming<'_>)) -> Result<bool, LogError> {
        let error = match self.consumer.poll(wait) {
            None => return Ok(false),
            Some(Ok(message)) => {
                let (partition, offset) = (message.partition(), message.offset());
                let place = &mut self.places[partition as usize];
                if offset >= place.next {
                    place.next = offset + 1;
                    each(Incoming {
                        topic: &self.name,
                        partition,
                        offset,
                        timestamp_ms: message.timestamp().to_millis(),
                        key: message.key(),
                        value: message.payload(),
                    });
                }
                return Ok(true);
            }
            Some(Err(error)) => error,
        };
        if let KafkaError::PartitionEOF(partition) = error {
            let place = &mut self.places[partition as usize];
            place.next = place.next.max(place.target);
            return Ok(true);
        }
        // It belongs to no group: librdkafka asks for one all the same.
        if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) {
            return Ok(true);
        }
        let mut made = errors::of_class(Class::Retriable, format!("reading topic \"{}\"", self.name), &error);
        // As for a member: a broker that has just come back may not know of it yet.
        if error.rdkafka_error_code() == Some(Code::UnknownTopicOrPartition) {
            made.class = Class::Retriable;
        }
        if made.class == Class::Fatal || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(LogError { class: Class::Fatal, ..made });
        }
        self.passing.tell(&made);
        Ok(true)
    }
}

impl KafkaReader {
    pub(super) fn open(config: &ClientConfig, topics: &[String]) -> Result<Self, LogError> {
        Ok(Self { topics: topics.iter().map(|topic| Topic::open(config, topic)).collect::<Result<_, _>>()? })
    }

    fn is_reached(&self) -> bool {
        self.topics.iter().all(Topic::is_reached)
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, timeout: Duration, each: &mut dyn FnMut(Incoming<'_>)) -> Result<bool, LogError> {
        let deadline = Instant::now() + timeout;
        let reached_before = self.is_reached();
        let mut given = 0;
        loop {
            // With several topics the wait is cut into turns, so that none waits long behind a silent one.
            let turn = if self.topics.len() > 1 { Duration::from_millis(20) } else { Duration::MAX };
            for topic in &mut self.topics {
                let mut wait = left_until(deadline).min(turn);
                if given > 0 {
                    wait = Duration::ZERO;
                }
                while given < POLL_RECORDS
                    && topic.serve(wait, &mut |record| (given, ()) = (given + 1, each(record)))?
                {
                    wait = Duration::ZERO;
                }
            }
            let reached = self.is_reached();
            if given > 0 || (reached && !reached_before) || Instant::now() >= deadline {
                return Ok(reached);
            }
        }
    }

    fn catch_up(&mut self) -> Result<(), LogError> {
        for topic in &mut self.topics {
            topic.find_end()?;
            // An end that was told before, and not heard yet, is void after a seek.
            seek_now(&topic.consumer, topic.positions(|place| place.next < place.target))?;
        }
        Ok(())
    }
}
