//! Lists inside of a record: ids, numbers.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::field::{Field, Kind, Value};

/// Reads a list of ids, the field `name`; null is none.
pub(super) struct Ids<'n> {
    pub name: &'n str,
}

impl<'de> DeserializeSeed<'de> for Ids<'_> {
    type Value = Option<Vec<Cow<'de, str>>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ids<'_> {
    type Value = Option<Vec<Cow<'de, str>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a list of ids", self.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = list.next_element_seed(Field { name: self.name, kind: Kind::Id })? {
            match id {
                Value::Text(id) => ids.push(id),
                _ => return Err(Error::custom(format_args!("an id of `{}` is null", self.name))),
            }
        }
        Ok(Some(ids))
    }
}

/// Reads a list of numbers, the feature `name`; a number that is null is not known: NaN.
pub(super) struct Numbers<'n> {
    pub name: &'n str,
}

impl<'de> DeserializeSeed<'de> for Numbers<'_> {
    type Value = Vec<f32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Numbers<'_> {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a list of numbers", self.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element::<Option<f64>>()? {
            numbers.push(number.map_or(f32::NAN, |number| number as f32));
        }
        Ok(numbers)
    }
}
