//! One record of the `feedback` topic: what became of something that was shown.

use std::borrow::Cow;
use std::fmt;

use schemas::request::Request;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::DecodeError;
use super::field::{Field, Key, Kind, Value};

/// Feedback, borrowed from its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// Whose it is.
    pub user_id: Cow<'a, str>,
    /// Milliseconds since 1970.
    pub time: i64,
    /// The request that it is an answer to.
    pub request_id: Option<Cow<'a, str>>,
    /// The item; without one, all candidates of the request.
    pub item_id: Option<Cow<'a, str>>,
    /// Whether it was clicked, bought, liked.
    pub label: bool,
}

impl From<Feedback<'_>> for Request {
    fn from(Feedback { user_id, time, request_id, item_id, label }: Feedback<'_>) -> Self {
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let (user_id, request_id, item_id) = (user_id.into_owned(), owned(request_id), owned(item_id));
        Self::Feedback(schemas::request::Feedback { user_id, time, item_id, request_id, label })
    }
}

/// Reads one record of `feedback`.
///
/// # Errors
/// Where the record is a dead letter, with the reason.
pub fn decode_feedback(bytes: &[u8]) -> Result<Feedback<'_>, DecodeError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let feedback = json.deserialize_map(Fields)?;
    json.end()?;
    let text = |value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let (request_id, item_id) = (text(feedback.request_id), text(feedback.item_id));
    if request_id.is_none() && item_id.is_none() {
        return Err(DecodeError::Missing("item_id"));
    }
    Ok(Feedback {
        user_id: text(feedback.user_id).ok_or(DecodeError::Missing("user_id"))?,
        time: match feedback.time {
            Value::Int64(ms) => ms,
            _ => return Err(DecodeError::Missing("time")),
        },
        request_id,
        item_id,
        label: feedback.label.ok_or(DecodeError::Missing("label"))?,
    })
}

#[derive(Default)]
struct RawFeedback<'a> {
    user_id: Value<'a>,
    time: Value<'a>,
    request_id: Value<'a>,
    item_id: Value<'a>,
    label: Option<bool>,
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = RawFeedback<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("feedback as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut feedback = RawFeedback::default();
        while let Some(name) = map.next_key_seed(Key)? {
            let (kind, slot) = match &*name {
                "user_id" => (Kind::Id, &mut feedback.user_id),
                "time" => (Kind::Time, &mut feedback.time),
                "request_id" => (Kind::Id, &mut feedback.request_id),
                "item_id" => (Kind::Id, &mut feedback.item_id),
                "label" => {
                    feedback.label = match map.next_value::<serde_json::Value>()? {
                        serde_json::Value::Null => None,
                        label if label.as_f64() == Some(0.0) => Some(false),
                        label if label.as_f64() == Some(1.0) => Some(true),
                        label => return Err(Error::custom(format_args!("`label` is {label}, it must be 0 or 1"))),
                    };
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *slot = map.next_value_seed(Field { name: &name, kind })?;
        }
        Ok(feedback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Feedback<'_>, String> {
        decode_feedback(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn feedback_is_of_a_request_or_of_an_item() {
        let both = decode(r#"{"user_id":1,"time":5,"request_id":"r","item_id":2,"label":1}"#).unwrap();
        assert_eq!((both.request_id.as_deref(), both.item_id.as_deref(), both.label), (Some("r"), Some("2"), true));
        let request = decode(r#"{"user_id":1,"time":5,"request_id":"r","item_id":null,"label":0.0,"x":[]}"#).unwrap();
        assert_eq!((request.item_id, request.label), (None, false));
    }

    #[test]
    fn every_dead_letter_says_why() {
        for (text, reason) in [
            ("[]", "feedback as a JSON object"),
            (r#"{"time":5,"item_id":2,"label":1}"#, "`user_id` is missing"),
            (r#"{"user_id":1,"item_id":2,"label":1}"#, "`time` is missing"),
            (r#"{"user_id":1,"time":5,"label":1}"#, "`item_id` is missing"),
            (r#"{"user_id":1,"time":5,"item_id":2}"#, "`label` is missing"),
            (r#"{"user_id":1,"time":5,"item_id":2,"label":2}"#, "`label` is 2"),
            (r#"{"user_id":1,"time":5,"item_id":2,"label":true}"#, "`label` is true"),
        ] {
            let error = decode(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
