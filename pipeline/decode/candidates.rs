//! One request of the `candidates` topic: score these items for this user, now.

use std::borrow::Cow;
use std::fmt;

use schemas::request;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::DecodeError;
use super::field::{Field, Key, Kind, Value};
use super::list::{Ids, Numbers};

/// A request, borrowed from its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates<'a> {
    /// Its id.
    pub request_id: Cow<'a, str>,
    /// Whose history the items are scored against.
    pub user_id: Cow<'a, str>,
    /// Milliseconds since 1970.
    pub time: i64,
    /// The candidates, in the order of the request.
    pub item_ids: Vec<Cow<'a, str>>,
    /// Features by name, in the order of the record: one number per item, NaN where it is not known.
    pub features: Vec<(Cow<'a, str>, Vec<f32>)>,
}

impl Candidates<'_> {
    /// The same, where it has so many items at most.
    ///
    /// # Errors
    /// Where it has more.
    pub fn within(self, items_max: usize) -> Result<Self, DecodeError> {
        let items = self.item_ids.len();
        if items > items_max { Err(DecodeError::TooMany(items, items_max)) } else { Ok(self) }
    }
}

impl From<Candidates<'_>> for request::Candidates {
    fn from(Candidates { request_id, user_id, time, item_ids, features }: Candidates<'_>) -> Self {
        let known = |number: f32| Some(number).filter(|number| number.is_finite());
        let features = features.into_iter().map(|(name, of)| (name.into_owned(), of.into_iter().map(known).collect()));
        Self {
            request_id: request_id.into_owned(),
            user_id: user_id.into_owned(),
            time,
            item_ids: item_ids.into_iter().map(Cow::into_owned).collect(),
            features: features.collect(),
            appended_ms: None,
        }
    }
}

/// Reads one record of `candidates`.
///
/// # Errors
/// Where the record is a dead letter, with the reason.
pub fn decode_candidates(bytes: &[u8]) -> Result<Candidates<'_>, DecodeError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let fields = json.deserialize_map(Fields)?;
    json.end()?;
    let id = |value, name| match value {
        Value::Text(text) => Ok(text),
        _ => Err(DecodeError::Missing(name)),
    };
    let request = Candidates {
        request_id: id(fields.request_id, "request_id")?,
        user_id: id(fields.user_id, "user_id")?,
        time: match fields.time {
            Value::Int64(ms) => ms,
            _ => return Err(DecodeError::Missing("time")),
        },
        item_ids: fields.item_ids.ok_or(DecodeError::Missing("item_ids"))?,
        features: fields.features,
    };
    let items = request.item_ids.len();
    match request.features.iter().find(|(_, numbers)| numbers.len() != items) {
        Some((name, numbers)) => Err(DecodeError::Feature { name: (&**name).into(), numbers: numbers.len(), items }),
        None => Ok(request),
    }
}

#[derive(Default)]
struct RawCandidates<'a> {
    request_id: Value<'a>,
    user_id: Value<'a>,
    time: Value<'a>,
    item_ids: Option<Vec<Cow<'a, str>>>,
    features: Vec<(Cow<'a, str>, Vec<f32>)>,
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = RawCandidates<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut request = RawCandidates::default();
        while let Some(name) = map.next_key_seed(Key)? {
            let (kind, slot) = match &*name {
                "request_id" => (Kind::Id, &mut request.request_id),
                "user_id" => (Kind::Id, &mut request.user_id),
                "time" => (Kind::Time, &mut request.time),
                "item_ids" => {
                    request.item_ids = map.next_value_seed(Ids { name: &name })?;
                    continue;
                }
                "features" => {
                    request.features = map.next_value_seed(Features)?;
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *slot = map.next_value_seed(Field { name: &name, kind })?;
        }
        Ok(request)
    }
}

struct Features;

impl<'de> DeserializeSeed<'de> for Features {
    type Value = Vec<(Cow<'de, str>, Vec<f32>)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Features {
    type Value = Vec<(Cow<'de, str>, Vec<f32>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`features` to be an object of lists of numbers")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut features: Vec<(Cow<'de, str>, Vec<f32>)> = Vec::new();
        while let Some(name) = map.next_key_seed(Key)? {
            let numbers = map.next_value_seed(Numbers { name: &name })?;
            features.retain(|(other, _)| *other != name);
            features.push((name, numbers));
        }
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Candidates<'_>, String> {
        decode_candidates(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_has_items_and_features() {
        let text = r#"{"request_id":7,"user_id":"u","time":"1970-01-01T00:00:01Z","item_ids":[5,"b"],
            "features":{"price":[1.5,null]},"more":{}}"#;
        let request = decode(text).unwrap();
        assert_eq!((&*request.request_id, &*request.user_id, request.time), ("7", "u", 1000));
        assert_eq!(request.item_ids, ["5", "b"]);
        let (name, numbers) = &request.features[0];
        assert_eq!((&**name, numbers[0]), ("price", 1.5));
        assert!(numbers[1].is_nan());
        let plain = decode(r#"{"request_id":"r","user_id":"u","time":1,"item_ids":[],"features":null}"#).unwrap();
        assert!(plain.item_ids.is_empty() && plain.features.is_empty());
    }

    #[test]
    fn a_request_travels_whole_where_it_is_not_too_large() {
        let text = r#"{"request_id":"r","user_id":"u","time":1,"item_ids":["a",2],"features":{"x":[1,1e39]}}"#;
        let read = decode(text).unwrap();
        let error = read.clone().within(1).unwrap_err().to_string();
        assert!(error.contains("has 2 items, more than candidates.items_max = 1"), "{error}");
        let asked: request::Candidates = read.within(2).unwrap().into();
        assert_eq!((asked.item_ids, &asked.features["x"]), (vec!["a".into(), "2".into()], &vec![Some(1.0), None]));
    }

    #[test]
    fn every_dead_letter_says_why() {
        let with = |field: &str| format!(r#"{{"request_id":"r","user_id":"u","time":1,{field}}}"#);
        for (text, reason) in [
            ("[]".to_string(), "a request as a JSON object"),
            (r#"{"user_id":"u","time":1,"item_ids":[]}"#.into(), "`request_id` is missing"),
            (r#"{"request_id":"r","time":1,"item_ids":[]}"#.into(), "`user_id` is missing"),
            (r#"{"request_id":"r","user_id":"u","item_ids":[]}"#.into(), "`time` is missing"),
            (with(r#""x":1"#), "`item_ids` is missing"),
            (with(r#""item_ids":null"#), "`item_ids` is missing"),
            (with(r#""item_ids":"a""#), "`item_ids` to be a list of ids"),
            (with(r#""item_ids":[null]"#), "an id of `item_ids` is null"),
            (with(r#""item_ids":[true]"#), "`item_ids` to be text"),
            (with(r#""item_ids":[1],"features":[1]"#), "an object of lists"),
            (with(r#""item_ids":[1],"features":{"price":1}"#), "`price` to be a list of numbers"),
            (with(r#""item_ids":[1],"features":{"price":["a"]}"#), "invalid type"),
            (with(r#""item_ids":[1],"features":{"price":[1,2]}"#), "`price` has 2 numbers for 1 items"),
        ] {
            let error = decode(&text).expect_err(&text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
