//! One event of the `events` topic.

use std::borrow::Cow;
use std::fmt;

use schemas::event::{ColumnType, EventColumns};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::DecodeError;
use super::field::{Field, Key, Kind, Value};

/// An event, borrowed from its record; the meaning of the fields is the contract's.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Event<'a> {
    pub user_id: Cow<'a, str>,
    pub kind: Cow<'a, str>,
    /// Milliseconds since 1970.
    pub time: i64,
    pub event_id: Option<Cow<'a, str>>,
    pub item_id: Option<Cow<'a, str>>,
    pub other_id: Option<Cow<'a, str>>,
    pub value: Option<f64>,
    pub merchant_id: Option<Cow<'a, str>>,
    pub category: Option<Cow<'a, str>>,
    /// The declared columns, in the order of [`EventColumns::declared`].
    pub declared: Vec<Value<'a>>,
    /// How many fields stood in the record that nobody declared.
    pub undeclared: u64,
}

/// Reads one record of `events`.
///
/// # Errors
/// Where the record is a dead letter, with the reason.
pub fn decode_event<'a>(bytes: &'a [u8], columns: &EventColumns) -> Result<Event<'a>, DecodeError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let fields = json.deserialize_map(Fields { columns })?;
    json.end()?;
    Ok(Event {
        user_id: required(fields.user_id, "user_id")?,
        kind: required(fields.kind, "type")?,
        time: match fields.time {
            Value::Int64(ms) => ms,
            _ => return Err(DecodeError::Missing("time")),
        },
        event_id: text(fields.event_id),
        item_id: text(fields.item_id),
        other_id: text(fields.other_id),
        value: match fields.value {
            Value::Float64(value) => Some(value),
            _ => None,
        },
        merchant_id: text(fields.merchant_id),
        category: text(fields.category),
        declared: fields.declared,
        undeclared: fields.undeclared,
    })
}

fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn required<'a>(value: Value<'a>, name: &'static str) -> Result<Cow<'a, str>, DecodeError> {
    text(value).ok_or(DecodeError::Missing(name))
}

/// The fields as they were read; of a name that stands twice, the last counts.
struct RawEvent<'a> {
    user_id: Value<'a>,
    kind: Value<'a>,
    time: Value<'a>,
    event_id: Value<'a>,
    item_id: Value<'a>,
    other_id: Value<'a>,
    value: Value<'a>,
    merchant_id: Value<'a>,
    category: Value<'a>,
    declared: Vec<Value<'a>>,
    undeclared: u64,
}

struct Fields<'c> {
    columns: &'c EventColumns,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = RawEvent<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        const NULL: Value<'static> = Value::Null;
        let declared = self.columns.declared();
        let mut event = RawEvent {
            user_id: NULL,
            kind: NULL,
            time: NULL,
            event_id: NULL,
            item_id: NULL,
            other_id: NULL,
            value: NULL,
            merchant_id: NULL,
            category: NULL,
            declared: vec![NULL; declared.len()],
            undeclared: 0,
        };
        while let Some(name) = map.next_key_seed(Key)? {
            let (kind, slot) = match &*name {
                "user_id" => (Kind::Id, &mut event.user_id),
                "type" => (Kind::Id, &mut event.kind),
                "time" => (Kind::Time, &mut event.time),
                "event_id" => (Kind::Id, &mut event.event_id),
                "item_id" => (Kind::Id, &mut event.item_id),
                "other_id" => (Kind::Id, &mut event.other_id),
                "value" => (Kind::Declared(ColumnType::Float64), &mut event.value),
                "merchant_id" => (Kind::Id, &mut event.merchant_id),
                "category" => (Kind::Id, &mut event.category),
                _ => match declared.iter().position(|(column, _)| *column == name) {
                    Some(at) => (Kind::Declared(declared[at].1), &mut event.declared[at]),
                    None => {
                        map.next_value::<IgnoredAny>()?;
                        event.undeclared += 1;
                        continue;
                    }
                },
            };
            *slot = map.next_value_seed(Field { name: &name, kind })?;
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Event<'_>, String> {
        decode_event(text.as_bytes(), &EventColumns::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn ids_are_text_or_integers_and_null_is_absent() {
        let event = decode(
            r#" {"user_id":-7,"type":"a\nb","time":"1970-01-01T00:00:01Z","value":3,"category":null,"x":[{}],"item_id":9} "#,
        )
        .unwrap();
        assert_eq!((&*event.user_id, &*event.kind, event.time), ("-7", "a\nb", 1000));
        assert_eq!((event.value, event.category.as_deref(), event.item_id.as_deref()), (Some(3.0), None, Some("9")));
        assert_eq!(event.undeclared, 1);
    }

    #[test]
    fn a_name_that_stands_twice_counts_last() {
        assert_eq!(decode(r#"{"user_id":"a","type":"t","time":1,"user_id":"b"}"#).unwrap().user_id, "b");
    }

    #[test]
    fn declared_columns_are_read_by_type() {
        let declared = [("n", ColumnType::Int64), ("f", ColumnType::Float64), ("b", ColumnType::Boolean)];
        let columns = EventColumns::new(declared.map(|(name, kind)| (name.to_string(), kind)).to_vec()).unwrap();
        let read = |text: &str| {
            let text = format!(r#"{{"user_id":"u","type":"t","time":1,{text}}}"#);
            decode_event(text.as_bytes(), &columns).map(|event| format!("{:?}", event.declared))
        };
        assert_eq!(read(r#""b":true,"f":2"#).unwrap(), "[Null, Float64(2.0), Boolean(true)]");
        assert!(read(r#""n":1.5"#).is_err());
        assert!(read(r#""b":0"#).is_err());
    }

    #[test]
    fn every_dead_letter_says_why() {
        let with = |field: &str| format!(r#"{{"user_id":"u","type":"t","time":1,{field}}}"#);
        for (text, reason) in [
            ("{".to_string(), "EOF"),
            ("null".into(), "an event as a JSON object"),
            ("[1]".into(), "an event as a JSON object"),
            ("{}".into(), "`user_id` is missing"),
            (r#"{"user_id":null,"type":"t","time":1}"#.into(), "`user_id` is missing"),
            (r#"{"user_id":"u","type":"t"}"#.into(), "`time` is missing"),
            (r#"{"user_id":"u","type":"t","time":1}{}"#.into(), "trailing"),
            (with(r#""user_id":true"#), "`user_id` to be text"),
            (with(r#""user_id":1.5"#), "`user_id` to be text"),
            (with(r#""user_id":["u1"]"#), "`user_id` to be text"),
            (with(r#""user_id":9223372036854775808"#), "beyond 64-bit"),
            (with(r#""user_id":123456789012345678901234567890"#), "`user_id` to be text"),
            (with(r#""time":"yesterday""#), "neither milliseconds nor RFC 3339"),
            (with(r#""time":-5"#), "before 1970"),
            (with(r#""time":7258118400000"#), "2200"),
            (with(r#""time":1.5"#), "`time` to be"),
            (with(r#""value":"much""#), "`value` to be a number"),
            (with(r#""value":false"#), "`value` to be a number"),
            (with(r#""value":NaN"#), "expected value"),
        ] {
            let error = decode(&text).expect_err(&text);
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(decode_event(b"\xff\xfe{}", &EventColumns::default()).is_err());
        assert!(decode_event(b"{\"user_id\":\"\xff\",\"type\":\"t\",\"time\":1}", &EventColumns::default()).is_err());
        let deep = with(&format!(r#""x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000)));
        assert!(decode(&deep).is_ok(), "depth of what nobody declared is no matter");
    }
}
