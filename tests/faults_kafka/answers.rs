//! Processes are killed with requests and feedback in flight: every request has one answer, every feedback one sample.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pipeline::log::kafka::KafkaFeed;
use pipeline::log::{Broker, Incoming};
use pipeline::model;
use pipeline::rank::sight::Sight;
use schemas::output::Room;
use schemas::topics::Topics;
use serde_json::{Value, json};

use crate::broker::unique;
use crate::path::VIEWS;
use crate::scores::tastes;
use crate::service_kafka::{LIMIT, World};

const REQUESTS: u64 = 700;
const FEED_TIME: Duration = Duration::from_secs(24);
const ROOMS: [Room; 2] = [Room::Sdim, Room::Muse];

/// What is sent, by topic.
#[derive(Default)]
struct Stream {
    items: Vec<Vec<u8>>,
    events: Vec<Vec<u8>>,
    requests: Vec<Value>,
    /// What is said of each request, once its answer is seen.
    feedback: BTreeMap<String, Vec<Value>>,
}

impl Stream {
    /// Every seventh request is of a user whom nobody knows, and each has an item of its own that nobody knows.
    fn new() -> Self {
        let mut stream = Self::default();
        for (topic, line) in tastes(11, REQUESTS).0 {
            match topic {
                "items" => stream.items.push(line),
                "events" => stream.events.push(line),
                _ => stream.take(topic, serde_json::from_slice(&line).unwrap()),
            }
        }
        stream
    }

    fn take(&mut self, topic: &str, mut value: Value) {
        let request_id = value["request_id"].as_str().unwrap().to_string();
        let n: u64 = request_id[1..].parse().unwrap();
        if n.is_multiple_of(7) {
            value["user_id"] = format!("stranger{n}").into();
        }
        if topic == "feedback" {
            return self.feedback.get_mut(&request_id).unwrap().push(value);
        }
        let unknown = format!("only{n}");
        value["item_ids"].as_array_mut().unwrap().push(unknown.as_str().into());
        value["features"]["place"].as_array_mut().unwrap().push(5.into());
        let given = json!({"user_id": value["user_id"], "time": value["time"], "request_id": request_id, "item_id": unknown, "label": n % 2});
        self.feedback.insert(request_id, vec![given]);
        self.requests.push(value);
    }

    /// Items with what was said of them, in their own order.
    fn labeled(&self) -> Vec<(String, bool)> {
        let all = self.feedback.values().flatten();
        let mut all: Vec<_> = all.map(|given| (text(&given["item_id"]), given["label"] == 1)).collect();
        all.sort();
        all
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().into()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// Says of every request what is to be said, as soon as its answer is seen.
fn give_feedback(world: &World, stream: &Stream) {
    let mut reader = world.cluster().reader(&[world.topic("scores")]).unwrap();
    let mut feed = KafkaFeed::open(&world.cluster()).unwrap();
    let (mut seen, topic, begun) = (BTreeSet::new(), world.topic("feedback"), Instant::now());
    while seen.len() < stream.requests.len() {
        assert!(begun.elapsed() < LIMIT, "{} of {REQUESTS} requests are answered", seen.len());
        let mut answered = Vec::new();
        let mut each = |record: Incoming<'_>| answered.push(String::from_utf8(record.key.unwrap().to_vec()).unwrap());
        reader.poll(Duration::from_millis(20), &mut each).unwrap();
        for request_id in answered.into_iter().filter(|request_id| seen.insert(request_id.clone())) {
            for given in &stream.feedback[&request_id] {
                feed.send(&topic, None, Some(request_id.as_bytes()), Some(&bytes(given))).unwrap();
            }
        }
    }
    feed.flush().unwrap();
}

/// Everything on a topic: partition, offset and value, in the order of each partition.
fn read(world: &World, topic: String) -> Vec<(i32, i64, Vec<u8>)> {
    let mut all = Vec::new();
    let mut reader = world.cluster().reader(std::slice::from_ref(&topic)).unwrap();
    let mut each = |record: Incoming<'_>| all.push((record.partition, record.offset, record.value.unwrap().to_vec()));
    model::read_all(reader.as_mut(), &topic, &mut each).unwrap();
    all
}

/// What is wrong with these answers, by partition in their order.
fn check(requests: &[Value], answers: &[(i32, Value)]) -> Result<(), String> {
    let mut open: BTreeMap<String, &Value> = requests.iter().map(|asked| (text(&asked["request_id"]), asked)).collect();
    let mut in_force: BTreeMap<(i32, String), u64> = BTreeMap::new();
    for (partition, answer) in answers {
        let request_id = text(&answer["request_id"]);
        let asked = open.remove(&request_id).ok_or(format!("{request_id} is answered twice"))?;
        let items = answer["scores"].as_array().unwrap();
        let same = |name: &str| asked[name] == answer[name];
        let ids: Vec<&Value> = items.iter().map(|of| &of["item_id"]).collect();
        if !same("user_id") || !same("time") || ids != asked["item_ids"].as_array().unwrap().iter().collect::<Vec<_>>()
        {
            return Err(format!("{answer} does not answer {asked}"));
        }
        let versions = answer["model_versions"].as_object().unwrap();
        for (model, version) in versions {
            let before = in_force.insert((*partition, model.clone()), version.as_u64().unwrap());
            if before > version.as_u64() {
                return Err(format!("{request_id}: {model} fell from version {before:?} to {version}"));
            }
        }
        for room in ROOMS.map(Room::name) {
            let is_in_force = in_force.contains_key(&(*partition, room.to_string()));
            let of = |item: &Value| [&item[room], &item["p"][room]].map(Value::is_f64);
            if versions.contains_key(room) != is_in_force || items.iter().any(|item| of(item) != [is_in_force; 2]) {
                return Err(format!(
                    "{request_id}: {room} is in force in partition {partition}: {is_in_force}; {answer}"
                ));
            }
        }
    }
    match open.keys().next() {
        Some(request_id) => Err(format!("{request_id} and {} others are not answered", open.len() - 1)),
        None => Ok(()),
    }
}

/// Samples with their offsets, item by item.
fn samples(world: &World, room: Room) -> Vec<(i64, String, bool)> {
    let topics = Topics::new(&world.app, "", Vec::new());
    let records = read(world, topics.samples(room)).into_iter();
    let sights = records.map(|(_, offset, value)| (offset, Sight::read(&value).unwrap()));
    let items = |(offset, sight): (i64, Sight)| {
        let labels = sight.labels.clone().into_iter();
        labels.zip(sight.item_ids).map(move |(label, item_id)| (offset, item_id, label))
    };
    sights.flat_map(items).collect()
}

/// The newest version of a model has learned from every sample before its place once; gives its number.
fn check_version(world: &World, room: Room) -> u64 {
    let topics = Topics::new(&world.app, "", Vec::new());
    let newest = model::read(&world.cluster(), &topics.models(), room.name()).unwrap().expect("something was learned");
    let next = newest.about["samples_offset"].as_i64().unwrap();
    let before = samples(world, room).into_iter().filter(|(offset, ..)| *offset < next).count();
    assert_eq!(newest.about["targets"], before, "{}, version {}", room.name(), newest.version);
    newest.version
}

fn settings() -> impl Iterator<Item = (String, String)> {
    let settings = [
        ("candidates.enabled", "true"),
        ("candidates.features", "place"),
        ("candidates.batch_samples", "64"),
        ("candidates.version_steps", "2"),
        ("candidates.version_interval_ms", "0"),
        ("candidates.lag_max_ms", "86400000"),
        ("candidates.feedback_wait_ms", "86400000"),
        ("muse.enabled", "true"),
        ("sdim.dim", "8"),
    ];
    settings.into_iter().map(|(key, value)| (key.into(), value.into()))
}

#[test]
fn killed_processes_answer_each_request_once_and_learn_from_each_feedback_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("answers"), VIEWS);
    world.settings.extend(settings());
    world.create_topics();
    let stream = Stream::new();
    let lines: Vec<Vec<u8>> = stream.requests.iter().map(bytes).collect();
    let mut services = [world.serve("a"), world.serve("b")];
    services[0].wait_for("state begins");
    world.send_to("items", &stream.items);
    std::thread::scope(|scope| {
        scope.spawn(|| world.send_slowly("events", &stream.events, FEED_TIME));
        scope.spawn(|| world.send_slowly("candidates", &lines, FEED_TIME));
        scope.spawn(|| give_feedback(&world, &stream));
        // Each twice: routers, engines and both learners are among what is killed.
        for round in 0..4 {
            std::thread::sleep(FEED_TIME / 5);
            services[round % 2].signal(libc::SIGKILL);
            services[round % 2] = world.serve(["a", "b"][round % 2]);
        }
    });
    let (labeled, begun) = (stream.labeled(), Instant::now());
    while ROOMS.iter().any(|room| samples(&world, *room).len() < labeled.len()) && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(300));
    }
    // What comes twice may come late.
    std::thread::sleep(Duration::from_secs(1));
    let value = |(partition, _, value): (i32, i64, Vec<u8>)| (partition, serde_json::from_slice(&value).unwrap());
    let mut answers: Vec<(i32, Value)> = read(&world, world.topic("scores")).into_iter().map(value).collect();
    check(&stream.requests, &answers).unwrap();
    for room in ROOMS {
        let scored = answers.iter().filter(|(_, answer)| answer["model_versions"].get(room.name()).is_some()).count();
        assert!(scored > answers.len() / 4, "{}: {scored} of {REQUESTS} answers have scores", room.name());
        let mut got: Vec<_> = samples(&world, room).into_iter().map(|(_, item_id, label)| (item_id, label)).collect();
        got.sort();
        assert!(got == labeled, "{}: {} samples of {} feedbacks", room.name(), got.len(), labeled.len());
        let version = check_version(&world, room);
        assert!(version > 5, "{}: {version} versions", room.name());
    }
    assert_eq!(read(&world, world.topic("dead-letters")).len(), 0);
    // Of the proof itself: one answer less, one more.
    let last = answers.pop().unwrap();
    assert!(check(&stream.requests, &answers).unwrap_err().contains("not answered"));
    answers.extend([last.clone(), last]);
    assert!(check(&stream.requests, &answers).unwrap_err().contains("twice"));
}
