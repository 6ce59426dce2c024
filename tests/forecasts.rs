//! Forecasts of the whole path: learned from the stream, said of every user, the same when the log is run again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use operators::Views;
use pipeline::config::Config;
use pipeline::encode::ItemSource;
use pipeline::log::embedded::{Embedded, EmbeddedSettings, Headers};
use pipeline::log::{Broker, Incoming, Reader, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::model::shelf::Shelf;
use pipeline::roles::{self, Patience, Rooms, Shared};
use schemas::event::EventColumns;
use schemas::output::{Output, Room};
use schemas::topics::Topics;
use serde_json::{Value, json};

use crate::streams::Dice;

/// Users whose next event can be known: types follow each other in a ring, and the gap is that of the type.
fn ring(events: usize, seed: u64) -> Vec<String> {
    let (mut dice, kinds) = (Dice(seed), ["view", "cart", "pay"]);
    let mut users: Vec<(i64, usize)> =
        (0..40).map(|user| (1_700_000_000_000 + user * 977, user as usize % 3)).collect();
    let mut lines = Vec::new();
    for _ in 0..events {
        let user = (0..users.len()).min_by_key(|&user| users[user].0).unwrap();
        let (time, kind) = users[user];
        lines.push(json!({"user_id": format!("u{user}"), "type": kinds[kind], "time": time}).to_string());
        let gap_ms = [2_000, 20_000, 200_000][kind] * (90 + dice.below(21) as i64) / 100;
        users[user] = (time + gap_ms, (kind + 1) % 3);
    }
    lines
}

fn run(folder: &Path, events: &[String], sets: &[&str]) -> (Value, Vec<Value>) {
    let (input, output) = (folder.join("events.jsonl"), folder.join("out"));
    std::fs::write(&input, events.join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
    command.args(["run", "--input", &format!("events={}", input.display()), "--output", output.to_str().unwrap()]);
    command.args([
        "--set",
        "views.emit=event",
        "--set",
        "prompt_tpp.enabled=true",
        "--set",
        "http.listen=off",
        "--set",
        "device=cpu",
    ]);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let forecasts = std::fs::read_to_string(output.join("forecasts.jsonl")).unwrap();
    let forecasts = forecasts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (serde_json::from_slice(&done.stdout).unwrap(), forecasts)
}

/// Mean of what surprised, of the last so many forecasts.
fn surprise(forecasts: &[Value], last: usize) -> f64 {
    let nats: Vec<f64> =
        forecasts.iter().rev().filter_map(|forecast| forecast["surprise_nats"].as_f64()).take(last).collect();
    assert_eq!(nats.len(), last, "not as many forecasts were judged");
    nats.iter().sum::<f64>() / last as f64
}

#[test]
fn a_run_learns_and_forecasts_what_can_be_known() {
    let folder = tempfile::tempdir().unwrap();
    let sets = ["prompt_tpp.warm_up_events=1500", "prompt_tpp.warm_up_passes=200", "prompt_tpp.version_steps=4"];
    let (summary, forecasts) = run(folder.path(), &ring(12_000, 3), &sets);
    assert_eq!(summary["outputs"]["forecasts"], forecasts.len());
    let mut hits = 0;
    let last: Vec<&Value> = forecasts.iter().rev().take(500).collect();
    for forecast in &last {
        let median = forecast["median_gap_ms"].as_f64().unwrap();
        let likely = forecast["types"][0][0].as_str().unwrap();
        let gap = match likely {
            "cart" => 2_000.0,
            "pay" => 20_000.0,
            _ => 200_000.0,
        };
        hits += usize::from((median / gap).ln().abs() < 0.3);
        assert!(forecast["expected_gap_ms"].as_f64().unwrap() > 0.0, "{forecast}");
        assert!(forecast["model_version"].as_u64().unwrap() > 1, "nothing was learned after the warm-up: {forecast}");
    }
    assert!(hits > 480, "{hits} of 500 forecasts are right");
    // Gaps are known to 6 %, a log-normal of that width at a gap of as many units has so many nats; blind guesses have 4.
    let nats = surprise(&forecasts, 500);
    assert!(nats < 0.5, "{nats} nats");
    let model = pipeline::model::file::load(&folder.path().join("out/models/prompt_tpp.safetensors")).unwrap();
    assert_eq!(model.about["types"].as_array().unwrap().len(), 3);
}

#[test]
fn a_model_that_was_trained_speaks_from_the_first_event_on() {
    let folder = tempfile::tempdir().unwrap();
    let (input, model) = (folder.path().join("past.jsonl"), folder.path().join("model.safetensors"));
    std::fs::write(&input, ring(3_000, 4).join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
    command.args(["train", "prompt_tpp", "--input", &format!("events={}", input.display()), "--epochs", "20"]);
    let done = command.args(["--output", model.to_str().unwrap(), "--set", "device=cpu"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&told["types"], &told["epochs"]), (&json!(3), &json!(20)));
    let start = format!("prompt_tpp.start={}", model.display());
    let (_, forecasts) = run(folder.path(), &ring(3_000, 5), &[&start, "prompt_tpp.learn=frozen"]);
    assert!(forecasts.iter().all(|forecast| forecast["model_version"] == 1));
    assert!(forecasts.len() > 500, "{} forecasts", forecasts.len());
    let nats = surprise(&forecasts, 300);
    assert!(nats < 0.7, "{nats} nats");
}

const VIEWS: &str = "CREATE VIEW ever AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();";

fn cluster(topics: &Topics, partitions: i32) -> Embedded {
    let broker = Embedded::new(EmbeddedSettings { trims: false, ..EmbeddedSettings::default() });
    let spec = |name: String, partitions: i32| TopicSpec { name, partitions, settings: Vec::new() };
    let mut specs: Vec<TopicSpec> = ["events", "items", "forget"].map(|name| spec(name.into(), 1)).into();
    specs.push(spec(topics.by_user(), partitions));
    specs.extend([topics.models(), topics.learners(), topics.samples(Room::PromptTpp)].map(|name| spec(name, 1)));
    specs.extend(topics.outputs(&[Output::Forecasts]).into_iter().map(|output| spec(topics.name(output), partitions)));
    broker.create(&specs).unwrap();
    broker
}

fn shared(broker: &Embedded, topics: &Topics, partitions: u32, commit_interval_ms: u64) -> Shared {
    let mut config = Config { app: "app".into(), instance: "a".into(), ..Config::default() };
    config.engine.commit_interval_ms = commit_interval_ms;
    let settings = &mut config.prompt_tpp;
    (settings.enabled, settings.warm_up_events, settings.warm_up_passes) = (true, 300, 4);
    (settings.batch_samples, settings.version_steps) = (16, 2);
    let models = broker.reader(&[topics.models()]).unwrap();
    let forecasts = Some(Arc::new(Shelf::new("prompt_tpp", models)));
    Shared {
        config: Arc::new(config),
        by_user_partitions: partitions,
        views: Arc::new(Views::compile(VIEWS, &EventColumns::default()).unwrap()),
        topics: topics.clone(),
        one_router: false,
        rooms: Some(Rooms {
            device: shaders::Device::Cpu,
            items: ItemSource::Hashed,
            sdim: None,
            forecasts,
            scorers: Vec::new(),
        }),
        metrics: Metrics::new(),
        archive: None,
        patience: Patience { idle_poll: Duration::ZERO, ..Patience::default() },
        cold: None,
        ended: Arc::default(),
        learned: Arc::default(),
        limits: Arc::default(),
    }
}

/// The last forecast of each user.
fn said(broker: &Embedded, topics: &Topics) -> BTreeMap<String, Value> {
    let mut said = BTreeMap::new();
    let mut reader = broker.records(&[topics.name(Output::Forecasts)]).unwrap();
    reader.catch_up().unwrap();
    let mut take = |record: Incoming<'_>, _: Headers<'_>| {
        let value: Value = serde_json::from_slice(record.value.unwrap()).unwrap();
        said.insert(value["user_id"].as_str().unwrap().to_owned(), value);
    };
    while !reader.poll_headers(Duration::ZERO, &mut take).unwrap() {}
    said
}

/// Versions come while events are folded; the log that was written, run again from its beginning in other batches, says the
/// same of everybody.
#[test]
fn the_log_run_again_gives_the_same_forecasts() {
    let (topics, partitions) = (Topics::new("app", "", vec!["ever".into()]), 3);
    let first = cluster(&topics, partitions);
    let once = shared(&first, &topics, partitions as u32, 20);
    let mut router = roles::router(&once, &first, 0).unwrap().1;
    let mut engine = roles::engine(&once, &first, 0).unwrap().1;
    let mut learner = roles::learner(&once, &first, Room::PromptTpp).unwrap().1;
    let (mut clock, tick) = (Duration::ZERO, Duration::from_millis(30));
    let lines = ring(2_500, 6);
    let mut step = |times: usize| {
        for _ in 0..times {
            clock += tick;
            router.step(clock, &|| clock).unwrap();
            engine.step(clock, &|| clock).unwrap();
            learner.step(clock, &|| clock).unwrap();
        }
    };
    step(10);
    for chunk in lines.chunks(13) {
        for line in chunk {
            first.append("events", 0, None, None, Some(line.as_bytes())).unwrap();
        }
        step(2);
    }
    step(40);
    let want = said(&first, &topics);
    let versions: Vec<u64> = want.values().filter_map(|value| value["model_version"].as_u64()).collect();
    let newest = *versions.iter().max().unwrap();
    assert!(newest > 20 && want.len() == 40, "{newest} versions, {} users", want.len());

    let second = cluster(&topics, partitions);
    for topic in [topics.by_user(), topics.models()] {
        let mut reader = first.records(std::slice::from_ref(&topic)).unwrap();
        reader.catch_up().unwrap();
        let mut copy = |record: Incoming<'_>, _: Headers<'_>| {
            second.append(&topic, record.partition, None, record.key, record.value).unwrap();
        };
        while !reader.poll_headers(Duration::ZERO, &mut copy).unwrap() {}
    }
    let again = shared(&second, &topics, partitions as u32, 1_000);
    let mut engine = roles::engine(&again, &second, 0).unwrap().1;
    let mut clock = Duration::ZERO;
    for _ in 0..400 {
        clock += Duration::from_millis(300);
        engine.step(clock, &|| clock).unwrap();
    }
    let got = said(&second, &topics);
    for (user, want) in &want {
        // All but where the router's record stood in the input is the same.
        assert_eq!(got.get(user), Some(want), "{user}");
    }
}
