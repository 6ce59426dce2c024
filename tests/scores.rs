//! Candidates are answered with what the log said before them, however the work is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pipeline::run::{Append, Feed, RunError};
use serde_json::{Value, json};

use crate::path::outputs_of;
use crate::streams::{self, Dice};

/// A setting by name.
pub type Setting = (&'static str, Value);

/// Lines of several topics in one order.
#[derive(Clone, Default)]
pub struct Script(pub Vec<(&'static str, Vec<u8>)>);

/// Answers by request.
pub type Answers = BTreeMap<String, Value>;

impl Feed for Script {
    fn partitions(&self, _: &str) -> i32 {
        1
    }

    fn feed(&mut self, append: &mut Append<'_>) -> Result<(), RunError> {
        self.0.iter().try_for_each(|(topic, line)| append(topic, 0, line))
    }
}

impl Script {
    fn then(mut self, topic: &'static str, line: Value) -> Self {
        self.0.push((topic, serde_json::to_vec(&line).unwrap()));
        self
    }

    fn asks(self, request_id: &str, user_id: &str, item_ids: &[&str]) -> Self {
        let asked = json!({"request_id": request_id, "user_id": user_id, "time": 9, "item_ids": item_ids});
        self.then("candidates", asked)
    }

    /// Runs it; the answers, and the dead letters.
    pub fn answers(&mut self, settings: &[(&str, Value)]) -> (Answers, Vec<Value>) {
        let enabled = [("candidates.enabled", true.into())];
        let settings: Vec<_> = enabled.into_iter().chain(settings.iter().cloned()).collect();
        let (_, mut outputs) = outputs_of(self, &settings, "");
        let by_id = |answer: Value| (answer["request_id"].as_str().unwrap().to_string(), answer);
        let scores = outputs.remove("scores").unwrap();
        let count = scores.len();
        let answers: Answers = scores.into_iter().map(by_id).collect();
        assert_eq!(answers.len(), count, "no request is answered twice");
        (answers, outputs.remove("dead-letters").unwrap())
    }
}

/// Events, requests and feedback of some users.
fn stream(seed: u64, count: usize) -> Script {
    let (events, _) = streams::events(seed, count, 20);
    let mut dice = Dice(seed);
    let mut script = Script::default();
    for (n, event) in events.into_iter().enumerate() {
        script.0.push(("events", event));
        let (user, item) = (format!("u{}", dice.below(22)), format!("i{}", dice.below(40)));
        match dice.below(6) {
            0 => {
                let items: Vec<String> = (0..dice.below(6)).map(|_| format!("i{}", dice.below(40))).collect();
                let items: Vec<&str> = items.iter().map(String::as_str).collect();
                script = script.asks(&format!("r{n}"), &user, &items);
            }
            1 | 2 => {
                let given = json!({"user_id": user, "time": n, "item_id": item, "label": dice.below(2)});
                script = script.then("feedback", given);
            }
            3 if n % 50 == 0 => script = script.then("forget", json!({ "user_id": user })),
            _ => {}
        }
    }
    script
}

#[test]
fn cutting_changes_no_answer() {
    let mut script = stream(5, 3000);
    let asked = script.0.iter().filter(|(topic, _)| *topic == "candidates").count();
    let cuts: [&[(&str, Value)]; 4] = [
        &[("engine.batch_rows", 100_000.into())],
        &[("engine.batch_rows", 7.into()), ("engine.commit_interval_ms", 1.into())],
        &[("engine.workers", 3.into()), ("engine.commit_interval_ms", 3.into())],
        &[("state.memory_limit", "1000B".into()), ("engine.commit_interval_ms", 2.into())],
    ];
    let mut first: Option<Answers> = None;
    for cut in cuts {
        let fixed = [("partitions", 3.into()), ("candidates.counted_items_max", 16.into())];
        let (answers, _) = script.answers(&[&fixed[..], cut].concat());
        assert_eq!(answers.len(), asked, "{cut:?}");
        let first = first.get_or_insert_with(|| answers.clone());
        assert_eq!(*first, answers, "{cut:?}");
    }
    let first = first.unwrap();
    let rates: Vec<f64> = first.values().flat_map(|answer| answer["scores"].as_array().unwrap()).map(rate).collect();
    assert!(rates.iter().any(|rate| *rate > 0.55) && rates.iter().any(|rate| *rate < 0.45), "{rates:?}");
}

fn rate(of: &Value) -> f64 {
    of["rate"].as_f64().unwrap()
}

#[test]
fn an_answer_sees_what_stands_before_it_in_the_order_of_its_items() {
    let taken = |item: &str| json!({"user_id": "ada", "time": 5, "item_id": item, "label": 1});
    let (answers, dead) = Script::default()
        .asks("before", "ada", &["b", "a", "b"])
        .then("feedback", taken("a"))
        .asks("between", "ada", &["b", "a"])
        .then("feedback", taken("a"))
        .asks("after", "ada", &["b", "a"])
        .asks("nobody", "who", &["a", "unheard"])
        .asks("nothing", "ada", &[])
        .answers(&[("partitions", 1.into())]);
    assert_eq!(dead, Vec::<Value>::new());
    let of = |id: &str| {
        let items = answers[id]["scores"].as_array().unwrap();
        items.iter().map(|of| (of["item_id"].as_str().unwrap(), rate(of))).collect::<Vec<_>>()
    };
    assert_eq!(of("before"), [("b", 0.5), ("a", 0.5), ("b", 0.5)], "nothing is known");
    // One of one was taken: (1 + 1) / (1 + 2) of all, and of the item (1 + 20 * 2/3) / (1 + 20).
    let close = |id: &str, wanted: &[f64]| {
        let got: Vec<f64> = of(id).iter().map(|(_, rate)| *rate).collect();
        assert!(
            got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6),
            "{id}: {got:?}"
        );
    };
    close("between", &[2.0 / 3.0, (1.0 + 20.0 * 2.0 / 3.0) / 21.0]);
    close("after", &[0.75, (2.0 + 20.0 * 0.75) / 22.0]);
    close("nobody", &[(2.0 + 20.0 * 0.75) / 22.0, 0.75]);
    assert_eq!(of("nothing"), []);
    let after = &answers["after"];
    assert_eq!((&after["user_id"], &after["time"], &after["model_versions"]), (&"ada".into(), &9.into(), &json!({})));
}

#[test]
fn what_cannot_be_answered_is_a_dead_letter() {
    let (answers, dead) = Script::default()
        .asks("many", "ada", &["a", "b", "c"])
        .then("candidates", json!({"request_id": "none", "user_id": "ada", "time": 5}))
        .then("feedback", json!({"user_id": "ada", "time": 5, "label": 1}))
        .asks("good", "ada", &["a"])
        .answers(&[("candidates.items_max", 2.into())]);
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["good"]);
    let errors: Vec<&str> = dead.iter().map(|letter| letter["error"].as_str().unwrap()).collect();
    for part in ["more than candidates.items_max = 2", "`item_ids` is missing", "`item_id` is missing"] {
        assert!(errors.iter().any(|error| error.contains(part)), "{part}: {errors:?}");
    }
}

/// Items of two kinds, the even and the odd ones, that only their vectors tell apart.
fn catalogue(dice: &mut Dice, items: u64) -> Script {
    let mut script = Script::default();
    for n in 0..items {
        let raw: Vec<f64> =
            (0..8).map(|k| f64::from(u8::from(k % 2 == n % 2)) + dice.below(100) as f64 / 150.0).collect();
        let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
        let vector: Vec<f64> = raw.iter().map(|x| x / norm).collect();
        script = script.then("items", json!({"item_id": format!("i{n}"), "vector": vector}));
    }
    script
}

/// Users who look at items of one kind and buy those of the other, outside of requests, and who are not known to leave any; from
/// one round on it is asked what they would take.
pub fn purchases(seed: u64, rounds: u64, asked_from: u64) -> Script {
    let mut dice = Dice(seed);
    let mut script = catalogue(&mut dice, 400);
    for n in 0..rounds {
        let user = dice.below(24);
        let (user_id, time) = (format!("u{user}"), n as i64 * 1000);
        let of_kind = |dice: &mut Dice, kind: u64| format!("i{}", dice.below(200) * 2 + kind % 2);
        let (seen, bought) = (of_kind(&mut dice, user + 1), of_kind(&mut dice, user));
        script = script.then("events", json!({"user_id": user_id, "type": "view", "time": time, "item_id": seen}));
        script = script.then("feedback", json!({"user_id": user_id, "time": time, "item_id": bought, "label": 1}));
        if n >= asked_from {
            let names: Vec<String> = (0..4).map(|_| format!("i{}", dice.below(400))).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            script = script.asks(&format!("r{n}"), &user_id, &names);
        }
    }
    script
}

/// Users who take what is like what they looked at.
pub fn tastes(seed: u64, rounds: u64) -> Script {
    let mut dice = Dice(seed);
    let mut script = catalogue(&mut dice, 40);
    for n in 0..rounds {
        let user = dice.below(24);
        let taste = |dice: &mut Dice| dice.below(20) * 2 + user % 2;
        let (user_id, time) = (format!("u{user}"), n as i64 * 1000);
        for _ in 0..2 {
            let item_id = format!("i{}", taste(&mut dice));
            script =
                script.then("events", json!({"user_id": user_id, "type": "view", "time": time, "item_id": item_id}));
        }
        let items: Vec<u64> = (0..4).map(|_| dice.below(40)).collect();
        let names: Vec<String> = items.iter().map(|item| format!("i{item}")).collect();
        let features = json!({"place": [1, 2, 3, 4]});
        let asked = json!({"request_id": format!("r{n}"), "user_id": user_id, "time": time, "item_ids": names, "features": features});
        script = script.then("candidates", asked);
        for (item, name) in items.iter().zip(&names) {
            let label = u8::from((item + user).is_multiple_of(2) != dice.one_in(10));
            let given = json!({"user_id": user_id, "time": time, "request_id": format!("r{n}"), "item_id": name, "label": label});
            script = script.then("feedback", given);
        }
    }
    script
}

/// Both rankers, of short vectors, on the CPU, and what else is set.
pub fn rankers(more: &[Setting]) -> Vec<Setting> {
    let mut settings = vec![
        ("partitions", 2.into()),
        ("device", "cpu".into()),
        ("sdim.enabled", true.into()),
        ("muse.enabled", true.into()),
        ("sdim.dim", 8.into()),
    ];
    settings.extend_from_slice(more);
    settings
}

/// The same, learning in small steps.
fn learning(more: &[Setting]) -> Vec<Setting> {
    let steps = [("candidates.batch_samples", 64.into()), ("candidates.version_steps", 8.into())];
    rankers(&[&steps, more].concat())
}

#[test]
fn models_learn_from_feedback_and_answer() {
    let rounds = 1500;
    let settings = learning(&[("candidates.features", json!(["place"]))]);
    let (answers, dead) = tastes(3, rounds).answers(&settings);
    assert_eq!((answers.len() as u64, dead), (rounds, Vec::new()));
    assert_eq!(answers["r0"]["model_versions"], json!({}), "nobody has learned anything yet");
    for model in ["sdim", "muse"] {
        let (auc, versions) = judge(&answers, model, rounds * 2 / 3..rounds);
        assert!(versions.len() >= 3, "{model}: versions {versions:?}");
        assert!(auc > 0.9, "{model}: AUC {auc}");
    }
}

#[test]
fn what_users_take_is_learned_beside_what_the_log_named_of_late() {
    let (rounds, asked_from) = (3000, 2700);
    let learned = |negatives: u64| {
        let settings = learning(&[("candidates.negatives", negatives.into())]);
        let (answers, dead) = purchases(3, rounds, asked_from).answers(&settings);
        assert_eq!((answers.len() as u64, dead), (rounds - asked_from, Vec::new()));
        ["sdim", "muse"].map(|model| judge(&answers, model, asked_from..rounds).0)
    };
    let (alone, beside) = (learned(0), learned(4));
    assert!(beside.iter().all(|auc| *auc > 0.85), "with negatives: AUC {beside:?}");
    assert!(alone.iter().all(|auc| *auc < 0.85), "of positives alone: AUC {alone:?}");
}

/// The AUC of a model's answers to some rounds of [`tastes`], against what the users like, and its versions.
pub fn judge(answers: &Answers, model: &str, rounds: Range<u64>) -> (f64, BTreeSet<u64>) {
    let (mut scored, mut versions): (Vec<(f64, bool)>, _) = (Vec::new(), BTreeSet::new());
    for n in rounds {
        let answer = &answers[&format!("r{n}")];
        versions.insert(answer["model_versions"][model].as_u64().expect("a version is in force"));
        let user: u64 = answer["user_id"].as_str().unwrap()[1..].parse().unwrap();
        for of in answer["scores"].as_array().unwrap() {
            let item: u64 = of["item_id"].as_str().unwrap()[1..].parse().unwrap();
            let (score, p) = (of[model].as_f64().unwrap(), of["p"][model].as_f64().unwrap());
            assert!((1.0 / (1.0 + (-score).exp()) - p).abs() < 1e-5, "{of}");
            scored.push((p, (item + user).is_multiple_of(2)));
        }
    }
    let of = |label: bool| scored.iter().filter(move |(_, of)| *of == label).map(|(p, _)| *p);
    let pairs =
        of(true).flat_map(|p| of(false).map(move |q| f64::from(u8::from(p > q)) + f64::from(u8::from(p == q)) / 2.0));
    let (sum, count) = pairs.fold((0.0, 0.0), |(sum, count), pair| (sum + pair, count + 1.0));
    (sum / count, versions)
}
