//! What a world lives through, drawn by its seed: events, requests, settings.

use pipeline::config::{Config, ItemVectors, Learn, Route, Size, Unlabeled, VectorSource};
use pipeline::roles::{self, Group};
use schemas::output::Room;
use schemas::partition::partition_of;

use super::asked;
use crate::streams::{self, Dice};

/// What is the same in a world and in the one where nothing happens.
#[derive(Clone)]
pub struct Plan {
    /// Lines of each source partition.
    pub events: Vec<Vec<Vec<u8>>>,
    /// Lines of `candidates` and `feedback`, by topic.
    pub asked: Vec<(&'static str, Vec<u8>)>,
    /// In the wild world kernels run on a GPU, and it may be lost.
    pub gpu: bool,
    pub partitions: u32,
    pub config: Config,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x5eed);
        let count = 40 + dice.below(160) as usize;
        let users = 2 + dice.below(12);
        let (lines, _) = streams::events(seed, count, users);
        let mut events = vec![Vec::new(); 1 + dice.below(3) as usize];
        let direct = dice.one_in(4);
        for mut line in lines {
            // A user has one source partition, so his rows have one order in every world: which rows meet in a session
            // depends on it.
            let event = serde_json::from_slice::<serde_json::Value>(&line).unwrap_or_default();
            let sources = events.len();
            let place =
                |name: &str| event[name].as_str()?.strip_prefix('u')?.parse::<usize>().ok().map(|n| n % sources);
            let user = match event["user_id"].as_str() {
                Some(id) if direct => partition_of(id.as_bytes(), sources as u32) as usize,
                _ => place("user_id").unwrap_or(0),
            };
            if place("other_id").is_some_and(|other| direct || other != user) {
                let mut alone = event.clone();
                alone.as_object_mut().unwrap().remove("other_id");
                line = serde_json::to_vec(&alone).unwrap();
            }
            events[user].push(line);
        }
        let mut config = Config::default();
        config.engine.batch_rows = [1, 7, 8192][dice.below(3) as usize];
        config.engine.commit_interval_ms = [1, 20, 100][dice.below(3) as usize];
        config.events.out_of_orderness_ms = [0, 5000][dice.below(2) as usize];
        config.events.idle_timeout_ms = 1 << 40;
        config.state.snapshot_interval_ms = [1, 100, 1000][dice.below(3) as usize];
        config.sdim.enabled = dice.one_in(3);
        config.state.memory_limit = [None, Some(Size(1)), Some(Size(20_000))][dice.below(3) as usize];
        (config.sdim.dim, config.sdim.window, config.sdim.tables) = (8, 8, 4);
        config.sdim.items = ItemVectors::Hashed;
        config.encodings.min_interval_ms = [0, 20_000][dice.below(2) as usize];
        let mut partitions = 1 + dice.below(4) as u32;
        if direct {
            (config.route, partitions) = (Route::Direct, events.len() as u32);
            // Without an end of time who waits to be published waits on.
            config.encodings.min_interval_ms = 0;
        }
        // Forecasts by one version that stays, or by versions that come as the learner makes them.
        (config.prompt_tpp.enabled, config.prompt_tpp.learn) = match dice.below(6) {
            0 if !direct => (true, Learn::Frozen),
            1 if !direct => (true, Learn::PromptCalibrated),
            _ => (false, Learn::Frozen),
        };
        (config.prompt_tpp.warm_up_events, config.prompt_tpp.warm_up_passes) = (12, 1);
        (config.prompt_tpp.batch_samples, config.prompt_tpp.version_steps) = (4, 1 + dice.below(3));
        (config.prompt_tpp.window_events, config.prompt_tpp.clock) = ([5, 64][dice.below(2) as usize], dice.one_in(2));
        // Opening a device takes longer than most worlds live.
        let gpu = config.sdim.enabled && dice.one_in(8);
        config.candidates.enabled = !direct && dice.one_in(3);
        let asks = if config.candidates.enabled { dice.below(count as u64 / 2) } else { 0 };
        // Rankers that learn in the smallest steps, with room for few items.
        config.muse.enabled = config.candidates.enabled && dice.one_in(3);
        config.muse.memory_limit = Size(config.engine.batch_rows as u64);
        config.candidates.unlabeled = [Unlabeled::Ignored, Unlabeled::Negative][dice.below(2) as usize];
        config.candidates.feedback_wait_ms = [4, 600_000][dice.below(2) as usize];
        (config.candidates.batch_samples, config.candidates.version_steps) = (2, 1 + dice.below(3));
        (config.candidates.version_interval_ms, config.candidates.admit_after) = (0, 1 + dice.below(2) as u32);
        config.candidates.rows_max = [4, 64][dice.below(2) as usize];
        config.candidates.negatives = [0, 3][dice.below(2) as usize];
        config.candidates.recent_items_max = [5, 4096][dice.below(2) as usize];
        let asked = asked::lines(&mut dice, asks, users);
        // Vectors learned from few behaviors; tables of them are not the same in two worlds, as versions come in time.
        if config.muse.enabled && !config.sdim.enabled && dice.one_in(2) {
            (config.items.vectors, config.sdim.items) = (VectorSource::CoOccurrence, ItemVectors::Topic);
            (config.items.learn_events, config.items.version_events) = (30, 5);
        }
        Self { events, asked, gpu, partitions, config }
    }
}

impl Plan {
    /// The rooms that learn.
    pub fn learning(&self) -> Vec<Room> {
        let frozen = |room: &Room| *room == Room::PromptTpp && self.config.prompt_tpp.learn == Learn::Frozen;
        roles::learning(&self.config).into_iter().filter(|room| !frozen(room)).collect()
    }

    /// Of every process a worker each.
    pub fn groups(&self) -> Vec<Group> {
        [Group::Router, Group::Engine].into_iter().chain(self.learning().into_iter().map(Group::Learner)).collect()
    }

    pub fn config_of(&self, instance: &str) -> Config {
        Config { app: "app".into(), instance: instance.into(), ..self.config.clone() }
    }
}
