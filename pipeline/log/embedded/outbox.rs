//! What a producer has taken and not yet handed to the log: one builder per partition, so that a send takes no lock.

use super::Shared;
use super::chunk::{Builder, CHUNK_BYTES, RECORD_BYTES_MAX};
use super::state::State;
use crate::log::{Class, LogError, Outgoing};
use std::sync::Arc;

struct Staged {
    topic: usize,
    name: Arc<str>,
    compacted: bool,
    /// Bytes taken for it so far.
    bytes: usize,
    partitions: Vec<Builder>,
}

/// The unsent records of one producer.
#[derive(Default)]
pub(super) struct Outbox {
    /// The topic of the last send comes first, so that a run of sends finds it at once.
    topics: Vec<Staged>,
}

impl Outbox {
    /// Takes a record; a builder that is full goes into the open transaction of producer `name`.
    pub(super) fn send(
        &mut self,
        shared: &Shared,
        (name, epoch): (&str, u64),
        record: &Outgoing<'_>,
    ) -> Result<(), LogError> {
        let refused = |message: String| {
            let context = format!("partition {} of topic \"{}\"", record.partition, record.topic);
            Err(LogError::new(Class::Fatal, context, message))
        };
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let staged = self.topic(shared, record.topic)?;
        if staged.compacted && record.key.is_none() {
            return refused("a compacted topic takes no record without a key".into());
        }
        if size > RECORD_BYTES_MAX {
            return refused(format!("a record of {size} bytes is larger than {RECORD_BYTES_MAX}"));
        }
        let (count, topic) = (staged.partitions.len(), staged.topic);
        let found = usize::try_from(record.partition).ok().and_then(|at| staged.partitions.get_mut(at));
        let Some(builder) = found else { return refused(format!("no such partition: the topic has {count}")) };
        staged.bytes += size;
        builder.push(shared.settings.stamp(), record.key, record.value, record.headers);
        if builder.size() >= CHUNK_BYTES {
            let full = builder.take();
            shared.lock().push(name, epoch, (topic, record.partition), full)?;
        }
        Ok(())
    }

    fn topic(&mut self, shared: &Shared, topic: &str) -> Result<&mut Staged, LogError> {
        let place = match self.topics.iter().position(|staged| &*staged.name == topic) {
            Some(place) => place,
            None => {
                let state = shared.lock();
                let topic = state.topic(topic)?;
                let found = &state.topics[topic];
                let (name, compacted) = (Arc::clone(&found.name), found.compacted);
                let partitions = found.partitions.iter().map(|_| Builder::default()).collect();
                self.topics.push(Staged { topic, name, compacted, bytes: 0, partitions });
                self.topics.len() - 1
            }
        };
        self.topics.swap(0, place);
        Ok(&mut self.topics[0])
    }

    /// Hands all that is staged to the open transaction.
    pub(super) fn flush(&mut self, state: &mut State, (name, epoch): (&str, u64)) -> Result<(), LogError> {
        for staged in &mut self.topics {
            let waiting = staged.partitions.iter_mut().enumerate().filter(|(_, builder)| !builder.is_empty());
            for (partition, builder) in waiting {
                state.push(name, epoch, (staged.topic, partition as i32), builder.take())?;
            }
        }
        Ok(())
    }

    /// Forgets all that is staged.
    pub(super) fn discard(&mut self) {
        self.topics.iter_mut().flat_map(|staged| &mut staged.partitions).for_each(Builder::clear);
    }

    /// Whether a topic that this producer writes to holds more than `bytes_max` for its readers. Who has written less in all
    /// is not who is ahead: he reads on, lest those who are wait for him.
    pub(super) fn is_ahead(&self, state: &State, bytes_max: usize) -> bool {
        self.topics.iter().any(|staged| {
            let topic = &state.topics[staged.topic];
            !topic.compacted && staged.bytes > bytes_max && topic.is_read() && topic.bytes() > bytes_max
        })
    }
}
