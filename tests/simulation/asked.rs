//! Requests for scores and their answers: each once, with what a naive recount of the internal topic says.

use std::collections::BTreeMap;
use std::time::Duration;

use pipeline::log::Reader;
use pipeline::log::embedded::Embedded;
use schemas::request::Request;
use serde_json::{Value, json};

use crate::streams::Dice;

/// Lines of `candidates` and `feedback`, by topic, in one order.
pub fn lines(dice: &mut Dice, count: u64, users: u64) -> Vec<(&'static str, Vec<u8>)> {
    let mut last: Option<Value> = None;
    let line = |n: u64| {
        let (user_id, time) = (format!("u{}", dice.below(users + 2)), 1_700_000_000_000 + n);
        let item = |dice: &mut Dice| format!("i{}", dice.below(12));
        if dice.one_in(2) {
            let item_ids: Vec<String> = (0..dice.below(4)).map(|_| item(dice)).collect();
            let asked = json!({"request_id": format!("r{n}"), "user_id": user_id, "time": time, "item_ids": item_ids});
            last = Some(asked.clone()).filter(|_| !item_ids.is_empty());
            return ("candidates", serde_json::to_vec(&asked).unwrap());
        }
        let label = dice.below(2);
        let mut given = json!({"user_id": user_id, "time": time, "item_id": item(dice), "label": label});
        // Of the last request, or out of nowhere.
        if let Some(asked) = last.as_ref().filter(|_| dice.one_in(2)) {
            given["request_id"] = asked["request_id"].clone();
            given["user_id"] = asked["user_id"].clone();
            given["item_id"] = asked["item_ids"][0].clone();
        }
        ("feedback", serde_json::to_vec(&given).unwrap())
    };
    (0..count).map(line).collect()
}

/// How often what was shown and taken, in one partition.
#[derive(Default)]
struct Counts {
    items: BTreeMap<String, (f64, f64)>,
    all: (f64, f64),
}

/// What has to be answered.
#[derive(Default)]
pub struct Asked {
    partitions: BTreeMap<i32, Counts>,
    /// By request: items and the rates that the counters say.
    expected: BTreeMap<String, Vec<(String, f64)>>,
}

impl Asked {
    /// Takes what a packed record of a partition asks for.
    pub fn take(&mut self, partition: i32, requests: &[Request]) {
        let counts = self.partitions.entry(partition).or_default();
        for request in requests {
            match request {
                Request::Feedback(given) => {
                    let taken = f64::from(u8::from(given.label));
                    let item = counts.items.entry(given.item_id.clone().unwrap()).or_default();
                    *item = (item.0 + taken, item.1 + 1.0);
                    counts.all = (counts.all.0 + taken, counts.all.1 + 1.0);
                }
                Request::Candidates(asked) => {
                    let rate = (counts.all.0 + 1.0) / (counts.all.1 + 2.0);
                    let of = |item_id: &String| {
                        let (taken, shown) = counts.items.get(item_id).copied().unwrap_or_default();
                        (item_id.clone(), (taken + 20.0 * rate) / (shown + 20.0))
                    };
                    self.expected.insert(asked.request_id.clone(), asked.item_ids.iter().map(of).collect());
                }
                Request::Forget(_) => {}
            }
        }
    }

    /// Holds the answers against it; gives how many there are.
    pub fn check(&self, broker: &Embedded) -> Result<u64, String> {
        let mut answers: BTreeMap<String, Value> = BTreeMap::new();
        let (mut reader, mut twice) = (broker.records(&["scores".into()]).unwrap(), Vec::new());
        reader.catch_up().unwrap();
        let mut take = |record: pipeline::log::Incoming<'_>, _: pipeline::log::embedded::Headers<'_>| {
            let id = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let answer = serde_json::from_slice(record.value.unwrap()).unwrap();
            if answers.insert(id.clone(), answer).is_some() {
                twice.push(id);
            }
        };
        while !reader.poll_headers(Duration::ZERO, &mut take).unwrap() {}
        if !twice.is_empty() || answers.len() != self.expected.len() {
            let (asked, answered) = (self.expected.len(), answers.len());
            return Err(format!("{asked} requests have {answered} answers, and these another one: {twice:?}"));
        }
        for (id, items) in &self.expected {
            let answer = &answers[id]["scores"];
            let got = answer.as_array().unwrap().iter();
            let got: Vec<_> = got.map(|of| (of["item_id"].as_str().unwrap(), of["rate"].as_f64().unwrap())).collect();
            let same = |(got, want): (&(&str, f64), &(String, f64))| got.0 == want.0 && (got.1 - want.1).abs() < 1e-5;
            if got.len() != items.len() || !got.iter().zip(items).all(same) {
                return Err(format!("request {id} is answered {got:?}, the log says {items:?}"));
            }
        }
        Ok(answers.len() as u64)
    }
}
