//! What is learned in a world: a function of its samples, whoever learned it, however often he was killed.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use pipeline::config::Config;
use pipeline::forecast::version::About;
use pipeline::log::embedded::{Embedded, EmbeddedSettings, Headers};
use pipeline::log::{Broker, Incoming, Reader, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::model::{self, Model};
use pipeline::roles::{self, Patience, Shared};
use schemas::output::Room;
use schemas::packed::{self, Header};
use schemas::topics::Topics;
use shaders::Device;
use shaders::prompt_tpp::{Config as Network, Model as Fitted};

use super::world::views;

/// Version 1, which nobody has learned, in force from the beginning of every partition.
pub fn give_a_version(broker: &Embedded, topics: &Topics, partitions: u32) {
    let config = Network { types: 3, unit_ms: 5_000.0, ..Network::default() };
    let tensors = Fitted::new(&Device::Cpu, config, 7).unwrap().weights();
    let about = About { types: vec!["click".into(), "view".into()], unit_ms: 5_000.0, ..About::default() };
    let about = serde_json::to_value(about).unwrap();
    let model = Model { name: "prompt_tpp".into(), version: 1, about, tensors };
    model::publish(broker, &topics.models(), "nobody", &model).unwrap();
    let header = Header { versions: [("prompt_tpp".to_string(), 1)].into(), ..Header::default() };
    let mut record = Vec::new();
    packed::write(&header, None, &mut record).unwrap();
    for partition in 0..partitions as i32 {
        broker.append(&topics.by_user(), partition, None, None, Some(&record)).unwrap();
    }
}

/// Whether the newest version is, bit for bit, what one learner makes of the same samples who is never disturbed; gives its
/// number.
pub fn check(broker: &Embedded, topics: &Topics, config: &Config) -> Result<u64, String> {
    let newest = |broker: &Embedded, topic: String| model::read(broker, &topic, "prompt_tpp").unwrap();
    let calm = Embedded::new(EmbeddedSettings { trims: false, wait_max: Duration::ZERO, ..Default::default() });
    let spec = |name: String, partitions: i32| TopicSpec { name, partitions, settings: Vec::new() };
    let samples = topics.samples(Room::PromptTpp);
    calm.create(&[spec(topics.models(), 1), spec(topics.learners(), 1), spec(samples.clone(), 1)]).unwrap();
    calm.create(&[spec(topics.by_user(), 1)]).unwrap();
    for output in topics.outputs(&[Room::PromptTpp]) {
        calm.create(&[spec(topics.name(output), 1)]).unwrap();
    }
    let mut reader = broker.records(std::slice::from_ref(&samples)).unwrap();
    reader.catch_up().unwrap();
    let mut copy = |record: Incoming<'_>, _: Headers<'_>| {
        calm.append(&samples, 0, None, None, record.value).unwrap();
    };
    while !reader.poll_headers(Duration::ZERO, &mut copy).unwrap() {}
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
    let (mut clock, mut quiet, mut last) = (Duration::ZERO, 0, -1);
    while quiet < 20 {
        clock += Duration::from_millis(110);
        learner.step(clock, &|| clock).map_err(|error| format!("the calm learner: {error}"))?;
        let learned = shared.learned.load(std::sync::atomic::Ordering::Relaxed);
        quiet = if learned == last { quiet + 1 } else { 0 };
        last = learned;
    }
    let (mut number, mut compared) = (0, 0);
    for topic in [topics.models(), topics.learners()] {
        let (got, want) = (newest(broker, topic.clone()), newest(&calm, topic.clone()));
        // Time stands still in a calm world only: what is said of it is not compared.
        let key = |model: &Model| (model.version, About::of(model).unwrap().samples_offset);
        if got.as_ref().map(key) != want.as_ref().map(key) {
            return Err(format!(
                "{topic}: {:?} was learned instead of {:?}",
                got.as_ref().map(key),
                want.as_ref().map(key)
            ));
        }
        if got.as_ref().map(|got| &got.tensors) != want.as_ref().map(|want| &want.tensors) {
            return Err(format!(
                "{topic}: version {:?} has other bits than one learned without faults",
                got.map(|got| got.version)
            ));
        }
        number = got.map_or(0, |got| got.version);
        compared += 1;
    }
    assert_eq!(compared, 2);
    Ok(number)
}
