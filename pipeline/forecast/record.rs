//! A record of `forecasts`.

use serde::Serialize;

use super::said::Said;
use super::vocabulary::Vocabulary;

/// The contract's fields, and where the event stood.
#[derive(Debug, Serialize)]
struct Record<'a> {
    user_id: &'a str,
    time: i64,
    model_version: u64,
    expected_gap_ms: f64,
    median_gap_ms: f64,
    types: Vec<(&'a str, f32)>,
    surprise_nats: Option<f32>,
    source: (&'a str, i32, i64),
}

/// Writes a record to `out`; types without a name of their own are not told.
pub fn write(user_id: &str, said: &Said, vocabulary: &Vocabulary, source: (&str, i32, i64), out: &mut Vec<u8>) {
    let mixture = said.mixture();
    let types = said.types.iter().filter_map(|&(place, share)| Some((vocabulary.name(place)?, share)));
    let record = Record {
        user_id,
        time: said.time_ms,
        model_version: said.version,
        expected_gap_ms: mixture.expected_ms().round(),
        median_gap_ms: mixture.median_ms().round(),
        types: types.collect(),
        surprise_nats: said.surprise_nats,
        source,
    };
    out.clear();
    serde_json::to_writer(out, &record).expect("a record becomes JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_what_the_contract_says() {
        let said = Said {
            time_ms: 9,
            unit_ms: 1.0,
            version: 4,
            surprise_nats: None,
            gap: vec![[1.0, 7.0, 0.1]],
            types: vec![(1, 0.5), (0, 0.25)],
            all_types: 3,
        };
        let mut out = Vec::new();
        write("u\"1", &said, &Vocabulary::new(["buy".to_string()]), ("events", 2, 9), &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            (&value["user_id"], &value["time"], &value["model_version"]),
            (&"u\"1".into(), &9.into(), &4.into())
        );
        assert_eq!(value["types"], serde_json::json!([["buy", 0.5]]));
        assert_eq!(value["median_gap_ms"], 1097.0);
        assert!(value["surprise_nats"].is_null() && value["expected_gap_ms"].as_f64().unwrap() > 1097.0);
    }
}
