//! One record of the `forget` topic: `{"user_id"}`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::DecodeError;
use super::field::{Field, Key, Kind, Value};

/// Reads the user who is to be forgotten.
///
/// # Errors
/// Where the record is a dead letter, with the reason.
pub fn decode_forget(bytes: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let user_id = json.deserialize_map(Fields)?;
    json.end()?;
    match user_id {
        Value::Text(user_id) => Ok(user_id),
        _ => Err(DecodeError::Missing("user_id")),
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user to be forgotten as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut user_id = Value::Null;
        while let Some(name) = map.next_key_seed(Key)? {
            match &*name {
                "user_id" => user_id = map.next_value_seed(Field { name: &name, kind: Kind::Id })?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(user_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_text_or_integer() {
        assert_eq!(decode_forget(br#"{"user_id":"ada","why":[1]}"#).unwrap(), "ada");
        assert_eq!(decode_forget(br#"{"user_id":-7}"#).unwrap(), "-7");
        for text in ["{}", r#"{"user_id":null}"#, r#"{"user_id":[]}"#, "[]", "7", "", r#"{"user_id":"a"} x"#] {
            assert!(decode_forget(text.as_bytes()).is_err(), "{text}");
        }
    }
}
