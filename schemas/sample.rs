//! A record of `<app>.samples.<model>`: windows of users' newest events that a model learns from.
//!
//! ```text
//! "WS1" · kind u8 · checksum u64 · an Arrow IPC stream of one batch, a row a window
//! ```
//! The checksum (xxh3, little-endian) is of all that follows it: Arrow trusts the lengths that it reads.
//!
//! | column | |
//! |---|---|
//! | `user` | xxh3 of the user's id |
//! | `first_target` | the first event that is a target; no event is a target in two records |
//! | `types` | of its events, oldest first: places in the list of names that the schema's metadata holds under `types` |
//! | `times` | of its events, ms, not falling |

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, UInt16Array, UInt32Array, UInt64Array};
use arrow::array::{ArrowPrimitiveType, Int64Array, PrimitiveArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt16Type, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::hostile::read_hostile;
use crate::packed::{self, PackedError};

const TYPES: &str = "types";
/// The kind of these records among the service's own ([`crate::packed`]).
const KIND: u8 = b's';

/// Windows of users; window `w` has the events `offsets[w]..offsets[w + 1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// (windows): xxh3 of the user's id.
    pub users: Vec<u64>,
    /// (windows): the first event that is a target.
    pub first_target: Vec<u32>,
    /// (windows + 1), empty without windows.
    pub offsets: Vec<u32>,
    /// Names of types.
    pub names: Vec<String>,
    /// (events): places in `names`.
    pub types: Vec<u16>,
    /// (events): ms, not falling within a window.
    pub times_ms: Vec<i64>,
}

/// Why a record of samples cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// It is none of these records, or not what was written.
    #[error("samples: {0}")]
    Sealed(#[from] PackedError),
    /// It is no stream of Arrow IPC, or one of other columns.
    #[error("samples: {0}")]
    Arrow(#[from] ArrowError),
    /// Its parts do not fit.
    #[error("samples: {0}")]
    Malformed(&'static str),
}

impl Samples {
    /// How many windows there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The events of a window.
    pub fn events(&self, window: usize) -> std::ops::Range<usize> {
        self.offsets[window] as usize..self.offsets[window + 1] as usize
    }

    /// Ends a window whose events were added.
    pub fn end(&mut self, user: u64, first_target: u32) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.offsets.push(self.types.len() as u32);
        self.users.push(user);
        self.first_target.push(first_target);
    }

    /// Forgets all windows.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Appends the record to `out`.
    ///
    /// # Errors
    /// Where Arrow refuses.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let offsets: Vec<i32> = self.offsets.iter().map(|&offset| offset as i32).collect();
        let types = list(&offsets, Arc::new(UInt16Array::from(self.types.clone())));
        let times = list(&offsets, Arc::new(Int64Array::from(self.times_ms.clone())));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.users.clone())),
            Arc::new(UInt32Array::from(self.first_target.clone())),
            types,
            times,
        ];
        let names = ["user", "first_target", TYPES, "times"];
        let fields =
            names.iter().zip(&columns).map(|(name, column)| Field::new(*name, column.data_type().clone(), false));
        let text = serde_json::to_string(&self.names).map_err(|error| ArrowError::JsonError(error.to_string()))?;
        let schema = Schema::new(fields.collect::<Vec<_>>()).with_metadata(HashMap::from([(TYPES.into(), text)]));
        let batch = RecordBatch::try_new(Arc::new(schema), columns)?;
        let start = out.len();
        packed::begin(KIND, out);
        let mut writer = StreamWriter::try_new(&mut *out, &batch.schema())?;
        writer.write(&batch)?;
        writer.finish()?;
        drop(writer);
        packed::seal(&mut out[start..]).expect("a record is longer than its checksum");
        Ok(())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where the bytes are none; nothing in them makes this panic.
    pub fn read(bytes: &[u8]) -> Result<Self, SampleError> {
        let stream = packed::unseal(bytes, KIND)?;
        let batch = read_hostile(|| {
            let mut reader = StreamReader::try_new(stream, None)?;
            reader.next().ok_or_else(|| ArrowError::IpcError("a stream without a batch".into()))?
        })?;
        let names = batch.schema_ref().metadata().get(TYPES).and_then(|text| serde_json::from_str(text).ok());
        let (offsets, types) = values::<UInt16Type>(&batch, TYPES)?;
        let (same, times_ms) = values::<Int64Type>(&batch, "times")?;
        let samples = Self {
            users: numbers::<UInt64Type>(&batch, "user")?,
            first_target: numbers::<UInt32Type>(&batch, "first_target")?,
            names: names.ok_or(SampleError::Malformed("its types have no names"))?,
            offsets,
            types,
            times_ms,
        };
        samples.check(&same)?;
        Ok(samples)
    }

    fn check(&self, offsets_of_times: &[u32]) -> Result<(), SampleError> {
        let wrong = |what| Err(SampleError::Malformed(what));
        if self.offsets != offsets_of_times || self.offsets.len() != self.len() + 1 || self.offsets[0] != 0 {
            return wrong("types and times are not of the same events");
        }
        if self.types.iter().any(|&kind| usize::from(kind) >= self.names.len()) {
            return wrong("a type without a name");
        }
        for window in 0..self.len() {
            let (events, first) = (self.events(window), self.first_target[window] as usize);
            if events.is_empty() || first < 1 || first > events.len() {
                return wrong("a window without events before its first target");
            }
            if !self.times_ms[events].is_sorted() {
                return wrong("times that fall");
            }
        }
        Ok(())
    }
}

fn list(offsets: &[i32], values: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    let offsets = if offsets.is_empty() { vec![0] } else { offsets.to_vec() };
    Arc::new(ListArray::new(field, OffsetBuffer::new(ScalarBuffer::from(offsets)), values, None))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, SampleError> {
    batch
        .column_by_name(name)
        .filter(|column| column.null_count() == 0)
        .ok_or(SampleError::Malformed("a column is missing"))
}

fn typed<T: ArrowPrimitiveType>(column: &dyn Array) -> Result<&PrimitiveArray<T>, SampleError> {
    let typed = column.as_primitive_opt::<T>().filter(|typed| typed.null_count() == 0);
    typed.ok_or(SampleError::Malformed("a column is of another type"))
}

fn numbers<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Result<Vec<T::Native>, SampleError> {
    Ok(typed::<T>(column(batch, name)?.as_ref())?.values().to_vec())
}

fn values<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Result<(Vec<u32>, Vec<T::Native>), SampleError> {
    let column = column(batch, name)?;
    let wrong = SampleError::Malformed("a column is no list");
    let DataType::List(_) = column.data_type() else { return Err(wrong) };
    let list = column.as_list::<i32>();
    let (first, last) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
    let offsets = list.value_offsets().iter().map(|&offset| (offset - first) as u32).collect();
    let values = typed::<T>(list.values().as_ref())?.values();
    let values = values.get(first as usize..last as usize).ok_or(wrong)?;
    Ok((offsets, values.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Samples {
        let mut samples = Samples { names: vec!["view".into(), "buy \"it\"".into()], ..Samples::default() };
        for (user, events, first_target) in [(7, 3, 2), (8, 2, 1)] {
            for event in 0..events {
                samples.types.push(event % 2);
                samples.times_ms.push(i64::from(event) * 1000);
            }
            samples.end(user, first_target);
        }
        samples
    }

    #[test]
    fn windows_survive_the_wire() {
        let mut bytes = Vec::new();
        samples().write(&mut bytes).unwrap();
        assert_eq!(Samples::read(&bytes).unwrap(), samples());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let spoil: [fn(&mut Samples); 3] = [
            |samples| samples.names.truncate(1),
            |samples| samples.first_target[1] = 0,
            |samples| samples.times_ms[1] = -5,
        ];
        for spoil in spoil {
            let (mut spoiled, mut bytes) = (samples(), Vec::new());
            spoil(&mut spoiled);
            spoiled.write(&mut bytes).unwrap();
            assert!(Samples::read(&bytes).is_err());
        }
    }

    #[test]
    fn every_cut_and_every_change_is_an_error_and_never_a_panic() {
        let mut bytes = Vec::new();
        samples().write(&mut bytes).unwrap();
        for end in 0..bytes.len() {
            assert!(Samples::read(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            for bit in [1, 0x80] {
                bytes[at] ^= bit;
                assert!(Samples::read(&bytes).is_err(), "changed at {at}");
                bytes[at] ^= bit;
            }
        }
    }
}
