//! Every setting by name, with what it may be.
//!
//! Values become JSON here, typed by the setting and not by how they look: `--set app=123` is text,
//! `--set partitions=2` a number.

use schemas::event::{ColumnType, TIME_END_MS};
use serde_json::{Value, json};
use shaders::sdim::GROUP_BITS_MAX;
use tracing_subscriber::EnvFilter;

use super::{Size, Ttl};

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text but the empty one.
    Text,
    /// Text that may stand in a topic's name, so many characters at most.
    Name {
        /// Fewest characters.
        len_min: usize,
        /// Most characters.
        len_max: usize,
    },
    /// `host:port`, or `off`.
    Listen,
    /// A filter of log lines.
    LogLevel,
    /// A whole number.
    Integer {
        /// The smallest allowed.
        least: i64,
        /// The largest allowed.
        most: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One or more of these words.
    Choices(&'static [&'static str]),
    /// Names, each once; or none.
    Names,
    /// A length of time.
    Span,
    /// A number of bytes.
    Size,
    /// The type of a declared column: the keys below the setting are its names.
    Columns,
    /// A librdkafka property: the keys below the setting are its names.
    Properties,
}

/// A setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name, dotted.
    pub key: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether `off` takes it away.
    pub optional: bool,
}

const fn must(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind, optional: false }
}

const fn may(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind, optional: true }
}

const fn from_to(least: i64, most: i64) -> Kind {
    Kind::Integer { least, most }
}

const DAY_MS: i64 = 86_400_000;

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    must("app", Kind::Name { len_min: 1, len_max: 100 }),
    must("instance", Kind::Name { len_min: 1, len_max: 200 }),
    may("partitions", from_to(1, 4096)),
    must("roles", Kind::Choices(&["router", "engine", "learner"])),
    must("route", Kind::Choice(&["by-user", "direct"])),
    must("device", Kind::Choice(&["auto", "cpu", "gpu"])),
    must("topics.prefix", Kind::Name { len_min: 0, len_max: 100 }),
    must("topics.partitions", from_to(1, 4096)),
    may("views.file", Kind::Text),
    must("views.emit", Kind::Choice(&["batch", "event"])),
    must("engine.batch_rows", from_to(1, 1 << 20)),
    must("engine.commit_interval_ms", from_to(1, 60_000)),
    must("engine.workers", from_to(1, 256)),
    must("events.out_of_orderness_ms", from_to(0, TIME_END_MS)),
    must("events.idle_timeout_ms", from_to(1, 365 * DAY_MS)),
    must("events.dedupe_ids", from_to(0, 1 << 16)),
    may("events.max_ahead_ms", from_to(0, TIME_END_MS)),
    must("events.max_bytes", from_to(64, 16 << 20)),
    must("events.columns", Kind::Columns),
    must("history.max_events", from_to(1, 1 << 20)),
    may("history.ttl", Kind::Span),
    must("kafka.brokers", Kind::Text),
    must("kafka.properties", Kind::Properties),
    may("state.snapshots", Kind::Text),
    must("state.snapshot_interval_ms", from_to(100, 30 * DAY_MS)),
    may("state.memory_limit", Kind::Size),
    may("state.dir", Kind::Text),
    may("state.user_ttl", Kind::Span),
    must("http.listen", Kind::Listen),
    may("http.token_file", Kind::Text),
    must("encodings.min_interval_ms", from_to(0, 365 * DAY_MS)),
    must("candidates.enabled", Kind::Boolean),
    must("candidates.items_max", from_to(1, 100_000)),
    must("candidates.counted_items_max", from_to(2, 1 << 26)),
    must("candidates.counted_transitions_max", from_to(2, 1 << 28)),
    must("candidates.counted_users_max", from_to(2, 1 << 28)),
    must("candidates.features", Kind::Names),
    must("candidates.sample_percent", from_to(0, 100)),
    must("candidates.feedback_wait_ms", from_to(0, 365 * DAY_MS)),
    must("candidates.feedback_wait_bytes", Kind::Size),
    must("candidates.unlabeled", Kind::Choice(&["ignored", "negative"])),
    must("candidates.negatives", from_to(0, 64)),
    must("candidates.recent_items_max", from_to(1, 1 << 16)),
    must("candidates.learn", Kind::Boolean),
    must("candidates.batch_samples", from_to(1, 1 << 16)),
    must("candidates.version_steps", from_to(1, 1_000_000)),
    must("candidates.version_interval_ms", from_to(0, DAY_MS)),
    must("candidates.lag_max_ms", from_to(100, 365 * DAY_MS)),
    must("candidates.admit_after", from_to(1, 1 << 30)),
    must("candidates.rows_max", from_to(2, 1 << 24)),
    must("sdim.enabled", Kind::Boolean),
    must("sdim.items", Kind::Choice(&["topic", "hashed"])),
    must("sdim.dim", from_to(1, 1024)),
    must("sdim.window", from_to(1, 1 << 16)),
    must("sdim.tables", from_to(1, 1 << 24)),
    must("sdim.bits", from_to(3, 252)),
    must("sdim.group_bits", from_to(1, GROUP_BITS_MAX as i64)),
    may("sdim.start", Kind::Text),
    must("items.vectors", Kind::Choice(&["topic", "co-occurrence"])),
    must("items.version", from_to(0, 1 << 53)),
    must("items.max", from_to(1, 1 << 31)),
    must("items.memory_limit", Kind::Size),
    must("items.learn_events", from_to(1, 1 << 26)),
    must("items.version_events", from_to(1, 1 << 26)),
    must("muse.enabled", Kind::Boolean),
    must("muse.found", from_to(1, 255)),
    must("muse.attention", Kind::Choice(&["released", "paper"])),
    must("muse.memory_limit", Kind::Size),
    may("muse.start", Kind::Text),
    must("prompt_tpp.enabled", Kind::Boolean),
    must("prompt_tpp.learn", Kind::Choice(&["frozen", "prompt", "prompt_calibrated", "prompt_joint", "online"])),
    may("prompt_tpp.start", Kind::Text),
    must("prompt_tpp.window_events", from_to(2, 1024)),
    must("prompt_tpp.clock", Kind::Boolean),
    must("prompt_tpp.warm_up_events", from_to(1, 10_000_000)),
    must("prompt_tpp.warm_up_passes", from_to(1, 1000)),
    must("prompt_tpp.sample_percent", from_to(0, 100)),
    must("prompt_tpp.batch_samples", from_to(1, 4096)),
    must("prompt_tpp.version_steps", from_to(1, 1_000_000)),
    must("prompt_tpp.version_interval_ms", from_to(0, DAY_MS)),
    must("prompt_tpp.lag_max_ms", from_to(100, 365 * DAY_MS)),
    must("prompt_tpp.types_max", from_to(2, 1 << 14)),
    must("log.format", Kind::Choice(&["text", "json"])),
    must("log.level", Kind::LogLevel),
];

/// The setting that `key` belongs to, with the name below it where the setting is a table.
pub fn find(key: &str) -> Option<(&'static Setting, &str)> {
    SETTINGS.iter().find_map(|setting| match key.strip_prefix(setting.key)? {
        "" => Some((setting, "")),
        below if setting.is_table() => below.strip_prefix('.').map(|name| (setting, name)),
        _ => None,
    })
}

impl Setting {
    /// Whether the names below the setting are the user's own.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Columns | Kind::Properties)
    }

    /// The value that `text` means for this setting.
    ///
    /// # Errors
    /// What is allowed, where `text` is not.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.kind {
            Kind::Integer { .. } => text.trim().parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
            Kind::Boolean => text.trim().parse::<bool>().map_or_else(|_| json!(text), |flag| json!(flag)),
            Kind::Choices(_) | Kind::Names => {
                let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
                let words = inner.split(',').map(|word| word.trim().trim_matches('"'));
                json!(words.filter(|word| !word.is_empty()).collect::<Vec<_>>())
            }
            _ => json!(text),
        };
        self.check(value)
    }

    /// `value`, where it is one that this setting may have; null takes an optional setting away.
    ///
    /// # Errors
    /// What is allowed, where `value` is not.
    pub fn check(&self, value: Value) -> Result<Value, String> {
        if self.optional && matches!(value.as_str(), Some("off" | "")) {
            return Ok(Value::Null);
        }
        let word = |words: &[&str], value: &Value| value.as_str().is_some_and(|word| words.contains(&word));
        let good = match self.kind {
            Kind::Text => value.as_str().is_some_and(|text| !text.trim().is_empty()),
            Kind::Name { len_min, len_max } => value.as_str().is_some_and(|name| is_name(name, len_min, len_max)),
            Kind::Listen => value.as_str().is_some_and(is_listen),
            Kind::LogLevel => value.as_str().is_some_and(|level| EnvFilter::try_new(level).is_ok()),
            Kind::Integer { least, most } => value.as_i64().is_some_and(|number| (least..=most).contains(&number)),
            Kind::Boolean => value.is_boolean(),
            Kind::Choice(words) => word(words, &value),
            Kind::Choices(words) => {
                value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(|one| word(words, one)))
            }
            Kind::Names => value.as_array().is_some_and(|list| {
                let names = list.iter().map(|name| name.as_str().filter(|name| !name.is_empty() && name.len() <= 200));
                names.enumerate().all(|(at, name)| name.is_some() && !list[..at].contains(&list[at]))
                    && list.len() <= 100
            }),
            Kind::Span => value.as_str().is_some_and(|text| Ttl::try_from(text.to_string()).is_ok()),
            Kind::Size => value.as_str().is_some_and(|text| Size::try_from(text.to_string()).is_ok()),
            Kind::Columns => serde_json::from_value::<ColumnType>(value.clone()).is_ok(),
            Kind::Properties => value.is_string(),
        };
        if good { Ok(value) } else { Err(self.allowed()) }
    }

    /// What the setting may be, in words.
    pub fn allowed(&self) -> String {
        let words = match self.kind {
            Kind::Text => "text that is not empty".into(),
            Kind::Name { len_min, len_max } => {
                format!("{len_min} to {len_max} of the characters a-z A-Z 0-9 . _ - (it becomes part of topic names)")
            }
            Kind::Listen => "an address and port like 127.0.0.1:8686, or off".into(),
            Kind::LogLevel => "error, warn, info, debug or trace, by module where wanted (info,pipeline=debug)".into(),
            Kind::Integer { least, most } => format!("a whole number from {least} to {most}"),
            Kind::Boolean => "true or false".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Choices(words) => format!("one or more of {}, comma-separated", words.join(", ")),
            Kind::Names => "up to 100 names, each once, comma-separated".into(),
            Kind::Span => "a length of time like 90d, 36h, 15m, 30s or 500ms".into(),
            Kind::Size => "a number of bytes like 4GiB, 512MiB or 1GB".into(),
            Kind::Columns => "a column's name with one of int64, float64, string, boolean".into(),
            Kind::Properties => "a librdkafka property with its value".into(),
        };
        if self.optional { format!("{words}, or off") } else { words }
    }
}

fn is_name(name: &str, len_min: usize, len_max: usize) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (len_min..=len_max).contains(&name.len()) && name.chars().all(plain) && name != "." && name != ".."
}

fn is_listen(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().is_ok();
    matches!(text, "" | "off") || text.rsplit_once(':').is_some_and(|(host, number)| !host.is_empty() && port(number))
}
