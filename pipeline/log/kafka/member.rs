//! One member of a consumer group with its transactional producer.

use super::closing::Closing;
use super::context::{MemberContext, Moved};
use super::ends::cached_ends;
use super::producer::TransactionalProducer;
use super::{errors, left_until, list_of, seek_now};
use crate::log::fencing::Fencings;
use crate::log::passing::Passing;
use crate::log::{Change, Class, Incoming, Log, LogError, Offset, Outgoing, TopicPartition};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset as At;
use std::time::{Duration, Instant};

const CALL_MAX: Duration = Duration::from_secs(20);

/// A partition that is this member's.
struct Place {
    at: TopicPartition,
    /// The next offset; none before the first seek.
    next: Option<i64>,
    resumed: bool,
    /// A record was taken from librdkafka and not given, so that it has to be fetched again.
    rewind: bool,
    told_end: bool,
}

/// A member of a Kafka consumer group, with its producer.
pub(super) struct KafkaLog {
    // Dropped first: leaving the group must not find the producer gone.
    consumer: Closing<MemberContext>,
    producer: TransactionalProducer,
    group: String,
    /// With what to join again.
    config: ClientConfig,
    topics: Vec<String>,
    fencings: Fencings,
    passing: Passing,
    places: Vec<Place>,
    /// The place of the last record.
    last: usize,
    /// What happened after records were given, to be told by the next poll.
    later: Vec<Change>,
}

/// What one call of librdkafka's poll brought.
enum Event {
    Given,
    Nothing,
    Told(Vec<Change>),
}

impl KafkaLog {
    /// Joins `group`, with a producer that has fenced whoever had its name before.
    pub(super) fn open(
        config: ClientConfig,
        producer: TransactionalProducer,
        group: &str,
        topics: &[String],
    ) -> Result<Self, LogError> {
        let (consumer, topics) = (join(&config, group, topics)?, topics.to_vec());
        let (fencings, passing) = (Fencings::default(), Passing::default());
        let (group, places, later) = (group.into(), Vec::new(), Vec::new());
        Ok(Self { consumer, producer, group, config, topics, fencings, passing, places, last: 0, later })
    }

    /// Takes over what a rebalance did inside of librdkafka's poll.
    fn follow_rebalance(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for moved in self.consumer.context().take_moved() {
            match moved {
                Moved::Here(partitions) => {
                    let here = |(topic, partition): (String, i32)| TopicPartition { topic: topic.into(), partition };
                    let here: Vec<TopicPartition> = partitions.into_iter().map(here).collect();
                    self.places.extend(here.iter().map(|at| Place {
                        at: at.clone(),
                        next: None,
                        resumed: false,
                        rewind: false,
                        told_end: false,
                    }));
                    changes.push(Change::Assigned(here));
                }
                Moved::Away(partitions) => {
                    let is_away = |at: &TopicPartition| {
                        partitions.iter().any(|(topic, partition)| *at.topic == **topic && at.partition == *partition)
                    };
                    let away = self.places.extract_if(.., |place| is_away(&place.at));
                    changes.push(Change::Revoked(away.map(|place| place.at).collect()));
                }
            }
        }
        changes
    }

    /// Serves one event; `give` says whether records may be given now.
    fn serve(&mut self, wait: Duration, mut give: Option<&mut dyn FnMut(Incoming<'_>)>) -> Result<Event, LogError> {
        let Self { consumer, places, last, .. } = self;
        let consumer: &BaseConsumer<MemberContext> = consumer;
        let error = match consumer.poll(wait) {
            None => {
                let changes = self.follow_rebalance();
                return Ok(if changes.is_empty() { Event::Nothing } else { Event::Told(changes) });
            }
            Some(Err(error)) => error,
            Some(Ok(message)) => {
                let (partition, offset) = (message.partition(), message.offset());
                let is_it = |place: &Place| place.at.partition == partition && *place.at.topic == *message.topic();
                if !places.get(*last).is_some_and(is_it) {
                    // A record of a partition that has been revoked may still stand in the queue.
                    let Some(found) = places.iter().position(is_it) else { return Ok(Event::Nothing) };
                    *last = found;
                }
                let place = &mut places[*last];
                let Some(next) = place.next else { return Ok(Event::Nothing) };
                let Some(each) = give.as_mut().filter(|_| place.resumed) else {
                    place.rewind = true;
                    return Ok(Event::Nothing);
                };
                // librdkafka went back to the beginning of a log that does not reach as far as what was read of it.
                if offset < next {
                    return Err(shortened(&place.at, next));
                }
                // Markers and compaction leave gaps; but where the log begins behind what was wanted, records are lost.
                if offset > next && cached_ends(consumer.client(), &place.at).is_some_and(|(low, _)| low > next) {
                    return Err(trimmed(&place.at, next));
                }
                (place.next, place.told_end) = (Some(offset + 1), false);
                each(Incoming {
                    topic: &place.at.topic,
                    partition,
                    offset,
                    timestamp_ms: message.timestamp().to_millis(),
                    key: message.key(),
                    value: message.payload(),
                });
                return Ok(Event::Given);
            }
        };
        match error {
            KafkaError::PartitionEOF(partition) => Ok(Event::Told(self.at_end(partition))),
            error => self.poll_failed(error),
        }
    }

    fn poll_failed(&mut self, error: KafkaError) -> Result<Event, LogError> {
        let context = format!("reading as a member of group \"{}\"", self.group);
        if let KafkaError::MessageConsumptionFatal(code) = error {
            let made = errors::fatal(context, &error);
            return if code == Code::FencedInstanceId { self.rejoin(made) } else { Err(made) };
        }
        let mut made = errors::of_class(Class::Retriable, context, &error);
        // A broker that has just come back may not know of a topic yet; one that is gone is found out by who watches them.
        if error.rdkafka_error_code() == Some(Code::UnknownTopicOrPartition) {
            made.class = Class::Retriable;
        }
        if made.class == Class::Fatal {
            return Err(made);
        }
        self.passing.tell(&made);
        Ok(Event::Nothing)
    }

    /// A coordinator that crashes in the middle of a rebalance may take this member for its own forerunner, and fence it;
    /// librdkafka's consumer is dead then. A new one takes the place back, with nothing assigned.
    fn rejoin(&mut self, error: LogError) -> Result<Event, LogError> {
        self.fencings.count(&error, Duration::ZERO)?;
        tracing::warn!("joining again: {error}");
        self.consumer = join(&self.config, &self.group, &self.topics)?;
        let lost: Vec<TopicPartition> = self.places.drain(..).map(|place| place.at).collect();
        Ok(if lost.is_empty() { Event::Nothing } else { Event::Told(vec![Change::Revoked(lost)]) })
    }

    /// librdkafka names the partition that stands at its end, but not its topic.
    fn at_end(&mut self, partition: i32) -> Vec<Change> {
        let could_be = |place: &Place| place.at.partition == partition && place.resumed && !place.told_end;
        let candidates: Vec<usize> = (0..self.places.len()).filter(|place| could_be(&self.places[*place])).collect();
        let behind = |place: &Place| {
            let (topic, next) = (&place.at.topic, place.next.unwrap_or(0));
            let ends = self.consumer.fetch_watermarks(topic, partition, CALL_MAX);
            // Up to the markers at the end, which no reader sees.
            ends.map_or(i64::MAX, |(_, end)| end - next)
        };
        let found = match candidates[..] {
            [one] => Some(one),
            _ => candidates.into_iter().min_by_key(|place| behind(&self.places[*place])),
        };
        found.map_or_else(Vec::new, |place| {
            self.places[place].told_end = true;
            vec![Change::AtEnd(self.places[place].at.clone())]
        })
    }

    /// Lets the group have its say without giving a record.
    fn serve_group(&mut self, timeout: Duration) -> Result<Vec<Change>, LogError> {
        let running: Vec<TopicPartition> =
            self.places.iter().filter(|place| place.resumed).map(|place| place.at.clone()).collect();
        // Paused, what was fetched in advance is void, and a rebalance does not wait behind it.
        self.pause(&running)?;
        let deadline = Instant::now() + timeout;
        let mut changes = std::mem::take(&mut self.later);
        loop {
            match self.serve(left_until(deadline), None)? {
                Event::Told(told) => changes.extend(told),
                Event::Given | Event::Nothing if Instant::now() >= deadline => break,
                Event::Given | Event::Nothing => {}
            }
        }
        let still: Vec<TopicPartition> = running
            .into_iter()
            .filter(|at| self.places.iter().any(|place| place.at == *at && place.next.is_some()))
            .collect();
        self.resume(&still)?;
        Ok(changes)
    }

    /// None where it is not this member's (any more), or will not be, since librdkafka's consumer is dead.
    fn place_mut(&mut self, at: &TopicPartition) -> Option<&mut Place> {
        if self.consumer.client().fatal_error().is_some() {
            return None;
        }
        self.places.iter_mut().find(|place| place.at == *at)
    }
}

fn join(config: &ClientConfig, group: &str, topics: &[String]) -> Result<Closing<MemberContext>, LogError> {
    let context = || format!("member of group \"{group}\"");
    let made = config.create_with_context(MemberContext::default());
    let consumer: BaseConsumer<MemberContext> = made.map_err(|error| errors::fatal(context(), &error))?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    // Who reads nothing only sends.
    if !topics.is_empty() {
        consumer.subscribe(&topics).map_err(|error| errors::fatal(context(), &error))?;
    }
    Ok(Closing::new(consumer))
}

fn trimmed(at: &TopicPartition, next: i64) -> LogError {
    LogError::new(
        Class::Fatal,
        format!("offset {next} of partition {} of topic \"{}\"", at.partition, at.topic),
        "was deleted by the topic's retention before it was read: raise `retention.ms`, and decide where to go on"
            .into(),
    )
}

fn shortened(at: &TopicPartition, next: i64) -> LogError {
    LogError::new(
        Class::Fatal,
        format!("offset {next} of partition {} of topic \"{}\"", at.partition, at.topic),
        "lies behind the end of the log, which has lost records or was made anew: restore the topic, or decide where to \
         go on (kafka-consumer-groups.sh --reset-offsets)"
            .into(),
    )
}

impl Log for KafkaLog {
    fn poll(
        &mut self,
        timeout: Duration,
        max_records: usize,
        each: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<Vec<Change>, LogError> {
        if max_records == 0 {
            return self.serve_group(timeout);
        }
        let deadline = Instant::now() + timeout;
        let mut changes = std::mem::take(&mut self.later);
        let mut given = 0;
        while given < max_records {
            let waits = given == 0 && changes.is_empty();
            let wait = if waits { left_until(deadline) } else { Duration::ZERO };
            match self.serve(wait, Some(each))? {
                Event::Given => given += 1,
                Event::Told(told) if given == 0 => changes.extend(told),
                Event::Told(told) => {
                    // It happened after records that were given, so it is told before the next ones.
                    let rebalanced = told.iter().any(|change| !matches!(change, Change::AtEnd(_)));
                    self.later.extend(told);
                    if rebalanced {
                        break;
                    }
                }
                Event::Nothing if waits && Instant::now() < deadline => {}
                Event::Nothing => break,
            }
        }
        let places = &self.places;
        let still = |change: &Change| match change {
            Change::AtEnd(at) => places.iter().any(|place| place.at == *at && place.told_end),
            _ => true,
        };
        self.later.retain(still);
        Ok(changes)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let mut paused = Vec::new();
        for at in partitions {
            let Some(place) = self.place_mut(at) else { continue };
            place.resumed = false;
            paused.push(at);
        }
        if paused.is_empty() {
            return Ok(());
        }
        let list = list_of(paused.into_iter().map(|at| (at, None)))?;
        self.consumer.pause(&list).map_err(|error| errors::fatal("pausing partitions".into(), &error))
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let mut resumed = Vec::new();
        for at in partitions {
            let Some(place) = self.place_mut(at) else { continue };
            let Some(next) = place.next else {
                let context = format!("partition {} of topic \"{}\"", at.partition, at.topic);
                return Err(LogError::new(Class::Fatal, context, "has no position: seek before resume".into()));
            };
            (place.resumed, place.rewind) = (true, false);
            resumed.push((at.clone(), next));
        }
        if resumed.is_empty() {
            return Ok(());
        }
        let list = list_of(resumed.iter().map(|(at, _)| (at, None)))?;
        self.consumer.resume(&list).map_err(|error| errors::fatal("resuming partitions".into(), &error))?;
        // It also wakes the thread that fetches, which would else notice up to a second later that there is something to do.
        seek_now(&self.consumer, resumed)
    }

    fn seek(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        let mut sought = Vec::new();
        for (at, next) in positions {
            let Some(place) = self.place_mut(at) else { continue };
            (place.next, place.rewind, place.told_end) = (Some(*next), false, false);
            sought.push((at.clone(), *next));
        }
        seek_now(&self.consumer, sought)
    }

    fn assignment(&mut self) -> Result<Vec<TopicPartition>, LogError> {
        Ok(self.places.iter().map(|place| place.at.clone()).collect())
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        let context = || format!("committed offsets of group \"{}\"", self.group);
        let list = list_of(partitions.iter().map(|at| (at, None)))?;
        let found = self.consumer.committed_offsets(list, CALL_MAX);
        let found = found.map_err(|error| errors::of_class(Class::Retriable, context(), &error))?;
        let one = |at: &TopicPartition| {
            let Some(element) = found.find_partition(&at.topic, at.partition) else { return Ok(None) };
            element.error().map_err(|error| errors::of_class(Class::Retriable, context(), &error))?;
            let At::Offset(next) = element.offset() else { return Ok(None) };
            Ok(Some(Offset { at: at.clone(), next, metadata: element.metadata().into() }))
        };
        partitions.iter().map(one).collect()
    }

    fn watermarks(&mut self, at: &TopicPartition) -> Result<(i64, i64), LogError> {
        let context = || format!("ends of partition {} of topic \"{}\"", at.partition, at.topic);
        let found = self.consumer.fetch_watermarks(&at.topic, at.partition, CALL_MAX);
        found.map_err(|error| errors::of_class(Class::Retriable, context(), &error))
    }

    fn ends(&self, at: &TopicPartition) -> Option<(i64, i64)> {
        cached_ends(self.consumer.client(), at)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.producer.begin()
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), LogError> {
        self.producer.send(&record)
    }

    fn send_offsets(&mut self, offsets: &[Offset]) -> Result<(), LogError> {
        let refused = |message: String| {
            Err(LogError::new(Class::Abortable, format!("offsets of group \"{}\"", self.group), message))
        };
        // The metadata fetched below is of the newest generation, which may have given a partition to another.
        if let Some(lost) = offsets.iter().find(|offset| self.places.iter().all(|place| place.at != offset.at)) {
            let at = &lost.at;
            return refused(format!(
                "partition {} of topic \"{}\" is not this member's (any more)",
                at.partition, at.topic
            ));
        }
        if self.consumer.assignment_lost() {
            return refused("the assignment is lost: this member was not heard of in time".into());
        }
        let Some(metadata) = self.consumer.group_metadata() else {
            return refused("this member has not joined yet".into());
        };
        self.producer.send_offsets(offsets, metadata)
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.producer.commit()
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.producer.abort()
    }

    fn reopen(&mut self) -> Result<(), LogError> {
        self.producer.reopen()
    }
}
