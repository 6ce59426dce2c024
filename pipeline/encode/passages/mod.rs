//! Passages of histories, from which vectors of items are learned (`items.vectors = "co-occurrence"`).
//!
//! A passage is a stretch of a user's behaviors with items: a few that were told before, then those that are told now. Each
//! behavior is told once, with those before it in his history as it stood when that one arrived, so however the log is cut, the
//! pairs of items that stand near each other are the same.
//!
//! # Layout
//! - this file: the record of `<app>.samples.items`. [`sampler`]: what the engine puts into it.

pub mod sampler;

use serde::{Deserialize, Serialize};

use crate::sealed::{self, SealedError};

/// The kind of these records among the service's own ([`schemas::packed`]).
const KIND: u8 = b'i';

/// Passages of some users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passages {
    /// Ids of items.
    pub names: Vec<String>,
    /// (behaviors): places among `names`, the oldest of a passage first.
    pub items: Vec<u32>,
    /// (passages): how many behaviors it has, and how many of them, the last, are told now.
    pub lengths: Vec<(u32, u32)>,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PassagesError {
    /// It is none of these records, or not what was written.
    #[error("passages: {0}")]
    Sealed(#[from] SealedError),
    /// Its parts do not fit together.
    #[error("passages: the parts of {0} passages and {1} behaviors do not fit together")]
    Misfit(usize, usize),
}

impl Passages {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.names.clear();
        self.items.clear();
        self.lengths.clear();
    }

    /// Each passage, as places among `names`, and how many behaviors, the last, are told now.
    pub fn iter(&self) -> impl Iterator<Item = (&[u32], usize)> {
        self.lengths.iter().scan(0, |start, &(length, told)| {
            let items = &self.items[*start..*start + length as usize];
            *start += length as usize;
            Some((items, told as usize))
        })
    }

    /// Appends the record to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        sealed::write(KIND, self, out);
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where the bytes are none; nothing in them makes this panic.
    pub fn read(bytes: &[u8]) -> Result<Self, PassagesError> {
        let passages: Self = sealed::read(KIND, bytes)?;
        let Self { names, items, lengths } = &passages;
        let mut behaviors = 0_u64;
        let fit = lengths.iter().all(|&(length, told)| {
            behaviors += u64::from(length);
            (1..=length).contains(&told)
        });
        let whole = fit && behaviors == items.len() as u64 && items.iter().all(|&at| (at as usize) < names.len());
        if whole { Ok(passages) } else { Err(PassagesError::Misfit(lengths.len(), items.len())) }
    }
}

#[cfg(test)]
mod tests {
    use schemas::packed;

    use super::*;

    #[test]
    fn passages_survive_the_wire_and_no_damage_makes_them_panic() {
        let names = vec!["a".to_string(), "b".into()];
        let passages = Passages { names, items: vec![0, 1, 0, 1, 1], lengths: vec![(3, 1), (2, 2)] };
        assert_eq!(passages.iter().collect::<Vec<_>>(), [(&[0, 1, 0][..], 1), (&[1, 1][..], 2)]);
        let mut bytes = Vec::new();
        passages.write(&mut bytes);
        assert_eq!(Passages::read(&bytes).unwrap(), passages);
        for end in 0..bytes.len() {
            assert!(Passages::read(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(Passages::read(&bytes).is_err(), "changed at {at}");
            // What a writer who knows the checksum may do.
            packed::seal(&mut bytes);
            if let Ok(read) = Passages::read(&bytes) {
                read.iter().for_each(|(items, told)| assert!(told <= items.len()));
            }
            bytes[at] ^= 1;
            packed::seal(&mut bytes);
        }
    }
}
