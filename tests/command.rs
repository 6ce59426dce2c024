//! The binary as scripts call it: exit statuses, and errors that say what, where and what to do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use indicatif::ProgressBar;
use pipeline::command::replay::{Feed, Pace, send_all};
use pipeline::command::topics::{differences, inputs, own};
use pipeline::config::load::load_from;
use pipeline::log::{Class, LogError, TopicState};
use pipeline::metrics::Metrics;
use pipeline::source::{Input, Merge};

fn wellspring(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WELLSPRING_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

/// Status and standard error; standard output stays empty where a command fails.
fn fails(arguments: &[&str]) -> (i32, String) {
    let output = wellspring(arguments);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!error.contains("panicked") && !error.contains("backtrace"), "{error}");
    (output.status.code().unwrap(), error)
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_where_and_what_to_do() {
    let topics = ["topics", "create", "--set"];
    for (arguments, parts) in [
        (&["fly"][..], &["fly"][..]),
        (&["run"], &["--input", "--output"]),
        (
            &["run", "--input", "clicks=a.jsonl", "--output", "o"],
            &["error: unknown topic `clicks`; ", "events, items, candidates, feedback and forget"],
        ),
        (&["run", "--input", "events=a.txt", "--output", "o"], &["error: ", "`a.txt`", ".jsonl"]),
        (
            &[&topics[..], &["engine.wrokers=2"]].concat(),
            &["error: unknown setting `engine.wrokers`; --set", "did you mean"],
        ),
        (&[&topics[..], &["partitions=0"]].concat(), &["error: `partitions` cannot be `0`; --set", "1 to 4096"]),
        (&[&topics[..], &["kafka.properties.acks=1"]].concat(), &["refused", "leave it out"]),
        (&[&topics[..], &["views.file=missing.sql"]].concat(), &["missing.sql", "views.file"]),
        (&["topics", "check", "--config", "missing.toml"], &["missing.toml", "--config"]),
        (&["replay", "--input", "events=a.jsonl", "--rate", "0"], &["--rate", "above 0"]),
        (&["replay", "--input", "events=a.jsonl", "--rate", "1", "--speed", "1"], &["--speed"]),
        (&["demo", "--users", "1"], &["--users"]),
        (&["bench", "nothing"], &["path"]),
        (&["train", "lbsf"], &["lbsf", "prompt_tpp", "sdim", "muse"]),
        (
            &["train", "sdim", "--input", "events=a.jsonl", "--output", "o"],
            &["no --input brings feedback", "feedback=FILE"],
        ),
        (
            &["evaluate", "sdim", "--input", "events=a.jsonl", "--rows", "sdmi"],
            &["no row `sdmi`", "popularity", "muse"],
        ),
        (&["train", "prompt_tpp", "--input", "events=a.jsonl"], &["--output"]),
    ] {
        let (status, error) = fails(arguments);
        assert_eq!(status, 2, "{arguments:?}: {error}");
        parts.iter().for_each(|part| assert!(error.contains(part), "{arguments:?}: `{error}` does not say `{part}`"));
    }
    let folder = tempfile::TempDir::new().unwrap();
    let view = folder.path().join("v.sql");
    std::fs::write(&view, "CREATE VIEW v AS SELECT user_id, now() AS t FROM events GROUP BY user_id, latest(1);")
        .unwrap();
    let (status, error) = fails(&["topics", "create", "--set", &format!("views.file={}", view.display())]);
    assert_eq!(status, 2, "{error}");
}

#[test]
fn what_fails_ends_with_1() {
    let (status, error) = fails(&["replay", "--input", "events=missing.jsonl"]);
    assert_eq!(status, 1, "{error}");
    assert!(error.contains("error: the file cannot be opened") && error.contains("missing.jsonl"), "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("http.listen={}", taken.local_addr().unwrap());
    let (status, error) = fails(&["serve", "--set", &listen]);
    assert_eq!(status, 1, "{error}");
    assert!(error.contains(&listen) && error.contains("choose another address"), "{error}");
}

#[test]
fn help_and_version_end_with_0() {
    for argument in ["--help", "--version", "help"] {
        assert_eq!(wellspring(&[argument]).status.code(), Some(0), "{argument}");
    }
    let help = String::from_utf8(wellspring(&["--help"]).stdout).unwrap();
    ["run", "serve", "replay", "topics", "demo", "bench"]
        .iter()
        .for_each(|name| assert!(help.contains(name), "{name}"));
}

#[test]
fn every_topic_has_its_place_and_settings() {
    let sets = ["app=a", "topics.prefix=p.", "topics.partitions=3", "partitions=5", "sdim.enabled=true"];
    let config = load_from(None, std::iter::empty(), &sets.map(String::from)).unwrap();
    let views = [("w".to_string(), false), ("l".to_string(), true)];
    let all = [inputs(&config), own(&config, &views)].concat();
    let shown: Vec<String> =
        all.iter().map(|spec| format!("{} {} {}", spec.name, spec.partitions, spec.settings[0].1)).collect();
    let expected = [
        "p.events 3 delete",
        "p.items 3 compact",
        "p.candidates 3 delete",
        "p.feedback 3 delete",
        "p.forget 3 delete",
        "a.by-user 5 delete",
        "a.models 1 compact",
        "a.learners 1 compact",
        "p.features.w 5 delete",
        "p.features.l 5 compact",
        "p.encodings.sdim 5 compact",
        "p.late 3 delete",
        "p.dead-letters 3 delete",
    ];
    assert_eq!(shown, expected);
    let by_user = &all[5];
    for (key, value) in [("retention.ms", "-1"), ("retention.bytes", "-1"), ("message.timestamp.type", "LogAppendTime")]
    {
        assert!(by_user.settings.contains(&(key.into(), value.into())), "{key}");
    }
    let state = TopicState { id: String::new(), partitions: 5, denied: Vec::new(), settings: by_user.settings.clone() };
    assert!(differences(by_user, Some(&state)).is_empty());
    let mut other = TopicState { partitions: 6, ..state };
    other.settings[1].1 = "604800000".into();
    let found = differences(by_user, Some(&other)).join("\n");
    assert!(found.contains("has 6 partitions") && found.contains("retention.ms=604800000, needed is -1"), "{found}");
    assert!(differences(by_user, None)[0].contains("does not exist"));
}

#[derive(Default)]
struct Taken(Vec<(String, Option<String>, String)>, Option<usize>);

impl Feed for Taken {
    fn send(&mut self, topic: &str, key: Option<&[u8]>, value: &[u8]) -> Result<(), LogError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.0.push((topic.into(), key.map(text), text(value)));
        if self.1 == Some(self.0.len()) {
            let (context, message) = ("record".into(), "too large".into());
            return Err(LogError { class: Class::Fatal, fenced: false, context, message });
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}

fn replayed(lines: &str, pace: Pace, feed: &mut Taken, stop: &AtomicBool) -> Result<u64, pipeline::command::Failure> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("e.jsonl");
    std::fs::write(&path, lines).unwrap();
    let inputs = Input::parse_all(&[format!("events={}", path.display())]).unwrap();
    send_all(&mut Merge::open(&inputs).unwrap(), feed, "p.", pace, stop, &ProgressBar::hidden())
}

#[test]
fn replay_keys_records_by_user_and_keeps_its_pace() {
    let lines = "{\"user_id\":7,\"time\":0}\nbad\n{\"user_id\":\"u\",\"time\":400}\n";
    let mut feed = Taken::default();
    let go = AtomicBool::new(false);
    assert_eq!(replayed(lines, Pace::Free, &mut feed, &go).unwrap(), 3);
    let shown: Vec<_> =
        feed.0.iter().map(|(topic, key, value)| (topic.as_str(), key.as_deref(), value.as_str())).collect();
    let values: Vec<&str> = lines.lines().collect();
    let expected = [("p.events", Some("7"), values[0]), ("p.events", None, "bad"), ("p.events", Some("u"), values[2])];
    assert_eq!(shown, expected);
    for pace in [Pace::Rate(10.0), Pace::Speed(2.0)] {
        let started = Instant::now();
        replayed(lines, pace, &mut Taken::default(), &go).unwrap();
        assert!(started.elapsed().as_millis() >= 200, "{pace:?} took {:?}", started.elapsed());
    }
    assert_eq!(replayed(lines, Pace::Rate(0.001), &mut Taken::default(), &AtomicBool::new(true)).unwrap(), 0);
    let refused = replayed(lines, Pace::Free, &mut Taken(Vec::new(), Some(2)), &go).unwrap_err();
    assert_eq!((refused.status, refused.message.as_str()), (1, "record: too large"));
}

fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_page_asks_for_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let sets = ["http.listen=127.0.0.1:0".into(), format!("http.token_file={}", file.display())];
    let config = load_from(None, std::iter::empty(), &sets).unwrap();
    for wrong in ["", "  \n", "two words\n"] {
        std::fs::write(&file, wrong).unwrap();
        let error = pipeline::http::start(&config, Metrics::new()).err().unwrap().to_string();
        assert!(error.contains("http.token_file") && (wrong.trim().is_empty() || !error.contains(wrong)), "{error}");
    }
    std::fs::write(&file, "s3cret\n").unwrap();
    let page = pipeline::http::start(&config, Metrics::new()).unwrap().unwrap();
    let status = |path: &str, authorization: &str| {
        let answer = get(page.address, &format!("{path} HTTP/1.1\r\n{authorization}X: x"));
        assert!(!answer.contains("s3cret"));
        answer.split(' ').nth(1).unwrap().to_string()
    };
    for path in ["/metrics", "/api/overview", "/api/learning", "/api/users", "/api/users/u1"] {
        for wrong in
            ["", "Authorization: Bearer s3cre\r\n", "Authorization: Basic s3cret\r\n", "Authorization: s3cret\r\n"]
        {
            assert_eq!(status(path, wrong), "401", "{path} {wrong}");
        }
        let told = if path.starts_with("/api/users") { "503" } else { "200" };
        assert_eq!(status(path, "Authorization: Bearer s3cret\r\n"), told, "{path}: there is no engine to ask");
    }
    // The page itself holds nothing of anybody, and asks for the token.
    for path in ["/", "/dashboard.css", "/dashboard.js"] {
        assert_eq!(status(path, ""), "200");
    }
    // Who only asks whether it lives is told.
    assert_eq!((status("/livez", ""), status("/readyz", "")), ("200".into(), "503".into()));
}

#[test]
fn the_page_tells_figures_and_readiness() {
    let config = load_from(None, std::iter::empty(), &["http.listen=127.0.0.1:0".into(), "app=shop".into()]).unwrap();
    let metrics = Metrics::new();
    let page = pipeline::http::start(&config, metrics.clone()).unwrap().unwrap();
    let status = |path: &str| get(page.address, path).split(' ').nth(1).unwrap().to_string();
    assert_eq!(
        (status("/livez").as_str(), status("/readyz").as_str(), status("/nowhere").as_str()),
        ("200", "503", "404")
    );
    metrics.set_ready(true);
    assert_eq!(status("/readyz"), "200");
    assert!(get(page.address, "/api/overview").contains("\"app\":\"shop\""));
    let stage = metrics.stage("engine");
    stage.polled(12);
    stage.rows(500);
    let mut totals = operators::Counters { late: 3, users: 9, ..Default::default() };
    stage.folded(&totals, 9, 5000);
    totals.late = 5;
    totals.users = 8;
    stage.folded(&totals, 6, 3000);
    metrics.lag("events", 3, 44);
    metrics.error(Class::Abortable);
    let text = get(page.address, "/metrics");
    for line in [
        "wellspring_records_in_total{role=\"engine\"} 12",
        "wellspring_late_total 5",
        "wellspring_users 8",
        "wellspring_users_resident 6",
        "wellspring_state_bytes 3000",
        "wellspring_lag{topic=\"events\",partition=\"3\"} 44",
        "wellspring_errors_total{class=\"abortable\"} 1",
        "wellspring_batch_rows_count{role=\"engine\"} 1",
        "wellspring_build_info{version=",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    drop(stage);
    assert!(metrics.text().contains("wellspring_users 0"));
    let address = page.address;
    drop(page);
    assert!(TcpStream::connect(address).is_err(), "the page still listens");
    let off = load_from(None, std::iter::empty(), &["http.listen=off".into()]).unwrap();
    assert!(pipeline::http::start(&off, metrics).unwrap().is_none());
}
