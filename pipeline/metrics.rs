//! The figures of a process, for Prometheus.
//!
//! Workers hold a [`Stage`] each and touch it per batch, never per event: its counters are atomics.
//!
//! # Layout
//! - [`reading`], [`history`]: the figures at a moment, and of the last ten minutes, for the page.
//! - [`learning`], [`curve`]: how well forecasts do. [`answers`]: how well answers to candidates do.

pub mod answers;
pub mod curve;
pub mod history;
pub mod learning;
pub mod reading;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use operators::Counters;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use schemas::output::Output;

use self::answers::Answers;
use self::learning::Learning;
use crate::inquiry::Inquiries;
use crate::log::staged::Staged;
use crate::log::{Class, TopicPartition};
use crate::rank::Given;

type Label = [(&'static str, &'static str); 1];
/// A label with a value of its own: a topic's name, a partition.
type Named = [(&'static str, String); 1];
type Partition = [(&'static str, String); 2];

fn place(topic: &str, partition: i32) -> Partition {
    [("topic", topic.to_string()), ("partition", partition.to_string())]
}

type Seconds = Family<Label, Histogram, fn() -> Histogram>;

/// All figures of this process; clones are the same figures.
#[derive(Clone)]
pub struct Metrics(Arc<Figures>);

/// What a worker's time is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The router: bytes to rows (decode and route).
    Route,
    /// The engine: packed rows to windows.
    Fold,
    /// The engine: the newest values of the users touched, and closed windows.
    Settle,
    /// The engine: encodings.
    Encode,
    /// The learner: steps.
    Learn,
    /// All: sending and committing.
    Sink,
}

impl Work {
    /// All kinds, in the order of the path.
    pub const ALL: [Self; 6] = [Self::Route, Self::Fold, Self::Settle, Self::Encode, Self::Learn, Self::Sink];

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Fold => "fold",
            Self::Settle => "settle",
            Self::Encode => "encode",
            Self::Learn => "learn",
            Self::Sink => "sink",
        }
    }
}

/// A CPU clock of this process or thread.
#[expect(unsafe_code, reason = "the standard library has no clock of CPU time")]
pub fn cpu_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "the system has a clock of CPU time");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// CPU time of the calling thread since it began.
pub fn thread_cpu() -> Duration {
    cpu_time(libc::CLOCK_THREAD_CPUTIME_ID)
}

struct Figures {
    registry: Registry,
    /// By [`Work`], in ns of CPU.
    spent: [AtomicU64; Work::ALL.len()],
    ready: AtomicBool,
    views: OnceLock<Vec<String>>,
    learning: Learning,
    answers: Answers,
    inquiries: Inquiries,
    records_in: Family<Label, Counter>,
    records_out: Family<Named, Counter>,
    dead_letters: Family<Label, Counter>,
    undeclared: Family<Label, Counter>,
    errors: Family<Label, Counter>,
    rows_routed: Counter,
    rows_folded: Counter,
    late: Counter,
    duplicates: Counter,
    users: Gauge,
    users_resident: Gauge,
    state_bytes: Gauge,
    lag: Family<Partition, Gauge>,
    log_start: Family<Partition, Gauge>,
    snapshots: Counter,
    snapshot_failures: Counter,
    snapshot_offset: Family<Named, Gauge>,
    snapshot_bytes: Family<Named, Gauge>,
    batch_rows: Family<Label, Histogram, fn() -> Histogram>,
    commit: Seconds,
    event_to_commit: Seconds,
    model_version: Family<Label, Gauge>,
    targets_learned: Family<Label, Gauge>,
    request_to_answer: Seconds,
    items: Gauge,
    items_refused: Counter,
    items_changed: Counter,
    items_spilled: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 18))
}

fn rows() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 11))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Figures that are all 0; not ready.
    pub fn new() -> Self {
        let mut figures = Figures {
            registry: Registry::with_prefix("wellspring"),
            spent: Default::default(),
            ready: AtomicBool::new(false),
            views: OnceLock::new(),
            learning: Learning::default(),
            answers: Answers::default(),
            inquiries: Inquiries::default(),
            records_in: Family::default(),
            records_out: Family::default(),
            dead_letters: Family::default(),
            undeclared: Family::default(),
            errors: Family::default(),
            rows_routed: Counter::default(),
            rows_folded: Counter::default(),
            late: Counter::default(),
            duplicates: Counter::default(),
            users: Gauge::default(),
            users_resident: Gauge::default(),
            state_bytes: Gauge::default(),
            lag: Family::default(),
            log_start: Family::default(),
            snapshots: Counter::default(),
            snapshot_failures: Counter::default(),
            snapshot_offset: Family::default(),
            snapshot_bytes: Family::default(),
            batch_rows: Family::new_with_constructor(rows),
            commit: Family::new_with_constructor(seconds),
            event_to_commit: Family::new_with_constructor(seconds),
            model_version: Family::default(),
            targets_learned: Family::default(),
            request_to_answer: Family::new_with_constructor(seconds),
            items: Gauge::default(),
            items_refused: Counter::default(),
            items_changed: Counter::default(),
            items_spilled: Gauge::default(),
        };
        figures.register();
        Self(Arc::new(figures))
    }

    /// The figures of one worker of `role`.
    pub fn stage(&self, role: &'static str) -> Stage {
        let label = [("role", role)];
        let figures = &self.0;
        Stage(Arc::new(StageFigures {
            all: self.clone(),
            records_in: figures.records_in.get_or_create_owned(&label),
            dead_letters: figures.dead_letters.get_or_create_owned(&label),
            undeclared: figures.undeclared.get_or_create_owned(&label),
            batch_rows: figures.batch_rows.get_or_create_owned(&label),
            commit: figures.commit.get_or_create_owned(&label),
            event_to_commit: figures.event_to_commit.get_or_create_owned(&label),
            request_to_answer: figures.request_to_answer.get_or_create_owned(&label),
            rows: AtomicU64::new(0),
            late: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            users: AtomicI64::new(0),
            users_resident: AtomicI64::new(0),
            state_bytes: AtomicI64::new(0),
        }))
    }

    /// CPU time of all workers spent on `work`.
    pub fn spent(&self, work: Work) -> Duration {
        Duration::from_nanos(self.0.spent[work as usize].load(Ordering::Relaxed))
    }

    /// Rows that routers have sent, and rows that engines have folded.
    pub fn rows(&self) -> (u64, u64) {
        (self.0.rows_routed.get(), self.0.rows_folded.get())
    }

    /// Says whether the workers run.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Release);
    }

    /// Whether the workers run.
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Gives the views' names, in the order of the views file; the first call counts.
    pub fn name_views(&self, names: Vec<String>) {
        self.0.views.get_or_init(|| names);
    }

    /// The name of a view, by its place in the views file.
    pub fn view(&self, view: u16) -> Option<&str> {
        self.0.views.get()?.get(usize::from(view)).map(String::as_str)
    }

    /// How well forecasts do.
    pub fn learning(&self) -> &Learning {
        &self.0.learning
    }

    /// How well answers to candidates do.
    pub fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// What the page asks the engine's workers.
    pub fn inquiries(&self) -> &Inquiries {
        &self.0.inquiries
    }

    /// How many records of a partition are written and not yet committed as read.
    pub fn lag(&self, topic: &str, partition: i32, records: i64) {
        let label = place(topic, partition);
        self.0.lag.get_or_create(&label).set(records);
    }

    /// The first offset kept of a partition.
    pub fn log_start(&self, topic: &str, partition: i32, offset: i64) {
        let label = place(topic, partition);
        self.0.log_start.get_or_create(&label).set(offset);
    }

    /// A partition that is no longer this process's has no figures here.
    pub fn forget_partition(&self, topic: &str, partition: i32) {
        let label = place(topic, partition);
        self.0.lag.remove(&label);
        self.0.log_start.remove(&label);
    }

    /// Counts an error of the log.
    pub fn error(&self, class: Class) {
        let name = match class {
            Class::Retriable => "retriable",
            Class::Abortable => "abortable",
            Class::Reopen => "reopen",
            Class::Fatal => "fatal",
        };
        self.0.errors.get_or_create(&[("class", name)]).inc();
    }

    /// How many items are known, of all versions, and how many bytes of their vectors are on disk.
    pub fn items(&self, known: usize, spilled_bytes: u64) {
        self.0.items.set(known as i64);
        self.0.items_spilled.set(spilled_bytes as i64);
    }

    /// Counts items beyond `items.max`, and items that came with another vector than their first, which stays.
    pub fn items_passed_over(&self, refused: u64, changed: u64) {
        self.0.items_refused.inc_by(refused);
        self.0.items_changed.inc_by(changed);
    }

    /// The figures in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.0.registry).expect("writing to a string cannot fail");
        text
    }

    fn topic(&self, output: Output) -> String {
        match output {
            Output::View(view) => match self.view(view) {
                Some(name) => format!("features.{name}"),
                None => format!("features.{view}"),
            },
            Output::Encoding(room) => format!("encodings.{}", room.name()),
            Output::Late => "late".into(),
            Output::DeadLetter => "dead-letters".into(),
            Output::ByUser => "by-user".into(),
            Output::Models => "models".into(),
            Output::Learners => "learners".into(),
            Output::Forecasts => "forecasts".into(),
            Output::Scores => "scores".into(),
            Output::Samples(room) => format!("samples.{}", room.name()),
        }
    }
}

impl Figures {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("build", "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("records_in", "Records taken", self.records_in.clone());
        registry.register("records_out", "Records committed, by topic", self.records_out.clone());
        registry.register("dead_letters", "Records and rows that could not be used", self.dead_letters.clone());
        registry.register("undeclared_fields", "Fields of events that are no columns", self.undeclared.clone());
        registry.register("errors", "Errors of the log, by what is done about them", self.errors.clone());
        registry.register("rows_routed", "Rows sent to their users", self.rows_routed.clone());
        registry.register("rows_folded", "Rows folded, duplicates included", self.rows_folded.clone());
        registry.register("late", "Rows late for a view or more", self.late.clone());
        registry.register("duplicates", "Rows dropped for their event id", self.duplicates.clone());
        registry.register("users", "Users known, in memory or on disk", self.users.clone());
        registry.register("users_resident", "Users in memory", self.users_resident.clone());
        let help = "State of users in memory, about";
        registry.register_with_unit("state", help, Unit::Bytes, self.state_bytes.clone());
        registry.register("lag", "Records written and not yet read", self.lag.clone());
        registry.register("log_start", "The first offset kept of a partition", self.log_start.clone());
        registry.register("snapshots", "Snapshots written", self.snapshots.clone());
        registry.register(
            "snapshot_failures",
            "Snapshots that have to be written again",
            self.snapshot_failures.clone(),
        );
        let help = "The offset of by-user up to which a partition's newest snapshot goes";
        registry.register("snapshot_offset", help, self.snapshot_offset.clone());
        let help = "Size of all parts of a partition's newest snapshot";
        registry.register_with_unit("snapshot", help, Unit::Bytes, self.snapshot_bytes.clone());
        registry.register("batch_rows", "Rows of a batch", self.batch_rows.clone());
        let (help, commit) = ("Time to commit a transaction", self.commit.clone());
        registry.register_with_unit("commit", help, Unit::Seconds, commit);
        let (help, latency) =
            ("Time from an event's record to the commit of what it changed", self.event_to_commit.clone());
        registry.register_with_unit("event_to_commit", help, Unit::Seconds, latency);
        let help = "The last version of a model that this process published";
        registry.register("model_version", help, self.model_version.clone());
        registry.register("targets_learned", "Targets that it has learned from", self.targets_learned.clone());
        let (help, latency) =
            ("Time from a request's record to the commit of its answer", self.request_to_answer.clone());
        registry.register_with_unit("request_to_answer", help, Unit::Seconds, latency);
        self.answers.register(registry);
        registry.register("items", "Items known, of all versions", self.items.clone());
        registry.register("items_refused", "Items beyond items.max", self.items_refused.clone());
        let help = "Items that came with another vector than their first in their version, which stays";
        registry.register("items_changed", help, self.items_changed.clone());
        let help = "Vectors of items that are on disk, not in memory";
        registry.register_with_unit("items_spilled", help, Unit::Bytes, self.items_spilled.clone());
    }
}

/// The figures of one worker; clones are the same figures.
#[derive(Clone)]
pub struct Stage(Arc<StageFigures>);

struct StageFigures {
    all: Metrics,
    records_in: Counter,
    dead_letters: Counter,
    undeclared: Counter,
    batch_rows: Histogram,
    commit: Histogram,
    event_to_commit: Histogram,
    request_to_answer: Histogram,
    /// What the worker had counted at the last call of [`Stage::folded`].
    rows: AtomicU64,
    late: AtomicU64,
    duplicates: AtomicU64,
    users: AtomicI64,
    users_resident: AtomicI64,
    state_bytes: AtomicI64,
}

impl Stage {
    /// Takes the CPU time since `since` (a [`thread_cpu`]) as spent on `work`; gives the time now.
    pub fn spend(&self, work: Work, since: Duration) -> Duration {
        let now = thread_cpu();
        self.0.all.0.spent[work as usize].fetch_add((now - since).as_nanos() as u64, Ordering::Relaxed);
        now
    }

    /// The figures of the whole process.
    pub fn all(&self) -> &Metrics {
        &self.0.all
    }

    /// Counts fields of events that are no columns.
    pub fn undeclared(&self, fields: u64) {
        if fields > 0 {
            self.0.undeclared.inc_by(fields);
        }
    }

    /// Counts a dead letter.
    pub fn dead_letter(&self) {
        self.0.dead_letters.inc();
    }

    /// Counts records taken from the log.
    pub fn polled(&self, records: u64) {
        self.0.records_in.inc_by(records);
    }

    /// Counts rows sent to their users.
    pub fn routed(&self, rows: u64) {
        self.0.all.0.rows_routed.inc_by(rows);
    }

    /// Counts a batch of so many rows.
    pub fn rows(&self, rows: usize) {
        self.0.batch_rows.observe(rows as f64);
    }

    /// Takes a worker's totals so far, how many of its users are in memory, and the bytes of its state there.
    pub fn folded(&self, totals: &Counters, resident: usize, bytes: usize) {
        let more = |last: &AtomicU64, total: u64| total.saturating_sub(last.swap(total, Ordering::Relaxed));
        let figures = &self.0.all.0;
        figures.rows_folded.inc_by(more(&self.0.rows, totals.rows + totals.duplicates));
        figures.late.inc_by(more(&self.0.late, totals.late));
        figures.duplicates.inc_by(more(&self.0.duplicates, totals.duplicates));
        let move_to = |gauge: &Gauge, last: &AtomicI64, now: i64| {
            gauge.inc_by(now - last.swap(now, Ordering::Relaxed));
        };
        move_to(&figures.users, &self.0.users, totals.users as i64);
        move_to(&figures.users_resident, &self.0.users_resident, resident as i64);
        move_to(&figures.state_bytes, &self.0.state_bytes, bytes as i64);
    }

    /// Takes a committed transaction: what it sent, and how long the commit took.
    pub fn committed(&self, _records: u64, staged: &Staged, took: Duration) {
        self.0.commit.observe(took.as_secs_f64());
        let figures = &self.0.all;
        for (output, records) in staged.counts() {
            figures.0.records_out.get_or_create(&[("topic", figures.topic(output))]).inc_by(records);
        }
    }

    /// Takes the timestamp (ms since 1970) of the oldest record of a transaction that was committed just now.
    pub fn event_to_commit(&self, oldest_ms: i64) {
        self.0.event_to_commit.observe((now_ms() - oldest_ms).max(0) as f64 / 1000.0);
    }

    /// Takes the answers of a transaction that was committed just now.
    pub fn answered(&self, given: impl Iterator<Item = Given>) {
        let (now_ms, answers) = (now_ms(), self.0.all.answers());
        for given in given {
            answers.given(&given);
            if let Some(appended_ms) = given.appended_ms {
                self.0.request_to_answer.observe((now_ms - appended_ms).max(0) as f64 / 1000.0);
            }
        }
    }

    /// A version of a model was published that has learned from so many targets.
    pub fn learned(&self, model: &'static str, version: u64, targets: u64) {
        let (figures, model) = (&self.0.all.0, [("model", model)]);
        figures.model_version.get_or_create(&model).set(version as i64);
        figures.targets_learned.get_or_create(&model).set(targets as i64);
    }

    /// Counts an error of the log.
    pub fn error(&self, class: Class) {
        self.0.all.error(class);
    }

    /// How many records of a partition are written and not yet read.
    pub fn lag(&self, at: &TopicPartition, records: i64) {
        self.0.all.lag(&at.topic, at.partition, records);
    }

    /// The first offset kept of a partition.
    pub fn log_start(&self, at: &TopicPartition, offset: i64) {
        self.0.all.log_start(&at.topic, at.partition, offset);
    }

    /// Partitions that are no longer this worker's have no figures here.
    pub fn forget_partitions(&self, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|at| self.0.all.forget_partition(&at.topic, at.partition));
    }

    /// A partition's snapshot up to `offset` is written; its parts have so many bytes.
    pub fn snapshot(&self, partition: i32, offset: i64, bytes: u64) {
        let figures = &self.0.all.0;
        figures.snapshots.inc();
        let label = [("partition", partition.to_string())];
        figures.snapshot_offset.get_or_create(&label).set(offset);
        figures.snapshot_bytes.get_or_create(&label).set(bytes as i64);
    }

    /// A task that is another's has no snapshots here.
    pub fn forget_snapshot(&self, partition: i32) {
        let label = [("partition", partition.to_string())];
        self.0.all.0.snapshot_offset.remove(&label);
        self.0.all.0.snapshot_bytes.remove(&label);
    }

    /// A snapshot was not written; it will be tried again.
    pub fn snapshot_failed(&self) {
        self.0.all.0.snapshot_failures.inc();
    }
}

impl Drop for StageFigures {
    /// A worker that has ended has no users.
    fn drop(&mut self) {
        self.all.0.users.dec_by(*self.users.get_mut());
        self.all.0.users_resident.dec_by(*self.users_resident.get_mut());
        self.all.0.state_bytes.dec_by(*self.state_bytes.get_mut());
    }
}
