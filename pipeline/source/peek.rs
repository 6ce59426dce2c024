//! A record's time and key, without decoding the rest.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::InputTopic;

#[derive(Deserialize)]
struct Timed<'a> {
    #[serde(borrow)]
    time: &'a RawValue,
}

#[derive(Deserialize)]
struct Keyed<'a> {
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    item_id: Option<&'a RawValue>,
}

/// The fields of a JSON object; an array would be read as fields in order.
fn object<'a, T: Deserialize<'a>>(record: &'a [u8]) -> Option<T> {
    let first = record.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') { serde_json::from_slice(record).ok() } else { None }
}

/// A record's event time in ms since 1970; none where it has no readable one.
pub fn time_ms(record: &[u8]) -> Option<i64> {
    let text = object::<Timed<'_>>(record)?.time.get();
    if !text.starts_with('"') {
        return text.parse().ok();
    }
    let time = OffsetDateTime::parse(&serde_json::from_str::<Cow<'_, str>>(text).ok()?, &Rfc3339).ok()?;
    // Rounded to the nearest ms; the whole of RFC 3339's years fits.
    i64::try_from((time.unix_timestamp_nanos() + 500_000).div_euclid(1_000_000)).ok()
}

/// A record's key as the router reads it: the id's text, an integer's as its decimal digits; none where it has none.
pub fn key(topic: InputTopic, record: &[u8]) -> Option<Vec<u8>> {
    let fields = object::<Keyed<'_>>(record)?;
    let text = match topic {
        InputTopic::Events | InputTopic::Candidates | InputTopic::Feedback | InputTopic::Forget => fields.user_id,
        InputTopic::Items => fields.item_id,
    }?;
    let text = text.get();
    if text.starts_with('"') {
        return serde_json::from_str::<String>(text).ok().map(String::into_bytes);
    }
    text.parse::<i64>().ok().map(|number| number.to_string().into_bytes())
}
