//! One process over an embedded log, stepped by hand under a clock that a test moves.

use std::sync::Arc;
use std::time::Duration;

use operators::Views;
use pipeline::config::{Config, Route};
use pipeline::engine::Engine;
use pipeline::log::embedded::{Embedded, EmbeddedReader, EmbeddedSettings};
use pipeline::log::{Broker, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::roles::{self, Patience, RoleError, Shared};
use pipeline::route::Router;
use pipeline::snapshot::archive::Archive;
use pipeline::snapshot::manifest::{FORMAT, Owner};
use pipeline::snapshot::objects::Objects;
use pipeline::stage::{StageError, Worker};
use schemas::topics::Topics;
use serde_json::Value;

pub struct One {
    pub broker: Embedded,
    pub shared: Shared,
    /// None where events come to the engine directly.
    router: Option<Worker<Router>>,
    engine: Worker<Engine>,
    clock: Duration,
    reader: EmbeddedReader,
}

/// A log with the topics of `views`, `sources` partitions of events, two of `by-user`.
pub fn log(views: &str, sources: i32, settings: EmbeddedSettings) -> (Embedded, Topics) {
    let views = Views::compile(views, &Config::default().event_columns()).unwrap();
    let topics = Topics::new("app", "", views.names());
    let broker = Embedded::new(settings);
    let spec = |name: String, partitions| TopicSpec { name, partitions, settings: Vec::new() };
    let mut specs = vec![spec("events".into(), sources), spec("items".into(), 1), spec("forget".into(), 1)];
    specs.push(spec(topics.by_user(), 2));
    specs.extend(topics.outputs(&[]).into_iter().map(|output| spec(topics.name(output), 2)));
    broker.create(&specs).unwrap();
    (broker, topics)
}

impl One {
    /// A process that begins on `broker` with the settings that `change` makes.
    pub fn start(
        broker: &Embedded,
        topics: &Topics,
        views: &str,
        objects: Option<Arc<dyn Objects>>,
        change: impl Fn(&mut Config),
    ) -> Result<Self, RoleError> {
        let mut config = Config { app: "app".into(), instance: "one".into(), ..Config::default() };
        config.engine.commit_interval_ms = 1;
        config.state.snapshot_interval_ms = 1;
        change(&mut config);
        let owner = |topic_id: String| Owner {
            format: FORMAT.into(),
            app: "app".into(),
            topic: roles::engine_log(&config, topics),
            topic_id,
            partitions: 2,
        };
        let id = broker.describe(&roles::engine_log(&config, topics), &[])?.unwrap().id;
        let direct = config.route == Route::Direct;
        let trims = || (!direct).then(|| Arc::new(broker.clone()) as _);
        let archive = objects.map(|objects| Arc::new(Archive::new(objects, owner(id), trims())));
        let views = Arc::new(Views::compile(views, &config.event_columns()).unwrap());
        let shared = Shared {
            config: Arc::new(config),
            by_user_partitions: 2,
            views,
            topics: topics.clone(),
            one_router: false,
            rooms: None,
            metrics: Metrics::new(),
            archive,
            patience: Patience { idle_poll: Duration::ZERO, for_snapshots: true, ..Patience::default() },
            cold: None,
            ended: Arc::default(),
            learned: Arc::default(),
            limits: Arc::default(),
        };
        let router = if direct { None } else { Some(roles::router(&shared, broker, 0)?.1) };
        let engine = roles::engine(&shared, broker, 0)?.1;
        let outputs: Vec<String> = topics.outputs(&[]).into_iter().map(|output| topics.name(output)).collect();
        let reader = broker.records(&outputs)?;
        Ok(Self { broker: broker.clone(), shared, router, engine, clock: Duration::ZERO, reader })
    }

    /// Appends an event.
    pub fn feed(&self, partition: i32, line: &str) {
        self.broker.append("events", partition, None, None, Some(line.as_bytes())).unwrap();
    }

    /// Time passes, and each worker takes a step.
    pub fn step(&mut self, passes: Duration) -> Result<(), StageError> {
        self.clock += passes;
        let now = self.clock;
        self.router.as_mut().map_or(Ok(()), |router| router.step(now, &|| now))?;
        self.engine.step(now, &|| now)
    }

    /// Steps until all that is there is folded and committed.
    pub fn settle(&mut self) -> Result<(), StageError> {
        (0..12).try_for_each(|_| self.step(Duration::from_millis(5)))
    }

    /// Ends as a process that is asked to.
    pub fn stop(self) -> Result<(), StageError> {
        self.router.map_or(Ok(()), |router| router.finish().map(|_| ()))?;
        self.engine.finish().map(|_| ())
    }

    /// What was said since the last call: topic and value.
    pub fn said(&mut self) -> Vec<(String, Value)> {
        let mut said = Vec::new();
        loop {
            let before = said.len();
            let mut take = |record: pipeline::log::Incoming<'_>, _: pipeline::log::embedded::Headers<'_>| {
                let value = record.value.map_or(Value::Null, |value| {
                    serde_json::from_slice(value).unwrap_or_else(|_| String::from_utf8_lossy(value).into_owned().into())
                });
                said.push((record.topic.to_string(), value));
            };
            self.reader.poll_headers(Duration::ZERO, &mut take).unwrap();
            if said.len() == before {
                return said;
            }
        }
    }
}
