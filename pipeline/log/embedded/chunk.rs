//! Records in one piece of memory: built once, then read through spans by whoever holds it.

use crate::log::Incoming;
use std::sync::Arc;

/// From here on a builder is closed and the next begun.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// No record may be larger, so that positions inside a chunk fit 32 bits.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 30;
const NONE: u32 = u32::MAX;
const NO_TIME: i64 = i64::MIN;

/// Where one record lies in its chunk: key, value and headers follow each other from `start`.
#[derive(Clone, Copy, Debug)]
struct Span {
    timestamp_ms: i64,
    /// Offset behind the chunk's base; compaction leaves gaps.
    delta: u32,
    start: u32,
    key: u32,
    value: u32,
    headers: u32,
}

impl Span {
    fn len(self) -> usize {
        let present = |length: u32| if length == NONE { 0 } else { length as usize };
        present(self.key) + present(self.value) + self.headers as usize
    }
}

/// Collects records; the only copy that a send makes.
#[derive(Debug, Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Builder {
    /// Takes what is there, and makes room for as much again.
    pub(super) fn take(&mut self) -> Self {
        let (bytes, spans) = (self.bytes.len(), self.spans.len());
        std::mem::replace(self, Self { bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(spans) })
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Memory taken, records' bookkeeping included.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    pub(super) fn push(
        &mut self,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let before = self.bytes.len();
        for (name, value) in headers {
            self.bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(value);
        }
        let length = |part: Option<&[u8]>| part.map_or(NONE, |bytes| bytes.len() as u32);
        self.spans.push(Span {
            timestamp_ms: timestamp_ms.unwrap_or(NO_TIME),
            delta: self.spans.len() as u32,
            start,
            key: length(key),
            value: length(value),
            headers: (self.bytes.len() - before) as u32,
        });
    }

    /// Closes the builder: its records have offsets from `base` on.
    pub(super) fn close(self, base: i64) -> Chunk {
        Chunk { base, bytes: self.bytes, spans: self.spans }
    }
}

/// Closed records with their offsets.
#[derive(Debug)]
pub(super) struct Chunk {
    base: i64,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Chunk {
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn base(&self) -> i64 {
        self.base
    }

    /// Memory taken, records' bookkeeping included.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>()
    }

    /// The offset of record `index`.
    pub(super) fn offset(&self, index: usize) -> i64 {
        self.base + i64::from(self.spans[index].delta)
    }

    /// The first record whose offset is not below `offset`.
    pub(super) fn index_of(&self, offset: i64) -> usize {
        self.spans.partition_point(|span| self.base + i64::from(span.delta) < offset)
    }

    /// Record `index` as a reader sees it, with its headers.
    pub(super) fn record<'a>(
        &'a self,
        index: usize,
        topic: &'a Arc<str>,
        partition: i32,
    ) -> (Incoming<'a>, Headers<'a>) {
        let span = self.spans[index];
        let mut rest = &self.bytes[span.start as usize..];
        let mut part = |length: u32| {
            if length == NONE {
                return None;
            }
            let (taken, left) = rest.split_at(length as usize);
            rest = left;
            Some(taken)
        };
        let (key, value) = (part(span.key), part(span.value));
        let headers = Headers(part(span.headers).unwrap_or_default());
        let timestamp_ms = (span.timestamp_ms != NO_TIME).then_some(span.timestamp_ms);
        let offset = self.base + i64::from(span.delta);
        (Incoming { topic, partition, offset, timestamp_ms, key, value }, headers)
    }

    pub(super) fn key(&self, index: usize) -> Option<&[u8]> {
        let span = self.spans[index];
        (span.key != NONE).then(|| &self.bytes[span.start as usize..][..span.key as usize])
    }

    pub(super) fn is_tombstone(&self, index: usize) -> bool {
        self.spans[index].value == NONE
    }

    /// The records for which `keep` holds, at their offsets; none where none is left.
    pub(super) fn retain(&self, mut keep: impl FnMut(usize) -> bool) -> Option<Chunk> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for (index, span) in self.spans.iter().enumerate().filter(|(index, _)| keep(*index)) {
            debug_assert!(index < self.spans.len());
            let start = bytes.len() as u32;
            bytes.extend_from_slice(&self.bytes[span.start as usize..][..span.len()]);
            spans.push(Span { start, ..*span });
        }
        (!spans.is_empty()).then_some(Chunk { base: self.base, bytes, spans })
    }
}

/// A record's headers, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_at(u32::from_le_bytes(*name) as usize);
        let (value, rest) = rest.split_at(u32::from_le_bytes(*value) as usize);
        self.0 = rest;
        Some((std::str::from_utf8(name).expect("headers were written from text"), value))
    }
}

/// Some records of one chunk, held for a reader.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) chunk: Arc<Chunk>,
    pub(super) from: usize,
    pub(super) to: usize,
}
