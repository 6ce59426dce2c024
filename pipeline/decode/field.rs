//! The fields of a record, one deserializer a type.

use std::borrow::Cow;
use std::fmt;

use schemas::event::{ColumnType, TIME_END_MS};
use schemas::timestamp::parse_ms;
use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

/// The value of a declared column.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// Absent or null.
    #[default]
    Null,
    /// `int64`.
    Int64(i64),
    /// `float64`.
    Float64(f64),
    /// `string`.
    Text(Cow<'a, str>),
    /// `boolean`.
    Boolean(bool),
}

/// What a field may be; null is absent everywhere.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Text, or an integer kept as its decimal text.
    Id,
    /// Milliseconds since 1970, or RFC 3339.
    Time,
    /// As declared.
    Declared(ColumnType),
}

/// Reads the field `name` as `kind`.
pub(super) struct Field<'n> {
    pub name: &'n str,
    pub kind: Kind,
}

impl Field<'_> {
    fn time<E: Error>(&self, ms: i64) -> Result<Value<'static>, E> {
        match ms {
            ..0 => Err(E::custom(format_args!("`{}` is before 1970", self.name))),
            TIME_END_MS.. => Err(E::custom(format_args!("`{}` is in the year 2200 or later", self.name))),
            ms => Ok(Value::Int64(ms)),
        }
    }

    fn too_large<E: Error>(&self, value: u64) -> E {
        E::custom(format_args!("`{}` is {value}, beyond 64-bit signed integers", self.name))
    }

    fn text<'a, E: Error>(&self, text: Cow<'a, str>) -> Result<Value<'a>, E> {
        match self.kind {
            Kind::Id | Kind::Declared(ColumnType::String) => Ok(Value::Text(text)),
            Kind::Time => match parse_ms(&text) {
                Some(ms) => self.time(ms),
                None => Err(E::custom(format_args!("`{}` is neither milliseconds nor RFC 3339: {text:?}", self.name))),
            },
            Kind::Declared(_) => Err(E::invalid_type(serde::de::Unexpected::Str(&text), self)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Id | Kind::Declared(ColumnType::String) => "text or a 64-bit integer",
            Kind::Time => "milliseconds since 1970 or RFC 3339 text",
            Kind::Declared(ColumnType::Int64) => "a 64-bit integer",
            Kind::Declared(ColumnType::Float64) => "a number",
            Kind::Declared(ColumnType::Boolean) => "true or false",
        };
        write!(f, "`{}` to be {kind}", self.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Declared(ColumnType::Boolean) => Ok(Value::Boolean(value)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Id | Kind::Declared(ColumnType::String) => Ok(Value::Text(value.to_string().into())),
            Kind::Time => self.time(value),
            Kind::Declared(ColumnType::Int64) => Ok(Value::Int64(value)),
            Kind::Declared(ColumnType::Float64) => Ok(Value::Float64(value as f64)),
            Kind::Declared(ColumnType::Boolean) => Err(E::invalid_type(serde::de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match (i64::try_from(value), self.kind) {
            (_, Kind::Declared(ColumnType::Float64)) => Ok(Value::Float64(value as f64)),
            (Ok(value), _) => self.visit_i64(value),
            (Err(_), _) => Err(self.too_large(value)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Declared(ColumnType::Float64) => Ok(Value::Float64(value)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.text(Cow::Owned(text.to_string()))
    }
}

/// Reads a map's key without a copy where it has no escapes.
pub(super) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_string()))
    }
}
