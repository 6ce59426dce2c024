//! What a human sets: a TOML file, then the environment, then `--set`.
//!
//! # Layout
//! - [`settings`]: every setting by name, with what it may be.
//! - [`layers`]: the three places settings come from, each flattened to `key = value` with its origin.
//! - [`load`]: the layers merged into a [`Config`], with the checks that need more than one setting.
//! - [`properties`]: librdkafka properties that would break exactly-once, refused with a reason.
//! - [`error`]: what was wrong, where, and what to do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemas::event::{ColumnType, EventColumns};
use serde::{Deserialize, Serialize};

mod attention;
mod defaults;
pub mod error;
pub mod layers;
pub mod load;
pub mod properties;
pub mod settings;
mod size;
mod span;

pub use attention::Attention;
pub use error::ConfigError;
pub use load::load;

/// Partitions of `<app>.by-user` on Kafka, where `partitions` is not set.
pub const PARTITIONS_KAFKA: u32 = 64;
/// Partitions of `<app>.by-user` on the embedded log, where `partitions` is not set.
pub const PARTITIONS_EMBEDDED: u32 = 4;

/// All settings; field names are setting names (`engine.batch_rows`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The application's name: internal topics and consumer groups begin with it.
    pub app: String,
    /// This process's stable name; static group membership and transactional ids come from it.
    pub instance: String,
    /// Partitions of `<app>.by-user`, fixed for the life of an app.
    pub partitions: Option<u32>,
    /// What this process does.
    pub roles: Vec<Role>,
    /// How events come to the engine.
    pub route: Route,
    /// Where kernels run.
    pub device: Device,
    /// Input and output topics.
    pub topics: TopicSettings,
    /// Views.
    pub views: ViewSettings,
    /// The engine.
    pub engine: EngineSettings,
    /// Input events.
    pub events: EventSettings,
    /// Kept histories.
    pub history: HistorySettings,
    /// The cluster.
    pub kafka: KafkaSettings,
    /// State of users, and its snapshots.
    pub state: StateSettings,
    /// The local page.
    pub http: HttpSettings,
    /// Encodings of all rooms.
    pub encodings: EncodingSettings,
    /// Requests for scores.
    pub candidates: CandidateSettings,
    /// SDIM.
    pub sdim: SdimSettings,
    /// MUSE.
    pub muse: MuseSettings,
    /// What is known of items.
    pub items: ItemSettings,
    /// PromptTPP.
    pub prompt_tpp: PromptTppSettings,
    /// Logs of this process.
    pub log: LogSettings,
}

/// What a process of the service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the inputs and gives every row to its user's partition.
    Router,
    /// Folds rows into views and encodings.
    Engine,
    /// Learns from samples, and publishes versions of models.
    Learner,
}

/// How events come to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// Through `<app>.by-user`: any events, however they are partitioned.
    ByUser,
    /// From `events` itself: personal ones only, keyed by user and partitioned by murmur2.
    Direct,
}

/// Where kernels run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A hardware GPU where there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU; without one the service does not start.
    Gpu,
}

/// `topics.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicSettings {
    /// Stands before every input's and output's name.
    pub prefix: String,
    /// Partitions of the inputs, `late` and `dead-letters`, where they are made.
    pub partitions: u32,
}

/// `views.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViewSettings {
    /// The SQL file of views, relative to the working directory.
    pub file: Option<PathBuf>,
    /// When rolling, latest and lifetime views are sent.
    pub emit: Emit,
}

/// When rolling, latest and lifetime views are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Emit {
    /// The newest value, once per transaction that touched the user.
    Batch,
    /// After every row, in order.
    Event,
}

/// `engine.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Rows folded at once, at most.
    pub batch_rows: usize,
    /// A transaction ends after this many ms at the latest.
    pub commit_interval_ms: u64,
    /// Worker threads of each role.
    pub workers: usize,
}

/// `events.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// How far behind the newest event of its source partition an event may be, in ms.
    pub out_of_orderness_ms: i64,
    /// A source partition at its end and silent for this many ms no longer holds the watermark back.
    pub idle_timeout_ms: u64,
    /// How many of a user's last event ids are kept to drop duplicates.
    pub dedupe_ids: usize,
    /// An event further ahead of its record's timestamp, in ms, is a dead letter.
    pub max_ahead_ms: Option<i64>,
    /// A longer record, in bytes, is a dead letter.
    pub max_bytes: usize,
    /// Declared columns, in order.
    pub columns: Vec<(String, ColumnType)>,
}

/// `history.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    /// Newest events kept per user.
    pub max_events: usize,
    /// Events older than this, against the user's newest, are not kept.
    pub ttl: Option<Ttl>,
}

/// A length of time, written `90d`, `36h`, `15m`, `30s` or `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ttl(pub Duration);

/// A number of bytes, written `4GiB`, `512MiB`, `1GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

/// `kafka.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// Any librdkafka property, by its own name (`session.timeout.ms`).
    pub properties: BTreeMap<String, String>,
}

/// `state.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateSettings {
    /// URL of the folder that snapshots go to.
    pub snapshots: Option<String>,
    /// Time between snapshots of a partition, in ms.
    pub snapshot_interval_ms: u64,
    /// State in memory, of all workers; the users idle longest go to disk.
    pub memory_limit: Option<Size>,
    /// The local folder that they go to; none is the system's for temporary files.
    pub dir: Option<PathBuf>,
    /// A user idle for longer than this, by the watermark, is forgotten.
    pub user_ttl: Option<Ttl>,
}

/// `http.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Address of the local page; `off` for none.
    pub listen: String,
    /// The file with the token that requests have to bear; none lets everybody in.
    pub token_file: Option<PathBuf>,
}

/// `encodings.*`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncodingSettings {
    /// A user's encoding is sent at most once in this time, in ms of log time.
    pub min_interval_ms: u64,
}

/// `candidates.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CandidateSettings {
    /// Whether candidates are answered.
    pub enabled: bool,
    /// Most items of a request.
    pub items_max: usize,
    /// Items that are counted, of one by-user partition.
    pub counted_items_max: usize,
    /// Pairs of items that follow each other that are counted, of one by-user partition.
    pub counted_transitions_max: usize,
    /// Users of whom it is counted what they did, of one by-user partition.
    pub counted_users_max: usize,
    /// Names of the numbers that requests bring for each item.
    pub features: Vec<String>,
    /// Of what requests so many percent are learned from.
    pub sample_percent: u32,
    /// After so much log time a request waits no more for feedback, ms.
    pub feedback_wait_ms: u64,
    /// Bytes of the requests that wait for feedback, of one by-user partition.
    pub feedback_wait_bytes: Size,
    /// What candidates are of which no feedback said anything.
    pub unlabeled: Unlabeled,
    /// Negatives that are drawn beside an item that was taken without a request.
    pub negatives: usize,
    /// Of so many items that events named last they are drawn, of one by-user partition.
    pub recent_items_max: usize,
    /// Whether models go on learning.
    pub learn: bool,
    /// Labeled candidates of a step, about.
    pub batch_samples: usize,
    /// Steps of a version, at least.
    pub version_steps: u64,
    /// Time between two versions, at least.
    pub version_interval_ms: u64,
    /// Samples are passed over where the learner is further behind.
    pub lag_max_ms: u64,
    /// An item has an embedding of its own from so many labeled candidates on.
    pub admit_after: u32,
    /// Most items with an embedding of their own.
    pub rows_max: usize,
}

/// What candidates are of which no feedback said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlabeled {
    /// Nothing is learned from them.
    Ignored,
    /// They were not taken.
    Negative,
}

/// `muse.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MuseSettings {
    /// Whether the room is open.
    pub enabled: bool,
    /// Behaviors that are found for a candidate.
    pub found: usize,
    /// The form of the attention over them.
    pub attention: Attention,
    /// Bytes of the vectors of users who are asked about, of all workers, in memory and on a GPU.
    pub memory_limit: Size,
    /// A model to start from.
    pub start: Option<PathBuf>,
}

/// `sdim.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SdimSettings {
    /// Whether the room is open.
    pub enabled: bool,
    /// Where item vectors come from.
    pub items: ItemVectors,
    /// Length of an item vector.
    pub dim: usize,
    /// Newest behaviors of a user that stand in his table.
    pub window: usize,
    /// Users whose tables are kept in memory.
    pub tables: usize,
    /// Hyperplanes that candidates and behaviors are hashed by.
    pub bits: usize,
    /// Hyperplanes that name a bucket.
    pub group_bits: usize,
    /// A model to start from.
    pub start: Option<PathBuf>,
}

/// `items.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemSettings {
    /// Where the vectors come from that attention compares.
    pub vectors: VectorSource,
    /// The version of items that is to be in force.
    pub version: u64,
    /// Items known of a version, at most.
    pub max: usize,
    /// Bytes of vectors in memory; those beyond go to disk.
    pub memory_limit: Size,
    /// The newest behaviors that vectors are learned from.
    pub learn_events: usize,
    /// New behaviors between two versions of what is learned, at most.
    pub version_events: u64,
}

/// Where the vectors come from that attention compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VectorSource {
    /// The `items` topic.
    Topic,
    /// What stands together in the log.
    CoOccurrence,
}

/// `prompt_tpp.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptTppSettings {
    /// Whether the room is open.
    pub enabled: bool,
    /// What goes on learning after the warm-up.
    pub learn: Learn,
    /// A model to start from in place of a warm-up.
    pub start: Option<PathBuf>,
    /// Newest events of a user that the network sees, at most.
    pub window_events: usize,
    /// Whether a new network sees the time of day and the day of the week (UTC) of events.
    pub clock: bool,
    /// Events that the warm-up waits for, and passes over them.
    pub warm_up_events: usize,
    /// Passes of the warm-up.
    pub warm_up_passes: usize,
    /// Of what users do so many percent are learned from.
    pub sample_percent: u32,
    /// Windows of a step.
    pub batch_samples: usize,
    /// Steps of a version, at least.
    pub version_steps: u64,
    /// Time between two versions, at least.
    pub version_interval_ms: u64,
    /// Samples are passed over where the learner is further behind.
    pub lag_max_ms: u64,
    /// Most types that have places of their own.
    pub types_max: usize,
}

/// What goes on learning after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Learn {
    /// Nothing.
    Frozen,
    /// Prompts, keys and heads; the base is frozen.
    Prompt,
    /// As `prompt`, and an affine map of log time and a bias per type.
    PromptCalibrated,
    /// Everything, prompts and keys at a rate of their own.
    PromptJoint,
    /// Everything at one rate.
    Online,
}

/// Where item vectors come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemVectors {
    /// The `items` topic.
    Topic,
    /// A seeded hash of the item id.
    Hashed,
}

/// `log.*`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// Least level, by module where wanted (`info,pipeline=debug`).
    pub level: String,
}

/// How a line of the logs looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// N on Kafka: partitions of the log that the engine reads, and of the outputs.
    pub fn partitions_kafka(&self) -> u32 {
        self.partitions.unwrap_or(match self.route {
            Route::ByUser => PARTITIONS_KAFKA,
            Route::Direct => self.topics.partitions,
        })
    }

    /// Partitions of `<app>.by-user` on the embedded log.
    pub fn partitions_embedded(&self) -> u32 {
        self.partitions.unwrap_or(PARTITIONS_EMBEDDED)
    }

    /// The columns of events, the declared ones included; [`load`] has checked their names.
    pub fn event_columns(&self) -> EventColumns {
        EventColumns::new(self.events.columns.clone()).expect("load refuses columns whose names are taken")
    }

    /// The address of the local page; none where it is switched off.
    pub fn http_listen(&self) -> Option<&str> {
        Some(self.http.listen.as_str()).filter(|listen| !matches!(*listen, "" | "off"))
    }

    /// The text of `views.file`; none where it is not set.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn views_sql(&self) -> Result<Option<String>, ConfigError> {
        let Some(path) = &self.views.file else { return Ok(None) };
        let text = std::fs::read_to_string(path);
        text.map(Some).map_err(|error| ConfigError::ViewsFile { path: path.clone(), error })
    }
}
