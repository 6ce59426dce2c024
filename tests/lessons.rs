//! What is learned: a function of its samples, whoever learned it, however often he was killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pipeline::config::Config;
use pipeline::forecast::version::About;
use pipeline::log::embedded::{Embedded, EmbeddedSettings};
use pipeline::log::{Broker, Incoming, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::model::{self, Model};
use pipeline::roles::{self, Patience, Shared};
use schemas::output::Room;
use schemas::packed::{self, Header};
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
        let want = learn(&self.samples, topics, config)?;
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

/// One learner in a world of its own.
fn learn(samples: &[Vec<u8>], topics: &Topics, config: &Config) -> Result<Learned, String> {
    let calm = Embedded::new(EmbeddedSettings { trims: false, wait_max: Duration::ZERO, ..Default::default() });
    let spec = |name: String| TopicSpec { name, partitions: 1, settings: Vec::new() };
    let compacted = |name| TopicSpec { settings: vec![("cleanup.policy".into(), "compact".into())], ..spec(name) };
    let topic = topics.samples(Room::PromptTpp);
    calm.create(&[compacted(topics.models()), compacted(topics.learners())]).unwrap();
    calm.create(&[spec(topic.clone()), spec(topics.by_user())]).unwrap();
    for output in topics.outputs(&[Room::PromptTpp]) {
        calm.create(&[spec(topics.name(output))]).unwrap();
    }
    for sample in samples {
        calm.append(&topic, 0, None, None, Some(sample)).unwrap();
    }
    let shared = Shared {
        config: Arc::new(config.clone()),
        by_user_partitions: 1,
        views: views(),
        topics: topics.clone(),
        rooms: None,
        metrics: Metrics::new(),
        archive: None,
        patience: Patience { idle_poll: Duration::ZERO, ..Patience::default() },
        cold: None,
        ended: Arc::default(),
        learned: Arc::new(AtomicI64::new(0)),
        limits: Arc::default(),
    };
    let (_, mut learner) = roles::learner(&shared, &calm, 0).map_err(|error| error.to_string())?;
    let (mut clock, mut quiet) = (Duration::ZERO, 0);
    for _ in 0..STEPS_MAX {
        clock += Duration::from_millis(110);
        learner.step(clock, &|| clock).map_err(|error| format!("the calm learner: {error}"))?;
        let learned = shared.learned.load(Ordering::Relaxed);
        quiet = if calm.is_read_to(&topic, 0, learned).unwrap() { quiet + 1 } else { 0 };
        if quiet == 20 {
            return Ok(Learned::read(&calm, topics));
        }
    }
    Err(format!("the calm learner did not come to the end of {} records of samples", samples.len()))
}
