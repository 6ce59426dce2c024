//! The transactional producer of one worker.

use super::context::SendContext;
use super::errors;
use crate::log::{Class, LogError, Offset, Outgoing};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long one call may take before it fails.
const CALL_MAX: Duration = Duration::from_secs(20);
/// How long an answer may be overdue that has a limit of [`CALL_MAX`].
const ANSWER_MAX: Duration = Duration::from_secs(25);
const INIT_MAX: Duration = Duration::from_secs(60);
const ABORT_SLICE: Duration = Duration::from_millis(500);
/// Delivery reports are served once per so many sends.
const SERVE_EVERY: u32 = 512;
/// `BaseProducer::poll(t)` spins for its last millisecond and never returns early, so waiting is done here.
const NAP: Duration = Duration::from_micros(300);

pub(super) type Inner = BaseProducer<SendContext>;

/// A producer with a transactional id.
pub(super) struct TransactionalProducer {
    /// Shared with a call that may never return, see `send_offsets`.
    inner: Arc<Inner>,
    config: ClientConfig,
    id: String,
    sent: u32,
    open: bool,
}

/// A new client of that id; whatever transaction was open under it is settled.
fn init(config: &ClientConfig, id: &str) -> Result<Inner, LogError> {
    let context = || format!("producer \"{id}\"");
    let inner: Inner =
        config.create_with_context(SendContext::default()).map_err(|error| errors::fatal(context(), &error))?;
    let deadline = Instant::now() + INIT_MAX;
    while let Err(error) = inner.init_transactions(CALL_MAX) {
        let error = errors::of_transaction(context(), &error);
        if error.class != Class::Retriable || Instant::now() >= deadline {
            return Err(error);
        }
        tracing::warn!("{error}");
        sleep(Duration::from_millis(100));
    }
    Ok(inner)
}

impl TransactionalProducer {
    pub(super) fn open(config: ClientConfig, id: &str) -> Result<Self, LogError> {
        Ok(Self { inner: Arc::new(init(&config, id)?), config, id: id.into(), sent: 0, open: false })
    }

    pub(super) fn reopen(&mut self) -> Result<(), LogError> {
        self.open = false;
        self.inner = Arc::new(init(&self.config, &self.id)?);
        Ok(())
    }

    /// The error of a call, told together with the record that was not delivered, which is mostly why.
    fn failed(&self, what: &str, error: &KafkaError) -> LogError {
        let mut made = errors::of_transaction(format!("{what} of producer \"{}\"", self.id), error);
        if let Some((code, at)) = self.inner.context().take_failed() {
            let context = format!("record for partition {} of topic \"{}\"", at.partition, at.topic);
            let reason = errors::of_code(made.class, context, code);
            // A lasting reason would fail every new transaction in the same way.
            made.class = if reason.class == Class::Fatal { Class::Fatal } else { made.class };
            made.fenced |= reason.fenced;
            made.message = format!("{} ({reason})", made.message);
        }
        made
    }

    pub(super) fn begin(&mut self) -> Result<(), LogError> {
        self.inner.context().take_failed();
        self.inner.begin_transaction().map_err(|error| self.failed("begin", &error))?;
        self.open = true;
        Ok(())
    }

    pub(super) fn send(&mut self, record: &Outgoing<'_>) -> Result<(), LogError> {
        self.sent = self.sent.wrapping_add(1);
        if self.sent.is_multiple_of(SERVE_EVERY) {
            self.inner.poll(Duration::ZERO);
        }
        send(&self.inner, record.topic, Some(record.partition), record.key, record.value, record.headers).map_err(
            |error| {
                let context = format!("record for partition {} of topic \"{}\"", record.partition, record.topic);
                match (&error, self.inner.client().fatal_error()) {
                    (_, Some((code, text))) => {
                        let mut made = errors::of_code(Class::Reopen, context, code);
                        made.message = format!("{} ({text})", made.message);
                        made
                    }
                    // In a transaction that has to be aborted nothing can be sent.
                    (KafkaError::MessageProduction(Code::State | Code::QueueFull | Code::PurgeQueue), None) => {
                        errors::of_class(Class::Abortable, context, &error)
                    }
                    (_, None) => errors::fatal(context, &error),
                }
            },
        )
    }

    /// librdkafka waits for this answer without a limit of its own, and may lose it where coordinators go away: so it is
    /// asked on another thread, and left to itself when it does not come. The outcome is not known then.
    pub(super) fn send_offsets(&mut self, offsets: &[Offset], group: ConsumerGroupMetadata) -> Result<(), LogError> {
        let list = (|| {
            let mut list = TopicPartitionList::with_capacity(offsets.len());
            for offset in offsets {
                let mut element = list.add_partition(&offset.at.topic, offset.at.partition);
                element.set_offset(At::Offset(offset.next))?;
                element.set_metadata(offset.metadata.as_str());
            }
            Ok(list)
        })();
        let list = list.map_err(|error: KafkaError| errors::fatal("offsets to be committed".into(), &error))?;
        let (inner, (done, answer)) = (Arc::clone(&self.inner), channel());
        let ask = move || {
            let sent = inner.send_offsets_to_transaction(&list, &group, CALL_MAX);
            // The producer goes first: nobody else may be left to end it.
            drop(inner);
            let _ = done.send(sent);
        };
        let context = || format!("offsets of producer \"{}\"", self.id);
        let thread = std::thread::Builder::new().name("offsets".into()).spawn(ask);
        thread.map_err(|error| LogError::new(Class::Abortable, context(), error.to_string()))?;
        match answer.recv_timeout(ANSWER_MAX) {
            Ok(sent) => sent.map_err(|error| self.failed("offsets", &error)),
            Err(_) => {
                self.open = false;
                let message = format!("no answer in {} s; the producer is left to itself", ANSWER_MAX.as_secs());
                Err(LogError::new(Class::Reopen, context(), message))
            }
        }
    }

    /// Serves delivery reports until nothing is on its way: `commit_transaction`'s own flush takes 100 ms otherwise.
    fn drain(&self, max: Duration) {
        let deadline = Instant::now() + max;
        while self.inner.in_flight_count() > 0 && Instant::now() < deadline {
            // Each poll serves one event, which may report a whole batch.
            for _ in 0..16 {
                self.inner.poll(Duration::ZERO);
            }
            if self.inner.in_flight_count() > 0 {
                sleep(NAP);
            }
        }
    }

    pub(super) fn commit(&mut self) -> Result<(), LogError> {
        self.drain(CALL_MAX);
        self.inner.commit_transaction(CALL_MAX).map_err(|error| self.failed("commit", &error))?;
        self.open = false;
        Ok(())
    }

    /// librdkafka purges what is on its way, but waits for us to serve the reports of that, so it is called in slices.
    pub(super) fn abort(&mut self) -> Result<(), LogError> {
        let deadline = Instant::now() + CALL_MAX;
        loop {
            self.drain(ABORT_SLICE);
            let Err(error) = self.inner.abort_transaction(ABORT_SLICE) else { break };
            let error = self.failed("abort", &error);
            if error.class != Class::Retriable || Instant::now() >= deadline {
                return Err(error);
            }
        }
        self.inner.context().take_failed();
        self.open = false;
        Ok(())
    }
}

impl Drop for TransactionalProducer {
    /// An open transaction would keep readers waiting until the broker times it out.
    fn drop(&mut self) {
        if self.open {
            self.drain(ABORT_SLICE);
            if let Err(error) = self.inner.abort_transaction(ABORT_SLICE) {
                tracing::warn!("{}", self.failed("abort", &error));
            }
        }
    }
}

/// Sends one record, waiting while the buffer is full.
pub(super) fn send(
    producer: &Inner,
    topic: &str,
    partition: Option<i32>,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
    headers: &[(&str, &[u8])],
) -> Result<(), KafkaError> {
    let made = (!headers.is_empty()).then(|| {
        let empty = OwnedHeaders::new_with_capacity(headers.len());
        headers.iter().fold(empty, |made, (key, value)| made.insert(Header { key, value: Some(*value) }))
    });
    let mut record = BaseRecord { topic, partition, payload, key, timestamp: None, headers: made, delivery_opaque: () };
    let deadline = Instant::now() + CALL_MAX;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) if Instant::now() < deadline => {
                record = back;
                for _ in 0..16 {
                    producer.poll(Duration::ZERO);
                }
                sleep(NAP);
            }
            Err((error, _)) => return Err(error),
        }
    }
}
