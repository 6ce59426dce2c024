//! One item of the `items` topic.

use std::borrow::Cow;
use std::fmt;

use schemas::event::ColumnType;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::DecodeError;
use super::field::{Field, Key, Kind, Value};

/// Vectors may be this much longer than one: room for rounding on the producer's side.
const NORM_MAX: f64 = 1.001;

/// An item, borrowed from its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<'a> {
    /// Its id.
    pub item_id: Cow<'a, str>,
    /// The version of the content model that made its vector; 0 where nothing is said.
    pub version: u64,
    /// Its category.
    pub category: Option<Cow<'a, str>>,
    /// Its vector of length `dim`, of norm at most 1.001.
    pub vector: Option<Vec<f32>>,
}

/// Reads one record of `items`; `dim` is the length that vectors must have, where a room uses them.
///
/// # Errors
/// Where the record is a dead letter, with the reason.
pub fn decode_item(bytes: &[u8], dim: Option<usize>) -> Result<Item<'_>, DecodeError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let (item_id, version, category, vector) = json.deserialize_map(Fields)?;
    json.end()?;
    let text = |value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let item_id = text(item_id).ok_or(DecodeError::Missing("item_id"))?;
    let version = match version {
        Value::Int64(version) => u64::try_from(version).map_err(|_| DecodeError::Version(version))?,
        _ => 0,
    };
    let vector = vector.map(|vector| checked(vector, dim)).transpose()?;
    Ok(Item { item_id, version, category: text(category), vector })
}

fn checked(vector: Vec<f64>, dim: Option<usize>) -> Result<Vec<f32>, DecodeError> {
    if let Some(dim) = dim.filter(|&dim| dim != vector.len()) {
        let len = vector.len();
        return Err(DecodeError::Vector(format!("has {len} numbers, the service is set to {dim} (sdim.dim)")));
    }
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    match norm {
        norm if norm <= NORM_MAX => Ok(vector.into_iter().map(|x| x as f32).collect()),
        norm if norm.is_finite() => {
            Err(DecodeError::Vector(format!("has length {norm:.4}, more than {NORM_MAX}: divide it by that")))
        }
        _ => Err(DecodeError::Vector("is not finite".into())),
    }
}

/// A whole number.
const VERSION: Kind = Kind::Declared(ColumnType::Int64);

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = (Value<'de>, Value<'de>, Value<'de>, Option<Vec<f64>>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut item_id, mut version, mut category, mut vector) = (Value::Null, Value::Null, Value::Null, None);
        while let Some(name) = map.next_key_seed(Key)? {
            match &*name {
                "item_id" => item_id = map.next_value_seed(Field { name: &name, kind: Kind::Id })?,
                "version" => version = map.next_value_seed(Field { name: &name, kind: VERSION })?,
                "category" => category = map.next_value_seed(Field { name: &name, kind: Kind::Id })?,
                "vector" => vector = map.next_value::<Option<Numbers>>()?.map(|numbers| numbers.0),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((item_id, version, category, vector))
    }
}

/// The numbers of a vector; the error names the field.
struct Numbers(Vec<f64>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer)
            .map(Self)
            .map_err(|e| serde::de::Error::custom(format_args!("`vector` must be numbers: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_checked() {
        let item = decode_item(br#"{"item_id":5,"vector":[0.6,0.8],"more":{}}"#, Some(2)).unwrap();
        assert_eq!((&*item.item_id, item.version, item.vector), ("5", 0, Some(vec![0.6, 0.8])));
        let versions =
            [(r#"3"#, 3), ("null", 0)].map(|(text, version)| (format!(r#"{{"item_id":5,"version":{text}}}"#), version));
        versions
            .iter()
            .for_each(|(text, version)| assert_eq!(decode_item(text.as_bytes(), None).unwrap().version, *version));
        assert_eq!(decode_item(br#"{"item_id":"i","vector":null}"#, Some(2)).unwrap().vector, None);
        for (text, reason) in [
            (r#"{"item_id":"i","vector":[1]}"#, "has 1 numbers"),
            (r#"{"item_id":"i","vector":[1,0.1]}"#, "more than 1.001"),
            (r#"{"item_id":"i","vector":[1e200,1e200]}"#, "not finite"),
            (r#"{"item_id":"i","vector":["a",1]}"#, "`vector` must be numbers"),
            (r#"{"item_id":"i","vector":"a"}"#, "`vector` must be numbers"),
            (r#"{"vector":[1,0]}"#, "`item_id` is missing"),
            (r#"{"item_id":"i","version":-1}"#, "`version` is -1"),
            (r#"{"item_id":"i","version":"2"}"#, "`version` to be a 64-bit integer"),
            (r#"{"item_id":"i","version":1.5}"#, "`version` to be a 64-bit integer"),
            ("{", "EOF"),
        ] {
            let error = decode_item(text.as_bytes(), Some(2)).expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
