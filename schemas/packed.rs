//! A record of `<app>.by-user`: many rows, and what the router tells about watermarks.
//!
//! ```text
//! "WS1" · kind u8 · checksum u64 · header length u32 · header (JSON) · metadata length u32 · metadata · padding to 64 · body
//! ```
//! The checksum (xxh3) is of all that follows it: Arrow trusts the lengths that it reads.
//! The header names the source topic of the rows, the declared columns they were written with (the id of their schema),
//! and the watermark controls, which take effect after the record's rows. Metadata and body are one Arrow IPC record
//! batch message; both are absent where a record is all control. Integers are little-endian.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::event::{ColumnType, EventColumns};
use crate::hostile::read_hostile;
use crate::request::Request;

const MAGIC: &[u8; 3] = b"WS1";
const KIND_EVENTS: u8 = b'e';
const ALIGNMENT: usize = 64;
/// Magic, kind and checksum; what follows is checked.
const CHECKED: usize = 12;

/// What a record says besides its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The topic that the rows came from; empty without rows.
    pub topic: String,
    /// The declared columns that the rows were written with.
    pub columns: Vec<(String, ColumnType)>,
    /// Watermarks of source partitions, in force after the rows.
    pub controls: Vec<Control>,
    /// What is asked of users after the rows, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
    /// Versions of models that are in force after all this, by model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, u64>,
}

/// What is known of one source partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The source topic.
    pub topic: String,
    /// The source partition.
    pub partition: i32,
    /// Its progress.
    pub progress: Progress,
}

/// The progress of a source partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// It exists; nothing is told about it here.
    Named,
    /// Its watermark in ms; `i64::MAX` where nothing will ever come again.
    At(i64),
    /// It is at its end and has been silent for `events.idle_timeout_ms`: left out of the minimum.
    Idle,
}

/// Why a record of `by-user` cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// It does not begin with the magic bytes of this format.
    #[error("not a packed record of this version (it begins with {0:?}); was something else written to the topic?")]
    Foreign(Vec<u8>),
    /// It is not what was written.
    #[error("the checksum of a packed record does not match: the record was cut or changed")]
    Damaged,
    /// It ends before its parts do.
    #[error("a packed record ends after {0} bytes, inside its {1}")]
    Short(usize, &'static str),
    /// Its header is no header.
    #[error("the header of a packed record: {0}")]
    Header(#[from] serde_json::Error),
    /// Its rows are no record batch.
    #[error("the rows of a packed record: {0}")]
    Rows(#[from] ArrowError),
}

/// Appends a record to `out`: `rows` in the wire schema of `header.columns`, or none.
///
/// # Errors
/// Where Arrow refuses to write the rows.
pub fn write(header: &Header, rows: Option<&RecordBatch>, out: &mut Vec<u8>) -> Result<(), PackedError> {
    let start = out.len();
    begin(KIND_EVENTS, out);
    let json = serde_json::to_vec(header)?;
    out.extend_from_slice(&(json.len() as u32).to_le_bytes());
    out.extend_from_slice(&json);
    match rows {
        None => out.extend_from_slice(&0_u32.to_le_bytes()),
        Some(rows) => write_rows(rows, start, out)?,
    }
    seal(&mut out[start..]).expect("a record is longer than its checksum");
    Ok(())
}

/// Begins a record of a kind; [`seal`] puts its checksum in when it is whole.
pub fn begin(kind: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    out.push(kind);
    out.extend_from_slice(&[0; CHECKED - MAGIC.len() - 1]);
}

/// Puts the checksum of what follows it into a record; none where it is too short to have one.
pub fn seal(record: &mut [u8]) -> Option<()> {
    let checksum = xxh3_64(record.get(CHECKED..)?);
    record[MAGIC.len() + 1..CHECKED].copy_from_slice(&checksum.to_le_bytes());
    Some(())
}

/// What a record of this kind holds behind its checksum.
///
/// # Errors
/// Where the bytes are not such a record, or not what was written.
pub fn unseal(bytes: &[u8], kind: u8) -> Result<&[u8], PackedError> {
    let (magic, rest) = bytes.split_at_checked(MAGIC.len() + 1).ok_or(PackedError::Short(bytes.len(), "magic"))?;
    if magic != [&MAGIC[..], &[kind]].concat() {
        return Err(PackedError::Foreign(magic.to_vec()));
    }
    let (checksum, checked) = rest.split_first_chunk::<8>().ok_or(PackedError::Short(bytes.len(), "checksum"))?;
    if xxh3_64(checked).to_le_bytes() != *checksum {
        return Err(PackedError::Damaged);
    }
    Ok(checked)
}

fn write_rows(rows: &RecordBatch, start: usize, out: &mut Vec<u8>) -> Result<(), PackedError> {
    let options = IpcWriteOptions::default();
    let mut context = IpcWriteContext::default();
    let (_, encoded) =
        IpcDataGenerator::default().encode(rows, &mut DictionaryTracker::new(false), &options, &mut context)?;
    out.extend_from_slice(&(encoded.ipc_message.len() as u32).to_le_bytes());
    out.extend_from_slice(&encoded.ipc_message);
    out.resize(start + (out.len() - start).next_multiple_of(ALIGNMENT), 0);
    out.extend_from_slice(&encoded.arrow_data);
    Ok(())
}

/// A record, taken apart; the rows are read by [`Packed::rows`].
#[derive(Debug)]
pub struct Packed<'a> {
    /// What it says besides its rows.
    pub header: Header,
    metadata: &'a [u8],
    body: &'a [u8],
}

/// Takes a record apart.
///
/// # Errors
/// Where the bytes are not a packed record of this version.
pub fn read(bytes: &[u8]) -> Result<Packed<'_>, PackedError> {
    unseal(bytes, KIND_EVENTS)?;
    let mut at = CHECKED;
    let mut take = |len: usize, part: &'static str| {
        let piece = bytes.get(at..at + len).ok_or(PackedError::Short(bytes.len(), part))?;
        at += len;
        Ok::<_, PackedError>((piece, at))
    };
    let length = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes were taken")) as usize;
    let header_len = length(take(4, "header length")?.0);
    let header = serde_json::from_slice(take(header_len, "header")?.0)?;
    let metadata_len = length(take(4, "metadata length")?.0);
    let (metadata, end) = take(metadata_len, "metadata")?;
    let body = if metadata_len == 0 { &[] } else { bytes.get(end.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]) };
    Ok(Packed { header, metadata, body })
}

impl Packed<'_> {
    /// The rows, in the wire schema of the header's columns; none where the record is all control.
    ///
    /// # Errors
    /// Where metadata and body are not one record batch of that schema.
    pub fn rows(&self) -> Result<Option<RecordBatch>, PackedError> {
        if self.metadata.is_empty() {
            return Ok(None);
        }
        let wrong = |what: String| PackedError::Rows(ArrowError::IpcError(what));
        let message = root_as_message(self.metadata).map_err(|e| wrong(e.to_string()))?;
        let batch = message.header_as_record_batch().ok_or_else(|| wrong("no record batch".into()))?;
        let columns = EventColumns::new(self.header.columns.clone()).map_err(|e| wrong(e.to_string()))?;
        let version = message.version();
        let body = Buffer::from(self.body);
        if batch.compression().is_some() {
            // Nobody writes it, and how much memory it takes stands in the bytes.
            return Err(wrong("it is compressed".into()));
        }
        let read = || read_record_batch(&body, batch, columns.wire_schema(), &HashMap::new(), None, &version);
        Ok(Some(read_hostile(read)?))
    }

    /// The topic of the rows.
    pub fn topic(&self) -> Arc<str> {
        self.header.topic.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringViewArray};

    use super::*;
    use crate::request::Candidates;

    fn rows(columns: &EventColumns) -> RecordBatch {
        let text = |values: [Option<&str>; 3]| Arc::new(StringViewArray::from_iter(values)) as ArrayRef;
        let ints = |values: [i64; 3]| Arc::new(Int64Array::from_iter_values(values)) as ArrayRef;
        let long = "a text that is too long to stand inside a view";
        let arrays = vec![
            ints([i64::MIN, 5, 7]),
            Arc::new(Int32Array::from_iter_values([0, 0, 1])),
            ints([10, 11, 4]),
            text([Some("u1"), Some(long), Some("u3")]),
            text([Some("click"); 3]),
            ints([1, 2, 3]),
            text([None, Some("e"), Some(long)]),
            text([None; 3]),
            text([None; 3]),
            text([None, Some("source"), Some("self")]),
            Arc::new(Float64Array::from_iter([Some(1.5), None, Some(-0.0)])),
            text([None; 3]),
            text([Some("旅行"), None, None]),
            ints([1, 2, 3]),
        ];
        RecordBatch::try_new(columns.wire_schema(), arrays).unwrap()
    }

    #[test]
    fn rows_and_controls_survive_the_wire() {
        let declared = vec![("amount_band".to_string(), ColumnType::Int64)];
        let columns = EventColumns::new(declared.clone()).unwrap();
        let controls = [Progress::Named, Progress::At(i64::MAX), Progress::Idle]
            .map(|progress| Control { topic: "events".into(), partition: 3, progress })
            .to_vec();
        let versions = BTreeMap::from([("prompt_tpp".into(), 7)]);
        let candidates = Candidates {
            request_id: "r".into(),
            user_id: "ada".into(),
            item_ids: vec!["i".into(), "\"j".into()],
            features: BTreeMap::from([("price".into(), vec![Some(0.1), None])]),
            ..Candidates::default()
        };
        let requests = vec![Request::Candidates(candidates), Request::Forget("ada".into())];
        let header = Header { topic: "events".into(), columns: declared, controls, requests, versions };
        let mut bytes = b"what stood there before".to_vec();
        let start = bytes.len();
        write(&header, Some(&rows(&columns)), &mut bytes).unwrap();
        let packed = read(&bytes[start..]).unwrap();
        assert_eq!(packed.header, header);
        assert_eq!(packed.rows().unwrap().unwrap(), rows(&columns));
    }

    #[test]
    fn a_control_record_has_no_rows() {
        let header = Header::default();
        let mut bytes = Vec::new();
        write(&header, None, &mut bytes).unwrap();
        assert!(read(&bytes).unwrap().rows().unwrap().is_none());
    }

    #[test]
    fn every_cut_and_every_change_is_an_error_and_never_a_panic() {
        let mut bytes = Vec::new();
        let header = Header { topic: "events".into(), ..Header::default() };
        write(&header, Some(&rows_without_declared()), &mut bytes).unwrap();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).and_then(|packed| packed.rows()).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(read(&bytes).and_then(|packed| packed.rows()).is_err(), "changed at {at}");
            bytes[at] ^= 1;
        }
    }

    fn rows_without_declared() -> RecordBatch {
        let declared = EventColumns::new(vec![("amount_band".into(), ColumnType::Int64)]).unwrap();
        rows(&declared).project(&(0..13).collect::<Vec<_>>()).unwrap()
    }
}
