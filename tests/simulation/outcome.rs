//! What came out of a world: windows, late rows and dead letters as they are, of latest values the last.

use std::collections::BTreeMap;
use std::time::Duration;

use pipeline::log::embedded::Embedded;
use serde_json::Value;

/// Records by topic, sorted.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome(BTreeMap<String, Vec<String>>);

/// Floats to nine digits: additions may come in another order.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => format!("{:.7e}", number.as_f64().unwrap()).into(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), rounded(value))).collect(),
        other => other.clone(),
    }
}

impl Outcome {
    /// Reads `topics`; of those in `latest` the last record of each key counts.
    pub fn read(broker: &Embedded, topics: &[String], latest: &[String]) -> Self {
        let mut reader = broker.records(topics).unwrap();
        let mut records: Vec<(String, String, String)> = Vec::new();
        loop {
            let before = records.len();
            let mut take = |record: pipeline::log::Incoming<'_>, _: pipeline::log::embedded::Headers<'_>| {
                let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                let value = record.value.map(|value| match serde_json::from_slice::<Value>(value) {
                    Ok(value) => rounded(&value).to_string(),
                    Err(_) => String::from_utf8_lossy(value).into_owned(),
                });
                let value = value.unwrap_or_else(|| "gone".into());
                records.push((record.topic.to_string(), text(record.key).unwrap_or_default(), value));
            };
            reader.poll_headers(Duration::ZERO, &mut take).unwrap();
            if records.len() == before {
                break;
            }
        }
        let mut outcome: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for (topic, key, value) in records {
            if latest.contains(&topic) {
                last.insert((topic, key), value);
            } else {
                outcome.entry(topic).or_default().push(value);
            }
        }
        for ((topic, key), value) in last {
            outcome.entry(topic).or_default().push(format!("{key}: {value}"));
        }
        outcome.values_mut().for_each(|records| records.sort());
        Self(outcome)
    }

    pub fn records(&self) -> Vec<String> {
        self.0.iter().flat_map(|(topic, records)| records.iter().map(move |r| format!("{topic} {r}"))).collect()
    }

    /// Equal, or what is missing, too much or there twice.
    pub fn compare(&self, want: &Self) -> Result<(), String> {
        let count = |outcome: &Self| {
            let mut counts: BTreeMap<String, i64> = BTreeMap::new();
            outcome.records().into_iter().for_each(|record| *counts.entry(record).or_default() += 1);
            counts
        };
        let (got, want) = (count(self), count(want));
        let differs = |record: &&String| got.get(*record) != want.get(*record);
        let mut lines: Vec<String> = got
            .keys()
            .chain(want.keys())
            .filter(differs)
            .map(|record| {
                let times = |of: &BTreeMap<String, i64>| of.get(record).copied().unwrap_or(0);
                format!("{} times instead of {}: {record}", times(&got), times(&want))
            })
            .collect();
        lines.sort();
        lines.dedup();
        lines.truncate(30);
        if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
    }
}
