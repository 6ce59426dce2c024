//! Records become a log.

use std::io::Write;

use schemas::event::EventColumns;

use crate::evaluate::ranking::input::{InputError, Read, read};
use crate::source::Input;

/// Reads lines of several topics.
fn read_lines(topics: &[(&str, &[String])]) -> Result<Read, InputError> {
    let dir = tempfile::tempdir().unwrap();
    let arguments: Vec<String> = topics
        .iter()
        .map(|(topic, lines)| {
            let path = dir.path().join(format!("{topic}.jsonl"));
            let mut file = std::fs::File::create(&path).unwrap();
            lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
            format!("{topic}={}", path.display())
        })
        .collect();
    read(&Input::parse_all(&arguments).unwrap(), &EventColumns::default(), 0)
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// Requests of items "a" and "b" of which the first is clicked, so that every part has both labels.
fn filling() -> (Vec<String>, Vec<String>) {
    let request = |n| format!(r#"{{"request_id":"f{n}","user_id":"u","time":{n},"item_ids":["a","b"]}}"#);
    let feedback = |n| format!(r#"{{"request_id":"f{n}","user_id":"u","time":{n},"item_id":"a","label":1}}"#);
    ((100..200).map(request).collect(), (100..200).map(feedback).collect())
}

#[test]
fn labels_are_feedback_by_request_and_item() {
    let (mut candidates, mut feedback) = filling();
    candidates.extend(lines(&[
        r#"{"request_id":"r","user_id":"u","time":5,"item_ids":["a","b","a","c"],"features":{"price":[1,2,3,4]}}"#,
        r#"{"request_id":"r","user_id":"v","time":6,"item_ids":["a"],"features":{"place":[9]}}"#,
        r#"{"request_id":"r","user_id":"v","time":7,"item_ids":["b"]}"#,
        r#"{"request_id":"s","user_id":"v","time":8,"item_ids":["a","b"]}"#,
        r#"{"request_id":"none","user_id":"v","time":8,"item_ids":[]}"#,
        "{",
    ]));
    feedback.extend(lines(&[
        r#"{"request_id":"r","user_id":"u","time":6,"item_id":"a","label":0}"#,
        r#"{"request_id":"r","user_id":"u","time":7,"item_id":"a","label":1}"#,
        r#"{"request_id":"r","user_id":"u","time":8,"item_id":"c","label":1}"#,
        r#"{"request_id":"r","user_id":"u","time":9,"item_id":"c","label":0}"#,
        r#"{"request_id":"r","user_id":"w","time":9,"item_id":"b","label":1}"#,
        r#"{"request_id":"s","user_id":"v","time":9,"label":1}"#,
        r#"{"user_id":"v","time":9,"item_id":"d","label":1}"#,
    ]));
    let read = read_lines(&[("candidates", &candidates), ("feedback", &feedback)]).unwrap();
    let log = &read.log;
    assert_eq!(read.dead, 2, "a request that comes twice, and a broken line");
    let labels = |request: usize| log.labels[log.requests[request].candidates.clone()].to_vec();
    assert_eq!(log.requests.len(), 103, "nothing is asked of a request without items");
    assert_eq!(labels(0), [false, false, true, true], "of equal items the second feedback is of the second");
    assert_eq!(labels(1), [false], "feedback of a user is of his own request");
    assert_eq!(labels(2), [true, true], "feedback without an item is of all");
    assert_eq!(log.feature_names, ["price", "place"]);
    assert_eq!(log.features[0][..4], [1.0, 2.0, 3.0, 4.0]);
    assert!(log.features[0][4].is_nan() && log.features[1][0].is_nan() && log.features[1][4] == 9.0);
    let clicks = log.marks.iter().filter(|mark| mark.clicked && mark.time_ms < 50).count();
    assert_eq!(clicks, 2 + 2 + 1 + 1, "two of the first request, two of s, one without request, one of another's");
}

#[test]
fn behaviors_have_items_categories_and_actions() {
    let (candidates, feedback) = filling();
    let events = lines(&[
        r#"{"user_id":"u","type":"view","time":3,"item_id":"a","category":"red"}"#,
        r#"{"user_id":"u","type":"buy","time":1,"item_id":"b","category":"blue","other_id":"w"}"#,
        r#"{"user_id":"u","type":"login","time":2}"#,
        r#"{"user_id":"u","type":"view"}"#,
    ]);
    let items = lines(&[
        r#"{"item_id":"b","category":"red"}"#,
        r#"{"item_id":"c","vector":[0.6,0.8]}"#,
        r#"{"item_id":"a","vector":[1,0,0]}"#,
        r#"{"item_id":"a","vector":[0,1]}"#,
    ]);
    let topics = [("events", &events[..]), ("items", &items), ("candidates", &candidates), ("feedback", &feedback)];
    let read = read_lines(&topics).unwrap();
    let log = &read.log;
    assert_eq!(read.dead, 2, "an event without a time, and a vector of another length");
    assert_eq!((log.behaviors(), log.actions, log.users()), (3, 2, 2), "an event of two users is one of each");
    let item = |name: &str| log.items.names.iter().position(|of| &**of == name).unwrap();
    assert_eq!(log.items.categories[item("a")], log.items.categories[item("b")], "the items topic knows better");
    assert_eq!((log.items.categories[item("c")], log.items.dim), (0, 2));
    assert_eq!(log.items.vectors[item("a") * 2..][..2], [0.0, 1.0]);
    let times: Vec<i64> = log.of_user(0).iter().map(|behavior| behavior.time_ms).collect();
    assert!(times == [1, 3] || times == [1], "{times:?}");
}

#[test]
fn nothing_to_rank_is_said() {
    let (candidates, _) = filling();
    let error = read_lines(&[("candidates", &candidates)]).unwrap_err().to_string();
    assert!(error.contains("0 of them clicked") && error.contains("--input feedback"), "{error}");
}
