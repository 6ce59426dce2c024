//! What a micro-batch is to send, kept until it is committed: bytes in arenas, one list per task.

use super::Outgoing;
use schemas::output::{Emit, Output, Record};
use schemas::topics::Topics;
use std::ops::Range;
use std::sync::Arc;

const NONE: u32 = u32::MAX;

/// One record; key, value and headers follow each other in the task's bytes.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    key: u32,
    value: u32,
    /// Its headers in the task's list.
    headers: (u32, u32),
    /// Place in the list of outputs.
    output: u16,
    partition: i32,
}

/// A header's name and value in the task's bytes.
type Header = (Range<usize>, Range<usize>);

#[derive(Debug, Default)]
struct Task {
    task: i32,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    headers: Vec<Header>,
}

/// Where an output goes.
#[derive(Debug)]
struct Target {
    output: Output,
    topic: Arc<str>,
    /// Bytes of a record that the topic takes.
    bytes_max: usize,
}

/// What a record takes beside key and value: its headers, and what Kafka puts around it.
const AROUND_BYTES: usize = 4096;
/// Of a longer reason only the beginning is told.
const REASON_BYTES: usize = 1024;

/// Output records by task, in the order of emission; `clear` keeps the memory.
#[derive(Debug)]
pub struct Staged {
    /// Sorted by output.
    outputs: Vec<Target>,
    /// The first `live` of these are in use.
    tasks: Vec<Task>,
    live: usize,
    /// The task and the output of the last record.
    last: (usize, usize),
    /// Partitions of `late` and `dead-letters`: they may have fewer than the topic that a record came from.
    source_partitions: i32,
}

impl Staged {
    /// For the outputs of an application whose rooms say this, to others or to each other, whose `late` and `dead-letters`
    /// have so many partitions.
    pub fn new(topics: &Topics, of_rooms: &[Output], source_partitions: i32) -> Self {
        assert!(source_partitions > 0, "a topic has at least one partition");
        let mut outputs = topics.outputs(of_rooms);
        outputs.extend([Output::ByUser, Output::Models]);
        outputs.sort_unstable();
        let target = |output| Target { output, topic: topics.name(output).into(), bytes_max: usize::MAX };
        let outputs = outputs.into_iter().map(target).collect();
        Self { outputs, tasks: Vec::new(), live: 0, last: (0, 0), source_partitions }
    }

    /// What each topic takes, in bytes of a record. A longer one goes to `dead-letters` in its place; what is too long even
    /// for that is cut there: nothing that somebody sends may stop the service.
    pub fn limit(&mut self, mut bytes_max: impl FnMut(&str) -> usize) {
        for target in &mut self.outputs {
            target.bytes_max = bytes_max(&target.topic).saturating_sub(AROUND_BYTES);
        }
    }

    /// Forgets all records.
    pub fn clear(&mut self) {
        self.live = 0;
    }

    /// Forgets the records of one task.
    pub fn drop_task(&mut self, task: i32) {
        if let Some(place) = self.place(task) {
            self.live -= 1;
            // The order of the tasks says nothing; that of the records of each is kept.
            self.tasks.swap(place, self.live);
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.tasks().all(|task| task.spans.is_empty())
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.tasks().map(|task| task.spans.len()).sum()
    }

    /// Bytes of keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.tasks().map(|task| task.bytes.len()).sum()
    }

    /// How many records go to each output, of those that get any.
    pub fn counts(&self) -> Vec<(Output, u64)> {
        let mut counts = vec![0; self.outputs.len()];
        for span in self.tasks().flat_map(|task| &task.spans) {
            counts[usize::from(span.output)] += 1;
        }
        let outputs = self.outputs.iter().map(|target| target.output);
        outputs.zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// The tasks that have records.
    pub fn task_ids(&self) -> impl Iterator<Item = i32> + '_ {
        self.tasks().map(|task| task.task)
    }

    /// Gives each record of a task to `each`, in order, until one fails.
    pub fn send<E>(&self, task: i32, mut each: impl FnMut(Outgoing<'_>) -> Result<(), E>) -> Result<(), E> {
        let Some(task) = self.tasks().find(|staged| staged.task == task) else { return Ok(()) };
        let mut headers = Vec::new();
        for span in &task.spans {
            let mut at = span.start;
            let mut part = |length: u32| {
                (length != NONE).then(|| {
                    at += length as usize;
                    &task.bytes[at - length as usize..at]
                })
            };
            let (key, value) = (part(span.key), part(span.value));
            headers.clear();
            for (name, value) in &task.headers[span.headers.0 as usize..span.headers.1 as usize] {
                let name = std::str::from_utf8(&task.bytes[name.clone()]).expect("copied from text");
                headers.push((name, &task.bytes[value.clone()]));
            }
            let topic = &self.outputs[usize::from(span.output)].topic;
            each(Outgoing { topic, partition: span.partition, key, value, headers: &headers })?;
        }
        Ok(())
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks[..self.live].iter()
    }

    fn place(&self, task: i32) -> Option<usize> {
        self.tasks().position(|staged| staged.task == task)
    }

    /// The task's list, begun where there is none.
    fn task_mut(&mut self, task: i32) -> &mut Task {
        let last = self.last.0;
        let place = if last < self.live && self.tasks[last].task == task { Some(last) } else { self.place(task) };
        let place = place.unwrap_or_else(|| {
            if self.live == self.tasks.len() {
                self.tasks.push(Task::default());
            }
            let begun = &mut self.tasks[self.live];
            begun.task = task;
            begun.bytes.clear();
            begun.spans.clear();
            begun.headers.clear();
            self.live += 1;
            self.live - 1
        });
        self.last.0 = place;
        &mut self.tasks[place]
    }
}

impl Emit for Staged {
    /// # Panics
    /// Where the output is none of the application's.
    fn emit(&mut self, task: i32, record: Record<'_>) {
        let place = self.target(record.output);
        let target = &self.outputs[place];
        let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let bytes = bytes(record.key) + bytes(record.value);
        if bytes <= target.bytes_max {
            self.put(task, record);
        } else if record.output == Output::DeadLetter {
            let bytes_max = target.bytes_max;
            self.put_cut(task, record, bytes_max);
        } else {
            self.put_aside(task, record, bytes);
        }
    }
}

impl Staged {
    /// The place of an output.
    fn target(&mut self, output: Output) -> usize {
        if self.outputs[self.last.1].output != output {
            let found = self.outputs.binary_search_by_key(&output, |target| target.output);
            self.last.1 = found.expect("an output of a view or room that was named when this was made");
        }
        self.last.1
    }

    /// A record that its topic does not take.
    fn put_aside(&mut self, task: i32, record: Record<'_>, bytes: usize) {
        let place = self.target(record.output);
        let Target { topic, bytes_max, .. } = &self.outputs[place];
        let (topic, takes) = (topic.to_string(), bytes_max.saturating_add(AROUND_BYTES));
        let reason = format!(
            "a record of {bytes} bytes for topic {topic}, whose max.message.bytes is {takes}: raise it (kafka-configs.sh \
             --alter --topic {topic} --add-config max.message.bytes=...) and restart, or have it say less: shorter values, fewer items at once"
        );
        tracing::warn!("{reason}");
        let partition = record.partition.to_string();
        let headers: [(&str, &[u8]); 3] = [
            ("wellspring.error", reason.as_bytes()),
            ("wellspring.topic", topic.as_bytes()),
            ("wellspring.partition", partition.as_bytes()),
        ];
        self.emit(task, Record { output: Output::DeadLetter, headers: &headers, ..record });
    }

    /// A dead letter that `dead-letters` does not take as it is: its bytes are still where its headers say.
    fn put_cut(&mut self, task: i32, record: Record<'_>, bytes_max: usize) {
        let key = record.key.filter(|key| key.len() <= bytes_max / 2);
        let value = record.value.unwrap_or_default();
        let kept = &value[..value.len().min(bytes_max - key.map_or(0, <[u8]>::len))];
        let bytes = value.len().to_string();
        let mut headers = record.headers.to_vec();
        headers.push(("wellspring.cut", bytes.as_bytes()));
        self.put(task, Record { key, value: Some(kept), headers: &headers, ..record });
    }

    fn put(&mut self, task: i32, record: Record<'_>) {
        let output = self.target(record.output) as u16;
        let partition = match record.output {
            Output::Late | Output::DeadLetter => record.partition % self.source_partitions,
            _ => record.partition,
        };
        let staged = self.task_mut(task);
        let start = staged.bytes.len();
        staged.bytes.extend_from_slice(record.key.unwrap_or_default());
        staged.bytes.extend_from_slice(record.value.unwrap_or_default());
        let first = staged.headers.len() as u32;
        for (name, value) in record.headers {
            let value = if *name == "wellspring.error" { beginning(value) } else { value };
            let (from, middle) = (staged.bytes.len(), staged.bytes.len() + name.len());
            staged.bytes.extend_from_slice(name.as_bytes());
            staged.bytes.extend_from_slice(value);
            staged.headers.push((from..middle, middle..staged.bytes.len()));
        }
        let length = |part: Option<&[u8]>| part.map_or(NONE, |bytes| bytes.len() as u32);
        staged.spans.push(Span {
            start,
            key: length(record.key),
            value: length(record.value),
            headers: (first, staged.headers.len() as u32),
            output,
            partition,
        });
    }
}

/// The beginning of a reason; it ends between two letters.
fn beginning(reason: &[u8]) -> &[u8] {
    let end =
        (0..=reason.len().min(REASON_BYTES)).rev().find(|&at| reason.get(at).is_none_or(|byte| byte & 0xc0 != 0x80));
    &reason[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use schemas::output::Room;

    use super::*;

    #[test]
    fn what_is_too_long_for_its_topic_is_a_dead_letter_and_cut_where_it_must_be() {
        let topics = Topics::new("app", "", vec!["v".into()]);
        let mut staged = Staged::new(&topics, &[], 12);
        staged.limit(|topic| AROUND_BYTES + if topic == "dead-letters" { 100 } else { 10 });
        let value = "é".repeat(60);
        for (output, value) in
            [(Output::View(0), "short"), (Output::View(0), "longer than ten"), (Output::View(0), value.as_str())]
        {
            staged
                .emit(0, Record { output, partition: 1, key: Some(b"k"), value: Some(value.as_bytes()), headers: &[] });
        }
        let reason = "é".repeat(REASON_BYTES);
        let headers: [(&str, &[u8]); 1] = [("wellspring.error", &reason.as_bytes()[..2 * REASON_BYTES - 1])];
        let key = [b'k'; 90];
        let record =
            Record { output: Output::DeadLetter, partition: 1, key: Some(&key), value: Some(&key), headers: &headers };
        staged.emit(0, record);
        let mut seen = Vec::new();
        let all = staged.send(0, |record| {
            let header =
                |name: &str| record.headers.iter().find(|(of, _)| *of == name).map(|(_, value)| value.to_vec());
            let lengths = (record.key.map(<[u8]>::len), record.value.map(<[u8]>::len));
            seen.push((record.topic.to_owned(), lengths, header("wellspring.cut"), header("wellspring.error")));
            Ok::<_, ()>(())
        });
        all.unwrap();
        assert_eq!((seen[0].0.as_str(), seen[0].1), ("features.v", (Some(1), Some(5))));
        assert_eq!((seen[1].0.as_str(), seen[1].1, &seen[1].2), ("dead-letters", (Some(1), Some(15)), &None));
        let reason = String::from_utf8(seen[1].3.clone().unwrap()).unwrap();
        assert!(reason.contains("16 bytes for topic features.v") && reason.contains("max.message.bytes"), "{reason}");
        assert_eq!((seen[2].1, seen[2].2.as_deref()), ((Some(1), Some(99)), Some(&b"120"[..])));
        assert_eq!((seen[3].1, seen[3].2.as_deref()), ((None, Some(90)), Some(&b"90"[..])));
        let reason = String::from_utf8(seen[3].3.clone().unwrap()).unwrap();
        assert_eq!(reason.len(), REASON_BYTES, "whole letters");
    }

    fn texts(staged: &Staged, task: i32) -> Vec<String> {
        let mut seen = Vec::new();
        let all = staged.send(task, |record| {
            let text =
                |bytes: Option<&[u8]>| format!("{:?}", bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
            seen.push(format!(
                "{} {} {} {} {:?}",
                record.topic,
                record.partition,
                text(record.key),
                text(record.value),
                record.headers
            ));
            Ok::<_, ()>(())
        });
        all.unwrap();
        seen
    }

    #[test]
    fn late_rows_and_dead_letters_fit_the_partitions_of_their_topics() {
        let topics = Topics::new("app", "", vec!["v".into()]);
        let mut staged = Staged::new(&topics, &[], 12);
        for output in [Output::DeadLetter, Output::Late, Output::View(0)] {
            staged.emit(0, Record { output, partition: 63, key: None, value: None, headers: &[] });
        }
        let mut partitions = Vec::new();
        let all = staged.send(0, |record| {
            partitions.push(record.partition);
            Ok::<_, ()>(())
        });
        assert_eq!((all, partitions), (Ok(()), vec![3, 3, 63]));
    }

    #[test]
    fn records_come_back_by_task_in_order() {
        let topics = Topics::new("app", "p.", vec!["v".into()]);
        let mut staged = Staged::new(&topics, &[Output::Encoding(Room::Sdim)], 12);
        let record = |output, key: Option<&'static str>, value: Option<&'static str>| Record {
            output,
            partition: 3,
            key: key.map(str::as_bytes),
            value: value.map(str::as_bytes),
            headers: &[],
        };
        for _ in 0..2 {
            staged.clear();
            staged.emit(7, record(Output::View(0), Some("a"), Some("1")));
            staged.emit(8, record(Output::Encoding(Room::Sdim), Some("b"), None));
            let headers: [(&str, &[u8]); 1] = [("e", b"x")];
            staged.emit(7, Record { headers: &headers, ..record(Output::DeadLetter, None, Some("2")) });
            assert_eq!(
                texts(&staged, 7),
                [r#"p.features.v 3 Some("a") Some("1") []"#, r#"p.dead-letters 3 None Some("2") [("e", [120])]"#]
            );
            assert_eq!(texts(&staged, 8), [r#"p.encodings.sdim 3 Some("b") None []"#]);
            assert_eq!((staged.len(), staged.bytes()), (3, 6));
        }
        staged.drop_task(7);
        assert_eq!((texts(&staged, 7).len(), texts(&staged, 8).len(), staged.len()), (0, 1, 1));
        assert_eq!(staged.counts(), [(Output::Encoding(Room::Sdim), 1)]);
    }
}
