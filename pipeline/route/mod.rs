//! Route: input records become rows for the users they concern, packed by destination, in one transaction.
//!
//! # Layout
//! - [`rows`]: half-events, and the builders of packed rows.
//! - [`progress`]: event time and idleness of each source partition.

pub mod progress;
pub mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::event::EventColumns;
use schemas::output::{Emit, Output, Record, Room};
use schemas::packed::{self, Control, Header, Progress};
use schemas::partition::partition_of;
use schemas::request::{Candidates, Request};

use self::progress::{Kept, Source, Told};
use self::rows::{Half, Origin, Rows, halves};
use crate::dead_letter;
use crate::decode::{Admission, DecodeError, Event, decode_candidates, decode_feedback, decode_forget, decode_item};
use crate::log::transaction::TaskOffset;
use crate::log::{Incoming, Log, Offset, TopicPartition};
use crate::metrics::{Stage as Meter, Work, thread_cpu};
use crate::stage::{Stage, StageError};

/// A packed record is cut at this size.
const PACKED_BYTES_MAX: usize = 512 << 10;
/// By-user partitions without rows are told about watermarks at most this often.
const CONTROL_INTERVAL: Duration = Duration::from_millis(200);
/// All that a router stages is one task's: rows of several source partitions share a packed record.
const TASK: i32 = 0;

/// What a router must know.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// Which events are let in.
    pub admission: Admission,
    /// The full name of the `events` topic.
    pub events: Arc<str>,
    /// The full name of the `forget` topic.
    pub forget: Arc<str>,
    /// Requests for scores, where they are answered.
    pub candidates: Option<CandidatesConfig>,
    /// How many partitions the `events` topic has.
    pub events_partitions: i32,
    /// N: the partitions of `by-user`.
    pub by_user_partitions: u32,
    /// The length of item vectors, where a room uses them.
    pub dim: Option<usize>,
    /// The version of items that is to be in force; 0 is from the beginning.
    pub items_version: u64,
    /// `events.out_of_orderness_ms`.
    pub out_of_orderness_ms: i64,
    /// `events.idle_timeout_ms`.
    pub idle_timeout: Duration,
}

/// What a router must know of requests for scores.
#[derive(Clone, Debug)]
pub struct CandidatesConfig {
    /// The full name of the `candidates` topic.
    pub candidates: Arc<str>,
    /// The full name of the `feedback` topic.
    pub feedback: Arc<str>,
    /// `candidates.items_max`.
    pub items_max: usize,
}

/// What a router has read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records of all inputs.
    pub records: u64,
    /// Those that were dead letters.
    pub dead_letters: u64,
}

/// The router: the stage that reads `events` and `items` and writes `by-user` and `dead-letters`.
pub struct Router {
    config: RouterConfig,
    meter: Meter,
    sources: BTreeMap<TopicPartition, Input>,
    destinations: Vec<Destination>,
    /// The next transaction names all partitions of the events to everybody.
    announce: bool,
    /// Nobody was told yet which version of items is to be in force.
    tells_items: bool,
    told_at: Duration,
    now: Duration,
    packed: Vec<u8>,
    counters: Counters,
    /// Rows of this micro-batch.
    rows: u64,
}

/// An input partition.
struct Input {
    source: Source,
    /// The next record to read, and the one at the last commit.
    next: i64,
    committed: i64,
}

struct Destination {
    rows: Rows,
    /// What is asked after the rows, and about how many bytes that is.
    requests: Vec<Request>,
    request_bytes: usize,
    told: Told,
}

impl Destination {
    fn new(columns: &EventColumns) -> Self {
        Self { rows: Rows::new(columns), requests: Vec::new(), request_bytes: 0, told: Told::default() }
    }

    fn bytes(&self) -> usize {
        self.rows.bytes() + self.request_bytes
    }
}

impl Router {
    /// A router with no partitions yet.
    pub fn new(config: RouterConfig, meter: Meter) -> Self {
        let destination = |_| Destination::new(&config.admission.columns);
        let destinations = (0..config.by_user_partitions).map(destination).collect();
        Self {
            config,
            meter,
            sources: BTreeMap::new(),
            destinations,
            announce: false,
            tells_items: false,
            told_at: Duration::ZERO,
            now: Duration::ZERO,
            packed: Vec::new(),
            counters: Counters::default(),
            rows: 0,
        }
    }

    /// What has been read so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn event(&mut self, record: Incoming<'_>, staged: &mut dyn Emit) -> Result<(), DecodeError> {
        let event = self.config.admission.event(record)?;
        self.meter.undeclared(event.undeclared);
        let input = self.sources.get_mut(&at(record)).expect("records come from assigned partitions only");
        let source = &mut input.source;
        let origin = Origin { stamp: source.watermark(), partition: record.partition, offset: record.offset };
        source.saw(event.time);
        let (first, second) = halves(&event);
        for half in [Some(first), second].into_iter().flatten() {
            self.push(origin, half, &event, staged);
        }
        Ok(())
    }

    /// A record that is no event; items are only looked at.
    fn read_other(&self, record: Incoming<'_>) -> Result<Option<Request>, DecodeError> {
        let RouterConfig { admission, forget, candidates, dim, .. } = &self.config;
        let topic = &**record.topic;
        if *topic == **forget {
            return decode_forget(admission.value(record)?).map(|user_id| Some(Request::Forget(user_id.into_owned())));
        }
        match candidates {
            Some(of) if *topic == *of.candidates => {
                let asked: Candidates = decode_candidates(admission.value(record)?)?.within(of.items_max)?.into();
                Ok(Some(Request::Candidates(Candidates { appended_ms: record.timestamp_ms, ..asked })))
            }
            Some(of) if *topic == *of.feedback => {
                decode_feedback(admission.value(record)?).map(|given| Some(given.into()))
            }
            _ if record.value.is_none() => Ok(None),
            _ => decode_item(admission.value(record)?, *dim).map(|_| None),
        }
    }

    /// What was routed of the user before goes before, what comes after goes after.
    fn request(&mut self, request: Request, staged: &mut dyn Emit) {
        let partition = partition_of(request.user_id().as_bytes(), self.config.by_user_partitions);
        let destination = &mut self.destinations[partition as usize];
        destination.request_bytes += request.bytes();
        destination.requests.push(request);
        if destination.bytes() >= PACKED_BYTES_MAX {
            self.send(partition, Vec::new(), staged);
        }
    }

    fn push(&mut self, origin: Origin, half: Half<'_>, event: &Event<'_>, staged: &mut dyn Emit) {
        let partition = partition_of(half.user_id.as_bytes(), self.config.by_user_partitions);
        if !self.destinations[partition as usize].requests.is_empty() {
            self.send(partition, Vec::new(), staged);
        }
        let destination = &mut self.destinations[partition as usize];
        destination.rows.push(origin, half, event);
        self.rows += 1;
        if destination.bytes() >= PACKED_BYTES_MAX {
            self.send(partition, Vec::new(), staged);
        }
    }

    /// Stages one packed record for `partition`: its rows and requests, if any, and `controls`.
    fn send(&mut self, partition: i32, controls: Vec<Control>, staged: &mut dyn Emit) {
        let destination = &mut self.destinations[partition as usize];
        let rows = destination.rows.take();
        destination.request_bytes = 0;
        let requests = std::mem::take(&mut destination.requests);
        let topic = if rows.is_some() { self.config.events.to_string() } else { String::new() };
        let columns = self.config.admission.columns.declared().to_vec();
        self.packed.clear();
        let header = Header { topic, columns, controls, requests, versions: BTreeMap::new() };
        packed::write(&header, rows.as_ref(), &mut self.packed).expect("rows of the wire schema can be written");
        let value = Some(self.packed.as_slice());
        staged.emit(TASK, Record { output: Output::ByUser, partition, key: None, value, headers: &[] });
    }

    /// The first that a router says after an assignment, before all rows: which version of items is in force. So a run, and a
    /// new application, has it from its beginning on, however its records are cut into transactions.
    fn tell_items(&mut self, staged: &mut dyn Emit) {
        if !std::mem::take(&mut self.tells_items) || self.config.items_version == 0 {
            return;
        }
        let versions = BTreeMap::from([(Room::Items.name().to_owned(), self.config.items_version)]);
        self.packed.clear();
        packed::write(&Header { versions, ..Header::default() }, None, &mut self.packed)
            .expect("a header becomes JSON");
        for partition in 0..self.destinations.len() as i32 {
            let value = Some(self.packed.as_slice());
            staged.emit(TASK, Record { output: Output::ByUser, partition, key: None, value, headers: &[] });
        }
    }

    /// What is news for `partition` about the source partitions.
    fn controls(&mut self, partition: usize) -> Vec<Control> {
        let told = &mut self.destinations[partition].told;
        let control = |partition, progress| Control { topic: self.config.events.to_string(), partition, progress };
        let mut controls = Vec::new();
        if self.announce {
            told.clear();
            controls.extend((0..self.config.events_partitions).map(|partition| control(partition, Progress::Named)));
        }
        let events = self.sources.iter().filter(|(at, _)| at.topic == self.config.events);
        let news = events.filter_map(|(at, input)| {
            let progress = told.news(at.partition, input.source.progress())?;
            (progress != Progress::Named).then(|| control(at.partition, progress))
        });
        controls.extend(news);
        controls
    }

    fn dead_letter(&mut self, record: Incoming<'_>, error: &DecodeError, staged: &mut dyn Emit) {
        dead_letter::emit(TASK, record, error, staged);
        self.counters.dead_letters += 1;
        self.meter.dead_letter();
    }
}

fn at(record: Incoming<'_>) -> TopicPartition {
    TopicPartition { topic: record.topic.clone(), partition: record.partition }
}

impl Stage for Router {
    const WORK: Work = Work::Route;

    fn assign(&mut self, log: &mut dyn Log, partitions: &[TopicPartition]) -> Result<(), StageError> {
        let committed = log.committed(partitions)?;
        let mut positions = Vec::new();
        for (at, offset) in partitions.iter().zip(committed) {
            let kept = offset.as_ref().map_or(Kept::default(), |offset| Kept::read(&offset.metadata));
            let next = match offset {
                Some(offset) => offset.next,
                None => log.watermarks(at)?.0,
            };
            let source = Source::new(kept, self.config.out_of_orderness_ms);
            self.sources.insert(at.clone(), Input { source, next, committed: next });
            positions.push((at.clone(), next));
        }
        (self.announce, self.tells_items) = (true, true);
        log.seek(&positions)?;
        log.resume(partitions)?;
        Ok(())
    }

    fn revoke(&mut self, log: &mut dyn Log, partitions: &[TopicPartition]) -> Result<bool, StageError> {
        self.sources.retain(|at, _| !partitions.contains(at));
        // Rows of all partitions share packed records: what was staged is void, the others read it again.
        self.destinations.iter_mut().for_each(|destination| {
            drop(destination.rows.take());
            (destination.requests, destination.request_bytes) = (Vec::new(), 0);
        });
        self.rows = 0;
        let kept: Vec<_> = self.sources.keys().cloned().collect();
        self.assign(log, &kept)?;
        Ok(true)
    }

    fn record(&mut self, record: Incoming<'_>, staged: &mut dyn Emit) -> Result<(), StageError> {
        self.tell_items(staged);
        let Some(input) = self.sources.get_mut(&at(record)) else { return Ok(()) };
        input.next = record.offset + 1;
        input.source.read();
        self.counters.records += 1;
        let routed = if *record.topic == self.config.events {
            self.event(record, staged)
        } else {
            self.read_other(record).map(|request| {
                if let Some(request) = request {
                    self.request(request, staged);
                }
            })
        };
        if let Err(error) = routed {
            self.dead_letter(record, &error, staged);
        }
        Ok(())
    }

    fn at_end(&mut self, at: &TopicPartition, finished: bool) {
        let now = self.now;
        if let Some(input) = self.sources.get_mut(at) {
            input.source.at_end(now);
            if finished {
                input.source.finish();
            }
        }
    }

    fn tick(&mut self, now: Duration) -> bool {
        self.now = now;
        let timeout = self.config.idle_timeout;
        self.sources.values_mut().for_each(|input| input.source.check_idle(now, timeout));
        if now.saturating_sub(self.told_at) < CONTROL_INTERVAL && !self.announce {
            return false;
        }
        let destinations = &self.destinations;
        let mut sources = self.sources.iter().filter(|(at, _)| at.topic == self.config.events);
        self.announce && !self.sources.is_empty()
            || sources
                .any(|(at, input)| destinations.iter().any(|to| to.told.is_news(at.partition, input.source.progress())))
    }

    fn finish(&mut self, staged: &mut dyn Emit) -> Result<Vec<TaskOffset>, StageError> {
        let cpu = thread_cpu();
        self.tell_items(staged);
        let everybody = self.announce || self.now.saturating_sub(self.told_at) >= CONTROL_INTERVAL;
        for partition in 0..self.destinations.len() {
            let waiting = self.destinations[partition].bytes() > 0;
            let controls = if everybody || waiting { self.controls(partition) } else { Vec::new() };
            if waiting || !controls.is_empty() {
                self.send(partition as i32, controls, staged);
            }
        }
        if everybody {
            self.told_at = self.now;
            self.announce = false;
        }
        self.meter.spend(Work::Route, cpu);
        let offset = |(at, input): (&TopicPartition, &Input)| TaskOffset {
            task: TASK,
            before: input.committed,
            offset: Offset { at: at.clone(), next: input.next, metadata: input.source.kept().write() },
        };
        Ok(self.sources.iter().map(offset).collect())
    }

    fn bytes_to_come(&self) -> usize {
        self.destinations.iter().map(Destination::bytes).sum()
    }

    fn committed(&mut self) {
        self.meter.routed(std::mem::take(&mut self.rows));
        self.sources.values_mut().for_each(|input| input.committed = input.next);
    }

    fn positions(&self) -> Vec<(TopicPartition, i64)> {
        self.sources.iter().map(|(at, input)| (at.clone(), input.next)).collect()
    }
}
