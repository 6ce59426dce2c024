//! A record of `scores`.

use std::collections::BTreeMap;

use schemas::request::Candidates;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

/// What one model says of the candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// The model.
    pub model: &'static str,
    /// Its version.
    pub version: u64,
    /// (candidates): log odds that the user takes the item.
    pub scores: Vec<f32>,
}

/// The contract's fields.
#[derive(Serialize)]
struct Record<'a> {
    request_id: &'a str,
    user_id: &'a str,
    time: i64,
    model_versions: BTreeMap<&'a str, u64>,
    scores: Items<'a>,
}

/// The candidates in the order of the request.
struct Items<'a> {
    item_ids: &'a [String],
    rates: &'a [f32],
    opinions: &'a [Opinion],
}

/// One candidate.
struct Item<'a> {
    all: &'a Items<'a>,
    at: usize,
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.item_ids.len()))?;
        for at in 0..self.item_ids.len() {
            list.serialize_element(&Item { all: self, at })?;
        }
        list.end()
    }
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Items { item_ids, rates, opinions } = self.all;
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("item_id", &item_ids[self.at])?;
        fields.serialize_entry("rate", &rates[self.at])?;
        for opinion in *opinions {
            fields.serialize_entry(opinion.model, &opinion.scores[self.at])?;
        }
        if !opinions.is_empty() {
            let p = |opinion: &Opinion| (opinion.model, probability(opinion.scores[self.at]));
            fields.serialize_entry("p", &opinions.iter().map(p).collect::<BTreeMap<_, _>>())?;
        }
        fields.end()
    }
}

/// The probability with these log odds.
pub fn probability(log_odds: f32) -> f32 {
    (1.0 / (1.0 + f64::from(-log_odds).exp())) as f32
}

/// Writes an answer to `out`. `rates` (candidates): how often an item is taken where it is shown, by the live counters.
pub fn write(asked: &Candidates, rates: &[f32], opinions: &[Opinion], out: &mut Vec<u8>) {
    let Candidates { request_id, user_id, time, item_ids, .. } = asked;
    let model_versions = opinions.iter().map(|opinion| (opinion.model, opinion.version)).collect();
    let scores = Items { item_ids, rates, opinions };
    out.clear();
    let record = Record { request_id, user_id, time: *time, model_versions, scores };
    serde_json::to_writer(out, &record).expect("an answer becomes JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_what_the_contract_says() {
        let asked = Candidates {
            request_id: "r\"1".into(),
            user_id: "u".into(),
            time: 9,
            item_ids: vec!["b".into(), "a".into()],
            ..Candidates::default()
        };
        let mut out = Vec::new();
        let opinions = [Opinion { model: "sdim", version: 3, scores: vec![0.0, -1.0] }];
        write(&asked, &[0.25, 0.5], &opinions, &mut out);
        let got: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&got["request_id"], &got["user_id"], &got["time"]), (&"r\"1".into(), &"u".into(), &9.into()));
        assert_eq!(got["model_versions"], serde_json::json!({"sdim": 3}));
        assert_eq!(
            got["scores"][0],
            serde_json::json!({"item_id": "b", "rate": 0.25, "sdim": 0.0, "p": {"sdim": 0.5}})
        );
        assert_eq!((&got["scores"][1]["item_id"], &got["scores"][1]["sdim"]), (&"a".into(), &(-1.0).into()));
        write(&asked, &[0.25, 0.5], &[], &mut out);
        let got: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(got["scores"][1], serde_json::json!({"item_id": "a", "rate": 0.5}));
    }
}
