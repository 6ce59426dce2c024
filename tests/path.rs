//! The whole path over the embedded log: the same outputs however the work is cut.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pipeline::config::Config;
use pipeline::metrics::Metrics;
use pipeline::run::{Append, Feed, RunError, Summary, run};
use serde_json::Value;

use crate::streams;

/// Lines of events, one vector a source, and of items.
pub struct Lines {
    pub events: Vec<Vec<Vec<u8>>>,
    pub items: Vec<Vec<u8>>,
}

impl Feed for Lines {
    fn partitions(&self, topic: &str) -> i32 {
        match topic {
            "events" => self.events.len() as i32,
            _ => i32::from(!self.items.is_empty()),
        }
    }

    fn feed(&mut self, append: &mut Append<'_>) -> Result<(), RunError> {
        self.items.iter().try_for_each(|line| append("items", 0, line))?;
        let longest = self.events.iter().map(Vec::len).max().unwrap_or(0);
        for n in 0..longest {
            for (partition, lines) in self.events.iter().enumerate() {
                lines.get(n).map_or(Ok(()), |line| append("events", partition as i32, line))?;
            }
        }
        Ok(())
    }
}

pub const VIEWS: &str = "
    CREATE VIEW clicks_1m AS SELECT user_id, count(*) AS clicks, sum(value) AS spend, count(DISTINCT item_id) AS items
    FROM events WHERE type = 'click' GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW activity AS SELECT user_id, count(*) AS n, avg(value) AS mean
    FROM events GROUP BY user_id, hop(INTERVAL '5 minutes', INTERVAL '15 minutes');
    CREATE VIEW visits AS SELECT user_id, count(*) AS n, max(value) AS top
    FROM events GROUP BY user_id, session(INTERVAL '2 minutes');
    CREATE VIEW last_hour AS SELECT user_id, count(*) AS n, sum(value) AS total
    FROM events GROUP BY user_id, rolling(INTERVAL '1 hour');
    CREATE VIEW last_five AS SELECT user_id, count(*) AS n, max(time) AS newest
    FROM events GROUP BY user_id, latest(5);
    CREATE VIEW ever AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();";
const LATEST: [&str; 3] = ["features.last_hour", "features.last_five", "features.ever"];

pub type Outputs = BTreeMap<String, Vec<Value>>;

/// Runs `lines` with `settings` and reads the outputs back.
pub fn outputs(lines: &mut Lines, settings: &[(&str, Value)], views: &str) -> (Summary, Outputs) {
    outputs_of(lines, settings, views)
}

/// Runs what `feed` gives with `settings` and reads the outputs back.
pub fn outputs_of(feed: &mut dyn Feed, settings: &[(&str, Value)], views: &str) -> (Summary, Outputs) {
    let dir = tempfile::tempdir().unwrap();
    let sql = dir.path().join("views.sql");
    std::fs::write(&sql, views).unwrap();
    let config = config(&sql, settings);
    let out = dir.path().join("out");
    let stop = Arc::new(AtomicBool::new(false));
    let summary = run(config, feed, &out, Metrics::default(), &stop).unwrap();
    (summary, read(&out))
}

pub fn config(sql: &Path, settings: &[(&str, Value)]) -> Config {
    let mut config = serde_json::to_value(Config::default()).unwrap();
    config["views"]["file"] = sql.to_str().unwrap().into();
    for (key, value) in settings {
        let pointer = format!("/{}", key.replace('.', "/"));
        *config.pointer_mut(&pointer).unwrap_or_else(|| panic!("no setting {key}")) = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

fn read(out: &Path) -> Outputs {
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        let topic = name.strip_suffix(".jsonl")?.to_string();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        Some((topic, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
    };
    std::fs::read_dir(out).unwrap().filter_map(|entry| file(entry.unwrap())).collect()
}

/// What must not depend on the cutting: windows as a set, the last value of each user, the tables.
fn essence(outputs: &Outputs) -> BTreeMap<String, Vec<String>> {
    let essence = |(topic, records): (&String, &Vec<Value>)| {
        let mut lines: Vec<String> = if LATEST.contains(&topic.as_str()) || topic == "encodings.sdim" {
            let last: BTreeMap<_, _> = records.iter().map(|r| (r["user_id"].to_string(), rounded(r))).collect();
            last.into_values().collect()
        } else {
            records.iter().map(rounded).collect()
        };
        lines.sort();
        (topic.clone(), lines)
    };
    outputs.iter().map(essence).collect()
}

/// Floats are equal to nine digits: the order of additions may differ.
fn rounded(record: &Value) -> String {
    let mut record = record.clone();
    for value in record.as_object_mut().unwrap().values_mut() {
        if let Some(float) = value.as_f64().filter(|_| value.is_f64()) {
            *value = format!("{float:.7e}").into();
        }
    }
    record.to_string()
}

#[test]
fn cutting_changes_nothing() {
    let (events, dead) = streams::events(11, 6000, 60);
    let cuts: [&[(&str, Value)]; 5] = [
        &[("partitions", 1.into()), ("engine.batch_rows", 100_000.into())],
        &[("partitions", 4.into()), ("engine.batch_rows", 7.into())],
        &[("partitions", 4.into()), ("engine.workers", 2.into()), ("engine.commit_interval_ms", 2.into())],
        &[("partitions", 3.into()), ("sdim.tables", 3.into()), ("encodings.min_interval_ms", 60_000.into())],
        &[("partitions", 8.into()), ("views.emit", "event".into()), ("engine.commit_interval_ms", 1.into())],
    ];
    let mut first = None;
    for cut in cuts {
        let fixed = [("sdim.enabled", true.into()), ("sdim.dim", 16.into()), ("sdim.window", 32.into())];
        let settings: Vec<_> = fixed
            .into_iter()
            .chain([("device", Value::from("cpu")), ("events.out_of_orderness_ms", 5000.into())])
            .chain(cut.iter().cloned())
            .collect();
        let mut lines = Lines { events: vec![events.clone()], items: streams::items(16) };
        let (summary, outputs) = outputs(&mut lines, &settings, VIEWS);
        assert_eq!(summary.records_in, 6000 + 300);
        assert_eq!(summary.dead_letters, dead);
        assert!(summary.late > 0 && summary.duplicates > 0);
        let counts: BTreeMap<_, _> = outputs.iter().map(|(t, r)| (t.clone(), r.len() as u64)).collect();
        assert_eq!(summary.outputs, counts);
        let numbers = (summary.late, summary.duplicates, summary.users);
        let this = (numbers, essence(&outputs));
        let first = first.get_or_insert_with(|| this.clone());
        assert_eq!(first.0, this.0, "{cut:?}");
        for (topic, lines) in &first.1 {
            assert_eq!(lines.len(), this.1[topic].len(), "{topic} with {cut:?}");
            let differs = lines.iter().zip(&this.1[topic]).find(|(a, b)| a != b);
            assert_eq!(differs, None, "{topic} with {cut:?}");
        }
    }
}

#[test]
fn sources_that_end_early_hold_nothing_back() {
    let (events, _) = streams::events(12, 3000, 30);
    let whole = outputs(&mut Lines { events: vec![events.clone()], items: Vec::new() }, &wide(), VIEWS);
    let mut sources = vec![Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for (n, line) in events.into_iter().enumerate() {
        sources[if n < 300 { n % 3 } else { n % 2 }].push(line);
    }
    let parts = outputs(&mut Lines { events: sources, items: Vec::new() }, &wide(), VIEWS);
    assert_eq!(parts.0.late, 0);
    let windows = |outputs: &Outputs| essence(outputs)["features.clicks_1m"].clone();
    assert_eq!(windows(&whole.1), windows(&parts.1));
}

/// No row is late, whatever source it stands in.
fn wide() -> Vec<(&'static str, Value)> {
    vec![("events.out_of_orderness_ms", 100_000_000.into()), ("events.dedupe_ids", 100_000.into())]
}

#[test]
fn nothing_in_is_nothing_out() {
    let (summary, outputs) = outputs(&mut Lines { events: Vec::new(), items: Vec::new() }, &[], VIEWS);
    assert_eq!((summary.records_in, summary.users), (0, 0));
    assert!(outputs.values().all(Vec::is_empty) && outputs.contains_key("features.ever"));
}

#[test]
fn dead_letters_keep_their_bytes_and_their_place() {
    let bad = br#"{"user_id":"u1","type":"click","time":"yesterday"}"#.to_vec();
    let events = vec![br#"{"user_id":"u1","type":"click","time":5}"#.to_vec(), bad.clone(), b"\xff\xfe{}".to_vec()];
    let items = vec![br#"{"item_id":"i1","vector":[1.0]}"#.to_vec()];
    let settings = [("sdim.enabled", true.into()), ("device", "cpu".into())];
    let (summary, outputs) = outputs(&mut Lines { events: vec![events], items }, &settings, VIEWS);
    assert_eq!((summary.records_in, summary.dead_letters), (4, 3));
    let dead = &outputs["dead-letters"];
    let of = |topic: &str, offset: i64| dead.iter().find(|d| d["topic"] == topic && d["offset"] == offset).unwrap();
    assert_eq!(of("events", 1)["value"], std::str::from_utf8(&bad).unwrap());
    assert!(of("events", 1)["error"].as_str().unwrap().contains("`time`"));
    assert_eq!(of("events", 2)["value_base64"], "//57fQ==");
    assert!(of("items", 0)["error"].as_str().unwrap().contains("sdim.dim"));
}

#[test]
fn the_gpu_gives_the_same_tables_as_the_cpu() {
    let (events, _) = streams::events(13, 1500, 12);
    let tables = |device: &str| {
        let settings = [
            ("sdim.enabled", true.into()),
            ("sdim.dim", 32.into()),
            ("sdim.window", 64.into()),
            ("sdim.tables", 16.into()),
            ("device", device.into()),
        ];
        let mut lines = Lines { events: vec![events.clone()], items: streams::items(32) };
        essence(&outputs(&mut lines, &settings, "").1)["encodings.sdim"].clone()
    };
    let cpu = tables("cpu");
    assert_eq!(cpu, tables("gpu"));
    assert!(cpu.len() >= 10);
}
