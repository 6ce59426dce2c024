//! RFC 3339 to milliseconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970 of an RFC 3339 text, rounded to the nearest, half to even; none where it is no such text.
pub fn parse_ms(text: &str) -> Option<i64> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    let (ms, rest) = (nanos.div_euclid(1_000_000), nanos.rem_euclid(1_000_000));
    let up = rest > 500_000 || (rest == 500_000 && ms % 2 != 0);
    i64::try_from(ms + i128::from(up)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_milliseconds() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2023-11-14T22:13:20.123Z", Some(1_700_000_000_123)),
            ("2023-11-14T23:13:20.1235+01:00", Some(1_700_000_000_124)),
            ("2023-11-14T22:13:20.1225Z", Some(1_700_000_000_122)),
            ("1969-12-31T23:59:59.9Z", Some(-100)),
            ("yesterday", None),
            ("2023-11-14", None),
        ] {
            assert_eq!(parse_ms(text), ms, "{text}");
        }
    }
}
