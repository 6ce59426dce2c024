//! Lengths of time as people write them.

use std::time::Duration;

use super::Ttl;

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// A longer time than events can span (230 years) is a mistake.
const MS_MAX: u64 = schemas::event::TIME_END_MS as u64;

impl TryFrom<String> for Ttl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = (&text[..digits], text[digits..].trim());
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms);
        let ms = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
        let ms = ms.filter(|ms| (1..=MS_MAX).contains(ms));
        ms.map(|ms| Self(Duration::from_millis(ms))).ok_or(format!("`{text}` is no length of time"))
    }
}

impl From<Ttl> for String {
    fn from(ttl: Ttl) -> Self {
        let ms = ttl.0.as_millis() as u64;
        let (unit, factor) = UNITS.iter().rev().find(|(_, factor)| ms.is_multiple_of(*factor)).unwrap_or(&UNITS[0]);
        format!("{}{unit}", ms / factor)
    }
}
