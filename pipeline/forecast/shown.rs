//! A forecast as the page draws it.

use super::said::Said;
use super::vocabulary::Vocabulary;
use crate::inquiry::UserForecast;

/// Points of the survival curve, and how far down it is drawn.
const POINTS: u32 = 64;
const SURVIVAL_LEAST: f64 = 0.05;

/// What was said of a user; types without a name of their own share one.
pub fn shown(said: &Said, vocabulary: &Vocabulary) -> UserForecast {
    let mixture = said.mixture();
    let point = |n| {
        let survival = 1.0 - (1.0 - SURVIVAL_LEAST) * f64::from(n) / f64::from(POINTS);
        (mixture.quantile_ms(survival), survival)
    };
    let named = |&(place, share): &(u32, f32)| (vocabulary.name(place).unwrap_or("(others)").into(), f64::from(share));
    UserForecast {
        version: said.version,
        made_at_ms: said.time_ms,
        expected_gap_ms: mixture.expected_ms(),
        median_gap_ms: mixture.median_ms(),
        survival: std::iter::once((0.0, 1.0)).chain((1..=POINTS).map(point)).collect(),
        types: said.types.iter().map(named).collect(),
        surprise_nats: said.surprise_nats.map(f64::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_falls_from_one_through_the_median() {
        let said = Said {
            time_ms: 9,
            unit_ms: 1.0,
            version: 4,
            surprise_nats: Some(1.5),
            gap: vec![[0.5, 5.0, 0.3], [0.5, 9.0, 1.0]],
            types: vec![(1, 0.75), (0, 0.25)],
            all_types: 2,
        };
        let shown = shown(&said, &Vocabulary::new(["buy".to_string()]));
        assert_eq!(shown.types, [("buy".to_string(), 0.75), ("(others)".to_string(), 0.25)]);
        assert_eq!((shown.version, shown.made_at_ms, shown.surprise_nats), (4, 9, Some(1.5)));
        assert_eq!(shown.survival[0], (0.0, 1.0));
        assert!(shown.survival.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1));
        let below = shown.survival.iter().position(|(_, survival)| *survival <= 0.5).unwrap();
        let around = shown.survival[below - 1].0..=shown.survival[below].0;
        assert!(around.contains(&shown.median_gap_ms), "{} in {around:?}", shown.median_gap_ms);
    }
}
