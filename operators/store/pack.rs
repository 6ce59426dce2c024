//! A row as bytes, for the cold store.

use super::{Column, Place, Store};
use crate::cold::{Reader, put, put_bytes, put_signed};

impl Store {
    /// Appends a row.
    pub(crate) fn pack(&self, slot: u32, into: &mut Vec<u8>) {
        let at = slot as usize;
        put(into, self.valid[at]);
        for (index, column) in self.columns.iter().enumerate() {
            if !self.is_valid(slot, index) {
                continue;
            }
            match column {
                Column::Int(values) => put_signed(into, values[at]),
                Column::Float(values) => into.extend_from_slice(&values[at].to_le_bytes()),
                Column::Bool(values) => into.push(u8::from(values[at])),
                Column::Text(texts) => put_bytes(into, texts.get(slot).as_bytes()),
            }
        }
        let Place { topic, partition, offset } = self.places[at];
        put(into, u64::from(topic));
        put_signed(into, i64::from(partition));
        put_signed(into, offset);
        self.views_of(slot).iter().for_each(|word| put(into, *word));
    }

    /// Reads a row into a slot, which must be given to a holder; none where the bytes are no row of this store.
    pub(crate) fn unpack(&mut self, from: &mut Reader<'_>) -> Option<u32> {
        let valid = from.number()?;
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        let at = slot as usize;
        self.valid[at] = valid;
        self.held[at] = 0;
        for (index, column) in self.columns.iter_mut().enumerate() {
            if valid >> index & 1 == 0 {
                continue;
            }
            column.reach(at + 1);
            match column {
                Column::Int(values) => values[at] = from.signed()?,
                Column::Float(values) => {
                    let (value, rest) = from.0.split_first_chunk()?;
                    (values[at], from.0) = (f64::from_le_bytes(*value), rest);
                }
                Column::Bool(values) => {
                    let (value, rest) = from.0.split_first()?;
                    (values[at], from.0) = (*value == 1, rest);
                }
                Column::Text(texts) => texts.set(slot, from.bytes()?),
            }
        }
        let topic = u32::try_from(from.number()?).ok().filter(|&topic| (topic as usize) < self.topics.len())?;
        let partition = i32::try_from(from.signed()?).ok()?;
        self.places[at] = Place { topic, partition, offset: from.signed()? };
        for word in 0..self.words {
            self.included[at * self.words + word] = from.number()?;
        }
        Some(slot)
    }
}
