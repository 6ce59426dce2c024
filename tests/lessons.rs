//! What is learned: a function of its samples, whoever learned it, however often he was killed.

use std::sync::Arc;
use std::time::Duration;

use pipeline::config::Config;
use pipeline::forecast::version::About;
use pipeline::log::embedded::{Embedded, EmbeddedSettings};
use pipeline::log::{Broker, Incoming, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::model::{self, Model};
use pipeline::roles::{self, Patience, Shared};
use schemas::output::{Output, Room};
use schemas::packed::{self, Header};
use schemas::sample::Samples;
use schemas::topics::Topics;
use shaders::Device;
use shaders::prompt_tpp::{Config as Network, Model as Fitted};

use crate::simulation::views;

/// More steps than any learner here needs.
const STEPS_MAX: usize = 100_000;

/// Version 1, which nobody has learned, in force from the beginning of every partition.
pub fn give_a_version(broker: &Embedded, topics: &Topics, partitions: u32) {
    let config = Network { types: 3, unit_ms: 5_000.0, ..Network::default() };
    let tensors = Fitted::new(&Device::Cpu, config, 7).unwrap().weights();
    let about = About { types: vec!["click".into(), "view".into()], unit_ms: 5_000.0, ..About::default() };
    let about = serde_json::to_value(about).unwrap();
    let model = Model { name: "prompt_tpp".into(), version: 1, about, tensors };
    let append = |key: &[u8], value: &[u8]| broker.append(&topics.models(), 0, None, Some(key), Some(value)).map(drop);
    model.records(append).unwrap();
    let header = Header { versions: [("prompt_tpp".to_string(), 1)].into(), ..Header::default() };
    let mut record = Vec::new();
    packed::write(&header, None, &mut record).unwrap();
    for partition in 0..partitions as i32 {
        broker.append(&topics.by_user(), partition, None, None, Some(&record)).unwrap();
    }
}

/// What learners have left: all samples, and the newest versions on topics `models` and `learners`.
pub struct Learned {
    samples: Vec<Vec<u8>>,
    versions: [Option<Model>; 2],
}

impl Learned {
    pub fn read(broker: &dyn Broker, topics: &Topics) -> Self {
        let newest = |topic: String| model::read(broker, &topic, "prompt_tpp").unwrap();
        let (mut samples, topic) = (Vec::new(), topics.samples(Room::PromptTpp));
        let mut reader = broker.reader(std::slice::from_ref(&topic)).unwrap();
        let mut take = |record: Incoming<'_>| samples.push(record.value.unwrap().to_vec());
        model::read_all(reader.as_mut(), &topic, &mut take).unwrap();
        Self { samples, versions: [newest(topics.models()), newest(topics.learners())] }
    }

    /// Whether the newest version is, bit for bit where it is the same device, what one learner makes of the same samples who
    /// is never disturbed; gives its number.
    pub fn check(&self, topics: &Topics, config: &Config, same_device: bool) -> Result<u64, String> {
        let samples: Vec<_> = self.samples.iter().map(|sample| (None, sample.clone())).collect();
        let want = learn(&samples, topics, config)?;
        for (got, want) in self.versions.iter().zip(&want.versions) {
            // Offsets are others here: there are no markers of transactions between the samples.
            let key = |model: &Model| (model.version, About::of(model).unwrap().targets);
            let (got_key, want_key) = (got.as_ref().map(key), want.as_ref().map(key));
            if got_key != want_key {
                return Err(format!("{got_key:?} (version, targets) was learned instead of {want_key:?}"));
            }
            if same_device && got.as_ref().map(|got| &got.tensors) != want.as_ref().map(|want| &want.tensors) {
                return Err(format!("{got_key:?} has other bits than one learned without faults"));
            }
        }
        Ok(want.versions[0].as_ref().map_or(0, |model| model.version))
    }
}

/// One learner in a world of its own, with these records of samples and their times (ms).
fn learn(samples: &[(Option<i64>, Vec<u8>)], topics: &Topics, config: &Config) -> Result<Learned, String> {
    let calm = Embedded::new(EmbeddedSettings { trims: false, wait_max: Duration::ZERO, ..Default::default() });
    let spec = |name: String| TopicSpec { name, partitions: 1, settings: Vec::new() };
    let compacted = |name| TopicSpec { settings: vec![("cleanup.policy".into(), "compact".into())], ..spec(name) };
    let topic = topics.samples(Room::PromptTpp);
    calm.create(&[compacted(topics.models()), compacted(topics.learners())]).unwrap();
    calm.create(&[spec(topic.clone()), spec(topics.by_user())]).unwrap();
    for output in topics.outputs(&[Output::Forecasts]) {
        calm.create(&[spec(topics.name(output))]).unwrap();
    }
    for (time_ms, sample) in samples {
        calm.append(&topic, 0, *time_ms, None, Some(sample)).unwrap();
    }
    let shared = Shared {
        config: Arc::new(config.clone()),
        by_user_partitions: 1,
        views: views(),
        topics: topics.clone(),
        one_router: false,
        rooms: None,
        metrics: Metrics::new(),
        archive: None,
        patience: Patience { idle_poll: Duration::ZERO, ..Patience::default() },
        cold: None,
        ended: Arc::default(),
        learned: Arc::default(),
        limits: Arc::default(),
    };
    let (_, mut learner) = roles::learner(&shared, &calm, Room::PromptTpp).map_err(|error| error.to_string())?;
    let (mut clock, mut quiet) = (Duration::ZERO, 0);
    for _ in 0..STEPS_MAX {
        clock += Duration::from_millis(110);
        learner.step(clock, &|| clock).map_err(|error| format!("the calm learner: {error}"))?;
        let learned = shared.learned.next(Room::PromptTpp);
        quiet = if calm.is_read_to(&topic, 0, learned).unwrap() { quiet + 1 } else { 0 };
        if quiet == 20 {
            return Ok(Learned::read(&calm, topics));
        }
    }
    Err(format!("the calm learner did not come to the end of {} records of samples", samples.len()))
}

/// A record of one window of a user whose types follow each other.
fn record(user: u64, names: &[&str], events: u16) -> Vec<u8> {
    let names = names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let mut samples = Samples { names, ..Samples::default() };
    let kinds = samples.names.len() as u16;
    samples.types.extend((0..events).map(|at| at % kinds));
    samples.times_ms.extend((0..i64::from(events)).map(|at| at * 5_000 + user as i64));
    samples.end(user, 1);
    let mut bytes = Vec::new();
    samples.write(&mut bytes).unwrap();
    bytes
}

/// A learner that makes a version of every few windows.
fn hasty(lag_max_ms: u64) -> Config {
    let mut config = Config::default();
    config.prompt_tpp.enabled = true;
    (config.prompt_tpp.warm_up_events, config.prompt_tpp.warm_up_passes) = (20, 1);
    (config.prompt_tpp.batch_samples, config.prompt_tpp.version_steps) = (2, 1);
    (config.prompt_tpp.version_interval_ms, config.prompt_tpp.lag_max_ms) = (0, lag_max_ms);
    config
}

const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_learner_that_is_too_far_behind_passes_over_what_is_old_and_says_so() {
    let now_ms = pipeline::metrics::now_ms();
    let at = |time_ms: i64, users: std::ops::Range<u64>| {
        users.map(move |user| (Some(time_ms), record(user, &["click", "view"], 11))).collect::<Vec<_>>()
    };
    // The first two make the first version, an hour late; the next four are as old; the last four come in time.
    let samples = [at(now_ms - HOUR_MS, 0..2), at(now_ms - HOUR_MS, 2..6), at(now_ms + HOUR_MS, 6..10)].concat();
    let targets = |lag_max_ms: u64| {
        let learned = learn(&samples, &Topics::new("lessons", "", Vec::new()), &hasty(lag_max_ms)).unwrap();
        let newest = About::of(learned.versions[0].as_ref().unwrap()).unwrap();
        (newest.targets, newest.progress.skip_until_ms)
    };
    let (passed, skip_until_ms) = targets(60_000);
    assert_eq!(passed, 2 * 10 + 4 * 10, "the four old ones were passed over");
    assert!(skip_until_ms.is_some_and(|until| until >= now_ms), "the version says since when: {skip_until_ms:?}");
    assert_eq!(targets(2 * HOUR_MS as u64), (10 * 10, None), "nothing is passed over by one who is patient");
}

#[test]
fn types_that_come_later_are_learned_too() {
    let two = (0..4).map(|user| (None, record(user, &["click", "view"], 11)));
    let three = (4..8).map(|user| (None, record(user, &["view", "buy", "click"], 11)));
    let learned =
        learn(&two.chain(three).collect::<Vec<_>>(), &Topics::new("lessons", "", Vec::new()), &hasty(HOUR_MS as u64))
            .unwrap();
    let [published, kept] = learned.versions.map(Option::unwrap);
    assert_eq!(
        About::of(&published).unwrap().types,
        ["click", "view", "buy"],
        "places are given in the order of the log"
    );
    let network = Fitted::from_weights(&Device::Cpu, Network::default(), published.tensors, 1).unwrap();
    assert_eq!(network.config().types, 1 + 3, "place 0 is for types without a name of their own");
    let goes_on = Fitted::load(&Device::Cpu, Network::default(), kept.tensors).unwrap();
    assert_eq!(goes_on.config().types, network.config().types, "and the learner's own state has grown with it");
}
