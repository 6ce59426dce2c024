//! The value of every setting that is not set.

use super::{
    Attention, CandidateSettings, Config, Device, Emit, EngineSettings, EventSettings, HistorySettings, HttpSettings,
    ItemSettings, ItemVectors, KafkaSettings, Learn, LogFormat, LogSettings, MuseSettings, PromptTppSettings, Role,
    Route, SdimSettings, Size, StateSettings, TopicSettings, Unlabeled, VectorSource, ViewSettings,
};
use shaders::sdim::{BITS, GROUP_BITS};

impl Default for Config {
    fn default() -> Self {
        Self {
            app: "wellspring".into(),
            instance: host_name(),
            partitions: None,
            roles: vec![Role::Router, Role::Engine, Role::Learner],
            route: Route::ByUser,
            device: Device::Auto,
            topics: TopicSettings::default(),
            views: ViewSettings::default(),
            engine: EngineSettings::default(),
            events: EventSettings::default(),
            history: HistorySettings::default(),
            kafka: KafkaSettings::default(),
            state: StateSettings::default(),
            http: HttpSettings::default(),
            encodings: Default::default(),
            candidates: CandidateSettings::default(),
            sdim: SdimSettings::default(),
            muse: MuseSettings::default(),
            items: ItemSettings::default(),
            prompt_tpp: PromptTppSettings::default(),
            log: LogSettings::default(),
        }
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { prefix: String::new(), partitions: 12 }
    }
}

impl Default for ViewSettings {
    fn default() -> Self {
        Self { file: None, emit: Emit::Batch }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { batch_rows: 8192, commit_interval_ms: 100, workers: 1 }
    }
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            out_of_orderness_ms: 0,
            idle_timeout_ms: 60_000,
            dedupe_ids: 64,
            max_ahead_ms: None,
            max_bytes: 1_048_576,
            columns: Vec::new(),
        }
    }
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self { max_events: 1024, ttl: None }
    }
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self { brokers: "localhost:9092".into(), properties: Default::default() }
    }
}

impl Default for StateSettings {
    fn default() -> Self {
        Self {
            snapshots: None,
            snapshot_interval_ms: 60_000,
            memory_limit: Some(Size(4 << 30)),
            dir: None,
            user_ttl: None,
        }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8686".into(), token_file: None }
    }
}

impl Default for CandidateSettings {
    fn default() -> Self {
        let (counted_items_max, counted_transitions_max) = (1 << 17, 1 << 18);
        Self {
            enabled: false,
            items_max: 5000,
            counted_items_max,
            counted_transitions_max,
            counted_users_max: 1 << 18,
            features: Vec::new(),
            sample_percent: 100,
            feedback_wait_ms: 600_000,
            feedback_wait_bytes: Size(16 << 20),
            unlabeled: Unlabeled::Ignored,
            negatives: 0,
            recent_items_max: 4096,
            learn: true,
            batch_samples: 512,
            version_steps: 16,
            version_interval_ms: 10_000,
            lag_max_ms: 60_000,
            admit_after: 5,
            rows_max: 1 << 17,
        }
    }
}

impl Default for SdimSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            items: ItemVectors::Topic,
            dim: 64,
            window: 1024,
            tables: 4096,
            bits: BITS,
            group_bits: GROUP_BITS,
            start: None,
        }
    }
}

impl Default for ItemSettings {
    fn default() -> Self {
        let (learn_events, version_events) = (1_000_000, 100_000);
        let (max, memory_limit) = (1 << 22, Size(1 << 30));
        Self { vectors: VectorSource::Topic, version: 0, max, memory_limit, learn_events, version_events }
    }
}

impl Default for MuseSettings {
    fn default() -> Self {
        Self { enabled: false, found: 50, attention: Attention::Released, memory_limit: Size(128 << 20), start: None }
    }
}

impl Default for PromptTppSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            learn: Learn::Prompt,
            start: None,
            window_events: 64,
            clock: false,
            warm_up_events: 10_000,
            warm_up_passes: 20,
            sample_percent: 100,
            batch_samples: 64,
            version_steps: 16,
            version_interval_ms: 10_000,
            lag_max_ms: 60_000,
            types_max: 1000,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// This host's name, with what a transactional id may not contain replaced; `wellspring` where the system has none.
fn host_name() -> String {
    let mut bytes = [0u8; 256];
    #[expect(unsafe_code, reason = "gethostname(2) has no safe form in the standard library")]
    // SAFETY: the pointer and the length are those of one live array; one byte is left for the final zero.
    let status = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len() - 1) };
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let name = if status == 0 { String::from_utf8_lossy(&bytes[..end]).into_owned() } else { String::new() };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().take(200).map(plain).collect();
    if name.is_empty() { "wellspring".into() } else { name }
}
