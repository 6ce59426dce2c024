//! What was forecast of a user, as it is kept with him: the next event is judged by what was said before it, whatever model
//! is in force by then.

use shaders::prompt_tpp::{Forecasts, Mixture};

/// So many of the most probable types are said by name; the others share what is left evenly.
pub const TYPES_SAID: usize = 16;
const FORMAT: u8 = 1;

/// A forecast of a user's next event.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The time of the event after which it was made, ms.
    pub time_ms: i64,
    /// Densities of the gap are per so many ms.
    pub unit_ms: f64,
    /// The version of the model.
    pub version: u64,
    /// How the event at `time_ms` surprised, in nats; none where nothing had been forecast before it.
    pub surprise_nats: Option<f32>,
    /// Of the gap: share, mean and deviation of ln(gap in ms) of each component.
    pub gap: Vec<[f32; 3]>,
    /// The most probable types by place, the most probable first.
    pub types: Vec<(u32, f32)>,
    /// How many types there are.
    pub all_types: u32,
}

impl Said {
    /// Forecast `n` of a batch.
    pub fn new(forecasts: &Forecasts, n: usize, time_ms: i64, unit_ms: f64, version: u64) -> Self {
        let shares = forecasts.types(n);
        let mut places: Vec<u32> = (0..shares.len() as u32).collect();
        let by_share = |a: &u32, b: &u32| shares[*b as usize].total_cmp(&shares[*a as usize]).then(a.cmp(b));
        if places.len() > TYPES_SAID {
            places.select_nth_unstable_by(TYPES_SAID, by_share);
            places.truncate(TYPES_SAID);
        }
        places.sort_unstable_by(by_share);
        let mixture = forecasts.gap(n);
        let part = |(share, mean, deviation)| [share, mean, deviation].map(|part: f64| part as f32);
        Self {
            time_ms,
            unit_ms,
            version,
            surprise_nats: None,
            gap: mixture.components().map(part).collect(),
            types: places.into_iter().map(|place| (place, shares[place as usize])).collect(),
            all_types: shares.len() as u32,
        }
    }

    /// The distribution of the gap.
    pub fn mixture(&self) -> Mixture {
        Mixture::new(self.gap.iter().map(|part| part.map(f64::from).into()))
    }

    /// −ln of the density, per unit, of the gap to `time_ms`, and of the probability of the type.
    pub fn nats(&self, kind: u32, time_ms: i64) -> f64 {
        let gap_ms = time_ms.saturating_sub(self.time_ms).max(1) as f64;
        let share = self.types.iter().find(|(place, _)| *place == kind).map(|(_, share)| f64::from(*share));
        let share = share.unwrap_or_else(|| {
            let said: f64 = self.types.iter().map(|(_, share)| f64::from(*share)).sum();
            (1.0 - said).max(1e-9) / f64::from(self.all_types.saturating_sub(self.types.len() as u32).max(1))
        });
        -self.mixture().log_density(gap_ms) - self.unit_ms.ln() - share.max(1e-12).ln()
    }

    /// Its bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        out.push(FORMAT);
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        out.extend_from_slice(&self.unit_ms.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.surprise_nats.unwrap_or(f32::NAN).to_le_bytes());
        out.extend_from_slice(&self.all_types.to_le_bytes());
        out.push(self.gap.len() as u8);
        out.extend(self.gap.iter().flatten().flat_map(|part| part.to_le_bytes()));
        for (place, share) in &self.types {
            out.extend_from_slice(&place.to_le_bytes());
            out.extend_from_slice(&share.to_le_bytes());
        }
    }

    /// What [`Said::write`] wrote; none of other bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[FORMAT])?;
        let time_ms = i64::from_le_bytes(*take(&mut rest)?);
        let unit_ms = f64::from_le_bytes(*take(&mut rest)?);
        let version = u64::from_le_bytes(*take(&mut rest)?);
        let surprise = f32::from_le_bytes(*take(&mut rest)?);
        let all_types = u32::from_le_bytes(*take(&mut rest)?);
        let [components] = *take::<1>(&mut rest)?;
        let mut float = || Some(f32::from_le_bytes(*take(&mut rest)?));
        let gap = (0..components).map(|_| Some([float()?, float()?, float()?])).collect::<Option<_>>()?;
        let mut types = Vec::new();
        while !rest.is_empty() {
            types.push((u32::from_le_bytes(*take(&mut rest)?), f32::from_le_bytes(*take(&mut rest)?)));
        }
        let surprise_nats = (!surprise.is_nan()).then_some(surprise);
        Some(Self { time_ms, unit_ms, version, surprise_nats, gap, types, all_types })
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        Said {
            time_ms: 5_000,
            unit_ms: 1_000.0,
            version: 3,
            surprise_nats: Some(1.5),
            gap: vec![[0.25, 7.0, 0.5], [0.75, 9.0, 1.5]],
            types: vec![(2, 0.5), (0, 0.25)],
            all_types: 4,
        }
    }

    #[test]
    fn what_was_said_is_remembered_and_anything_else_is_nothing() {
        let mut bytes = Vec::new();
        for surprise_nats in [Some(1.5), None] {
            let said = Said { surprise_nats, ..said() };
            said.write(&mut bytes);
            assert_eq!(Said::read(&bytes).unwrap(), said);
        }
        assert_eq!(Said::read(&[]), None);
        assert_eq!(Said::read(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Said::read(&bytes[..20]), None);
    }

    #[test]
    fn nats_are_those_of_a_density_of_gap_and_type() {
        let said = said();
        // Over types the probabilities sum to one, over gaps the densities do.
        let kinds: f64 = (0..4).map(|kind| (-said.nats(kind, 6_000) + said.nats(2, 6_000)).exp() * 0.5).sum();
        assert!((kinds - 1.0).abs() < 1e-6, "{kinds}");
        let (mut sum, step) = (0.0, 1e-3);
        for n in 0..25_000 {
            let gap = (f64::from(n) * step).exp();
            let ms = 5_000 + gap.round() as i64;
            if gap > 50.0 {
                sum += (-said.nats(2, ms)).exp() / 0.5 * gap / 1_000.0 * step;
            }
        }
        assert!((sum - 1.0).abs() < 0.01, "{sum}");
    }
}
