//! Requests for scores and their answers: each once, with what a naive recount of the internal topic says. And what is learned
//! from feedback without a request: negatives that the same recount finds.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use pipeline::config::Config;
use pipeline::log::Reader;
use pipeline::log::embedded::Embedded;
use pipeline::rank::recent::{self, Recent};
use pipeline::rank::sight::Sight;
use pipeline::rank::tally::key;
use schemas::request::{Feedback, Request};
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
    /// Items that events named, the oldest first.
    named: Vec<String>,
    /// By user: ids of his events, and items that they named.
    users: BTreeMap<String, (HashSet<String>, HashSet<u64>)>,
}

/// What has to be answered.
#[derive(Default)]
pub struct Asked {
    negatives: usize,
    recent_items_max: usize,
    /// What was taken without a request, and what was drawn beside it.
    groups: Vec<Vec<String>>,
    partitions: BTreeMap<i32, Counts>,
    /// By request: items and the rates that the counters say.
    expected: BTreeMap<String, Vec<(String, f64)>>,
}

impl Asked {
    pub fn of(config: &Config) -> Self {
        let (negatives, recent_items_max) = (config.candidates.negatives, config.candidates.recent_items_max);
        Self { negatives, recent_items_max, ..Self::default() }
    }

    /// Takes the rows of a packed record of a partition.
    pub fn named(&mut self, partition: i32, rows: &RecordBatch) {
        let Counts { named, users, .. } = self.partitions.entry(partition).or_default();
        let [ids, events, items] =
            ["user_id", "event_id", "item_id"].map(|name| rows.column_by_name(name).unwrap().as_string_view());
        for row in 0..rows.num_rows() {
            let (seen, met) = users.entry(ids.value(row).to_owned()).or_default();
            let text = |of: &arrow::array::StringViewArray| of.iter().nth(row).flatten().map(str::to_owned);
            let is_again = text(events).is_some_and(|id| !seen.insert(id));
            if let Some(item) = text(items).filter(|_| !is_again) {
                met.insert(key(&item));
                named.push(item);
            }
        }
    }

    /// What is to be learned from feedback without a request.
    fn group(&mut self, partition: i32, given: &Feedback) {
        let Counts { named, users, .. } = self.partitions.entry(partition).or_default();
        let item = given.item_id.as_ref().unwrap();
        let newest = &named[named.len().saturating_sub(self.recent_items_max)..];
        let met = users.get(&given.user_id).map(|(_, met)| met.clone()).unwrap_or_default();
        let mut ring = Recent::new(newest.len());
        newest.iter().for_each(|item| ring.named(item));
        let seed = recent::seed(&given.user_id, given.time, item);
        let drawn = ring.draw(self.negatives, seed, item, &met);
        let new: HashSet<&String> = newest.iter().filter(|of| *of != item && !met.contains(&key(of))).collect();
        for of in &drawn {
            assert!(newest.iter().any(|item| item == of) && of != item, "{of} is not of the recent log");
            assert!(new.is_empty() || new.iter().any(|item| item == of), "{of} is of his history");
        }
        assert!(new.is_empty() || drawn.len() == new.len().min(self.negatives));
        if !drawn.is_empty() {
            self.groups.push([item.as_str()].into_iter().chain(drawn).map(str::to_owned).collect());
        }
    }

    /// Holds the samples of a model against it; gives how many groups with negatives there are.
    pub fn check_negatives(&self, broker: &Embedded, samples: &str) -> Result<u64, String> {
        let (mut reader, mut got) = (broker.records(&[samples.into()]).unwrap(), Vec::new());
        reader.catch_up().unwrap();
        let mut take = |record: pipeline::log::Incoming<'_>, _: pipeline::log::embedded::Headers<'_>| {
            let Sight { item_ids, labels, .. } = Sight::read(record.value.unwrap()).unwrap();
            // Of a request candidates with one label travel together.
            if labels.iter().any(|label| *label) && !labels.iter().all(|label| *label) {
                assert!(labels[0] && labels[1..].iter().all(|label| !label), "what was taken stands first");
                got.push(item_ids);
            }
        };
        while !reader.poll_headers(Duration::ZERO, &mut take).unwrap() {}
        let mut want = self.groups.clone();
        got.sort_unstable();
        want.sort_unstable();
        let count = want.len() as u64;
        if got == want { Ok(count) } else { Err(format!("of {samples}: the log says {want:?}, there are {got:?}")) }
    }

    /// Takes what a packed record of a partition asks for.
    pub fn take(&mut self, partition: i32, requests: &[Request]) {
        for request in requests {
            if let Request::Feedback(given) = request
                && given.request_id.is_none()
                && given.label
            {
                self.group(partition, given);
            }
            let counts = self.partitions.entry(partition).or_default();
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
