//! Where state cannot be had: no silent reset, and a message that says what to do.

use std::sync::Arc;

use pipeline::log::embedded::{Embedded, EmbeddedSettings};
use pipeline::log::{Broker, TopicPartition};
use pipeline::snapshot::bucket::Bucket;
use pipeline::snapshot::manifest::Manifest;
use schemas::topics::Topics;

use crate::one::{One, log};

const VIEWS: &str = "CREATE VIEW ever AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();";

fn bucket(folder: &tempfile::TempDir) -> Arc<Bucket> {
    Arc::new(Bucket::open(&format!("file://{}", folder.path().display())).unwrap())
}

/// A log, and snapshots of what was folded of it.
fn world(folder: &tempfile::TempDir) -> (Embedded, Topics) {
    let (broker, topics) = log(VIEWS, 1, EmbeddedSettings { trims: false, ..EmbeddedSettings::default() });
    let mut one = One::start(&broker, &topics, VIEWS, Some(bucket(folder)), |config| {
        // Some four events' time.
        config.state.snapshot_interval_ms = 250;
    })
    .unwrap();
    for n in 0..60 {
        one.feed(0, &format!(r#"{{"user_id":"u{}","type":"a","time":{n}}}"#, n % 7));
        one.settle().unwrap();
    }
    one.stop().unwrap();
    (broker, topics)
}

/// What the newest value of `u0` is after one more event, or why there is none.
fn go_on(broker: &Embedded, topics: &Topics, folder: Option<&tempfile::TempDir>) -> Result<i64, String> {
    let objects = folder.map(|folder| bucket(folder) as _);
    let mut one = One::start(broker, topics, VIEWS, objects, |_| {}).map_err(|error| error.to_string())?;
    one.said();
    one.feed(0, r#"{"user_id":"u0","type":"a","time":1000}"#);
    one.settle().map_err(|error| error.to_string())?;
    Ok(one.said().last().unwrap().1["n"].as_i64().unwrap())
}

fn by_user(topics: &Topics) -> [TopicPartition; 2] {
    [0, 1].map(|partition| TopicPartition { topic: topics.by_user().into(), partition })
}

fn files(folder: &tempfile::TempDir, end: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for partition in ["00000", "00001"] {
        let entries = std::fs::read_dir(folder.path().join("app").join(partition)).unwrap();
        found.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.to_str().unwrap().ends_with(end)));
    }
    found.sort();
    found
}

#[test]
fn a_trimmed_log_and_its_snapshots_are_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let (broker, topics) = world(&folder);
    // Each user's task has kept three snapshots, and what they need.
    assert_eq!(files(&folder, ".json").len(), 6);
    assert!(files(&folder, ".arrow").len() <= 2 * 12, "{:?}", files(&folder, ".arrow"));
    assert_eq!(go_on(&broker, &topics, Some(&folder)), Ok(10));
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    for damage in [b"".as_slice(), b"{\"checksum\":\"0\",\"manifest\":{}}", b"{"] {
        let folder = tempfile::tempdir().unwrap();
        let (broker, topics) = world(&folder);
        let manifests = files(&folder, ".json");
        // The newest of each partition.
        for manifest in [&manifests[2], &manifests[5]] {
            std::fs::write(manifest, damage).unwrap();
        }
        assert_eq!(go_on(&broker, &topics, Some(&folder)), Ok(10));
    }
    let folder = tempfile::tempdir().unwrap();
    let (broker, topics) = world(&folder);
    // A part that only the newest needs.
    let manifests = files(&folder, ".json");
    let parts = |path: &std::path::PathBuf| {
        let manifest = Manifest::decode(&std::fs::read(path).unwrap()).unwrap();
        manifest.parts.into_iter().map(|part| part.object).collect::<Vec<_>>()
    };
    let (before, newest) = (parts(&manifests[1]), parts(&manifests[2]));
    let part = newest.iter().find(|part| !before.contains(part)).unwrap();
    std::fs::remove_file(manifests[2].with_file_name(part)).unwrap();
    assert_eq!(go_on(&broker, &topics, Some(&folder)), Ok(10));
}

#[test]
fn without_snapshots_a_trimmed_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (broker, topics) = world(&folder);
    let error = go_on(&broker, &topics, None).unwrap_err();
    assert!(error.contains("state.snapshots") && error.contains("restore that folder"), "{error}");
    for file in files(&folder, ".json") {
        std::fs::write(file, b"gone").unwrap();
    }
    let error = go_on(&broker, &topics, Some(&folder)).unwrap_err();
    assert!(error.contains("the log begins at") && error.contains("another `app`"), "{error}");
}

#[test]
fn lost_offsets_are_no_new_beginning() {
    let folder = tempfile::tempdir().unwrap();
    world(&folder);
    // The same names on a cluster that knows of no offsets.
    let (broker, topics) = log(VIEWS, 1, EmbeddedSettings { trims: false, ..EmbeddedSettings::default() });
    let error = go_on(&broker, &topics, Some(&folder)).unwrap_err();
    assert!(error.contains("has committed no offset") && error.contains("there is a snapshot"), "{error}");
    // Nor is a log whose beginning is missing.
    for at in by_user(&topics) {
        for _ in 0..3 {
            broker.append(&at.topic, at.partition, None, None, Some(b"x")).unwrap();
        }
    }
    let mut reader = broker.records(&[topics.by_user()]).unwrap();
    reader.poll_headers(std::time::Duration::ZERO, &mut |_, _| {}).unwrap();
    by_user(&topics).iter().for_each(|at| broker.trim(at, 3).unwrap());
    let error = go_on(&broker, &topics, None).unwrap_err();
    assert!(error.contains("has committed no offset") && error.contains("the log begins at 3"), "{error}");
}

#[test]
fn snapshots_of_another_topic_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (broker, topics) = world(&folder);
    for manifest in files(&folder, ".json") {
        let text = std::fs::read_to_string(&manifest).unwrap();
        let sealed: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut inner = Manifest::decode(text.as_bytes()).unwrap();
        assert_eq!(sealed["manifest"]["topic_id"], inner.owner.topic_id.as_str());
        inner.owner.topic_id = "another".into();
        std::fs::write(manifest, inner.encode()).unwrap();
    }
    let error = go_on(&broker, &topics, Some(&folder)).unwrap_err();
    assert!(error.contains("id another") && error.contains("state.snapshots"), "{error}");
}

#[test]
fn a_forgotten_user_is_gone_from_the_log_and_from_all_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let (broker, topics) = world(&folder);
    let mut one = One::start(&broker, &topics, VIEWS, Some(bucket(&folder)), |_| {}).unwrap();
    one.said();
    broker.append("forget", 0, None, None, Some(br#"{"user_id":"u3"}"#)).unwrap();
    broker.append("forget", 0, None, None, Some(br#"{"user":"u3"}"#)).unwrap();
    one.settle().unwrap();
    let said = one.said();
    let of =
        |topic: &str| said.iter().filter(|(of, _)| of == topic).map(|(_, value)| value.clone()).collect::<Vec<_>>();
    assert_eq!(of("features.ever"), [serde_json::Value::Null], "what readers saw is taken back");
    assert_eq!(of("dead-letters").len(), 1);
    let holds = |needle: &str| {
        let parts = files(&folder, ".arrow").into_iter().map(|path| std::fs::read(path).unwrap());
        let mut batches = parts.flat_map(|bytes| {
            let batches: Vec<_> = pipeline::snapshot::part::batches(&bytes).unwrap().map(Result::unwrap).collect();
            batches
        });
        batches.any(|batch| operators::describe_user(&batch, needle).unwrap().is_some_and(|state| state != "null"))
    };
    assert!(holds("u3"), "snapshots of before hold him");
    // Two more snapshots of each partition, and he is gone.
    for n in 0..4 {
        for user in 4..7 {
            one.feed(0, &format!(r#"{{"user_id":"u{user}","type":"a","time":{}}}"#, 100 + n));
        }
        one.settle().unwrap();
    }
    one.stop().unwrap();
    assert!(!holds("u3") && holds("u4"));
    let mut reader = broker.records(&[topics.by_user()]).unwrap();
    let mut look = |record: pipeline::log::Incoming<'_>, _: pipeline::log::embedded::Headers<'_>| {
        let packed = schemas::packed::read(record.value.unwrap()).unwrap();
        let rows = packed.rows().unwrap();
        let users = rows.iter().flat_map(|rows| {
            let users = arrow::array::AsArray::as_string_view(rows.column_by_name("user_id").unwrap());
            users.iter().flatten().map(String::from).collect::<Vec<_>>()
        });
        assert!(users.into_iter().all(|user| user != "u3"), "the log still holds him at {}", record.offset);
    };
    reader.poll_headers(std::time::Duration::ZERO, &mut look).unwrap();
    // He comes back as somebody new.
    let mut one = One::start(&broker, &topics, VIEWS, Some(bucket(&folder)), |_| {}).unwrap();
    one.said();
    one.feed(0, r#"{"user_id":"u3","type":"a","time":1000}"#);
    one.settle().unwrap();
    assert_eq!(one.said().last().unwrap().1["n"], 1);
}

fn inspect(arguments: &[&str], folder: &tempfile::TempDir) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wellspring"));
    command.arg("inspect").args(arguments);
    if arguments[0] == "user" {
        let snapshots = format!("state.snapshots=file://{}", folder.path().display());
        command.args(["--set", "app=app", "--set", "partitions=2", "--set", &snapshots]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[test]
fn what_is_kept_of_a_user_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    world(&folder);
    let (status, text) = inspect(&["user", "u3"], &folder);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, Some(0));
    let state = &told["state"];
    assert_eq!((&state["ordinal"], state["rows"].as_array().unwrap().len()), (&9.into(), 9));
    assert_eq!(state["rows"][8]["#topic"], "events");
    let (status, text) = inspect(&["user", "nobody"], &folder);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &told["state"]), (Some(0), &serde_json::Value::Null));

    let newest = files(&folder, ".json").pop().unwrap();
    let (status, text) = inspect(&["snapshot", newest.to_str().unwrap()], &folder);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, Some(0));
    assert!(told["parts"].as_array().unwrap().iter().all(|part| part["whole"] == true), "{told}");
    for part in files(&folder, ".arrow") {
        std::fs::write(part, b"x").unwrap();
    }
    let (_, text) = inspect(&["snapshot", newest.to_str().unwrap()], &folder);
    assert!(text.contains("\"whole\": false"), "{text}");
    let (status, text) = inspect(&["snapshot", "/nowhere.json"], &folder);
    assert!(status == Some(1) && text.contains("/nowhere.json"), "{text}");
    let empty = tempfile::tempdir().unwrap();
    let (status, text) = inspect(&["user", "u3"], &empty);
    assert!(status == Some(1) && text.contains("`app` and `partitions`"), "{text}");
}
