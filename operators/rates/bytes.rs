//! Counters as bytes: little-endian, entries in the order of their keys, so equal counters are equal bytes.

use std::hash::Hash;

use super::generations::Generations;
use super::{ItemCounts, Limits, Rates, Totals};

/// What the bytes begin with: a name and a version.
const MAGIC: [u8; 8] = *b"wsrates1";

/// Why bytes are no counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatesError {
    /// They do not begin as counters do.
    #[error("the bytes are no counters of this version; rebuild them from the log")]
    Magic,
    /// They end too soon, or too late.
    #[error("{0} bytes of counters were expected, there are {1}; the copy is damaged")]
    Length(usize, usize),
}

impl Rates {
    /// The counters as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(MAGIC);
        let Totals { behaviors, shown, clicked } = self.totals;
        let sizes = [&self.items.older, &self.items.newer].map(|map| map.len() as u64);
        let pairs = [&self.transitions.older, &self.transitions.newer].map(|map| map.len() as u64);
        for number in [behaviors, shown, clicked].into_iter().chain(sizes).chain(pairs) {
            out.extend(number.to_le_bytes());
        }
        for map in [&self.items.older, &self.items.newer] {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(item, _)| **item);
            for (item, counts) in entries {
                out.extend(item.to_le_bytes());
                let ItemCounts { behaviors, shown, clicked, followed } = counts;
                for count in [behaviors, shown, clicked, followed] {
                    out.extend(count.to_le_bytes());
                }
            }
        }
        for map in [&self.transitions.older, &self.transitions.newer] {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(pair, _)| **pair);
            for ((from, to), count) in entries {
                out.extend(from.to_le_bytes());
                out.extend(to.to_le_bytes());
                out.extend(count.to_le_bytes());
            }
        }
        out
    }

    /// Counters from bytes. With smaller `limits` than they were kept with, they shrink as new items are met.
    ///
    /// # Errors
    /// Where the bytes are no counters.
    pub fn from_bytes(limits: Limits, bytes: &[u8]) -> Result<Self, RatesError> {
        let Some(bytes) = bytes.strip_prefix(&MAGIC) else { return Err(RatesError::Magic) };
        let mut bytes = Bytes { bytes, at: 0 };
        if bytes.bytes.len() < 7 * 8 {
            return Err(RatesError::Length(7 * 8, bytes.bytes.len()));
        }
        let [behaviors, shown, clicked, items_older, items_newer, pairs_older, pairs_newer] =
            std::array::from_fn(|_| bytes.u64());
        let (items, pairs) = (items_older.saturating_add(items_newer), pairs_older.saturating_add(pairs_newer));
        let expected = items.saturating_mul(24).saturating_add(pairs.saturating_mul(20)).saturating_add(7 * 8);
        if expected != bytes.bytes.len() as u64 {
            return Err(RatesError::Length(expected as usize, bytes.bytes.len()));
        }
        let mut rates = Self::new(limits);
        rates.totals = Totals { behaviors, shown, clicked };
        let item = |bytes: &mut Bytes<'_>| {
            let item = bytes.u64();
            let [behaviors, shown, clicked, followed] = std::array::from_fn(|_| bytes.u32());
            (item, ItemCounts { behaviors, shown, clicked, followed })
        };
        let pair = |bytes: &mut Bytes<'_>| ((bytes.u64(), bytes.u64()), bytes.u32());
        fill(&mut rates.items, [items_older, items_newer], &mut bytes, item);
        fill(&mut rates.transitions, [pairs_older, pairs_newer], &mut bytes, pair);
        Ok(rates)
    }
}

fn fill<K: Eq + Hash, V>(
    map: &mut Generations<K, V>,
    [older, newer]: [u64; 2],
    bytes: &mut Bytes<'_>,
    entry: impl Fn(&mut Bytes<'_>) -> (K, V),
) {
    map.older = (0..older).map(|_| entry(bytes)).collect();
    map.newer = (0..newer).map(|_| entry(bytes)).collect();
}

/// A reader of bytes whose number was checked.
struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.bytes[self.at - N..self.at].try_into().expect("as many as asked for")
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}
