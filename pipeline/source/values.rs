//! A `.json` file: one array of records, or records one after another, over as many lines as they like.
//!
//! Values are only cut apart here, never decoded, so that a record's bytes are those of the file.

use std::io::Read;

use super::read::{CHUNK_BYTES, Feeder, RECORD_BYTES_MAX, Stop};

/// Where in the text the scanner stands.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Before the first byte that says something.
    Start,
    /// Between values.
    Between,
    /// In a value that began at this place of the chunk.
    Value { start: usize },
}

/// Hands the values of `from` to `feeder`.
///
/// # Errors
/// Where reading fails, a value has no end, or nobody reads any more.
pub fn values(mut from: impl Read, feeder: &Feeder) -> Result<(), Stop> {
    let mut chunk = feeder.blank();
    let mut scan = Scan { at: At::Start, array: false, depth: 0, string: false, escaped: false };
    loop {
        let before = chunk.bytes.len();
        let n = from.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk.bytes)?;
        for place in before..chunk.bytes.len() {
            if let Some(record) = scan.step(place, chunk.bytes[place]) {
                chunk.records.push(record);
            }
        }
        let start = if let At::Value { start } = scan.at { start } else { chunk.bytes.len() };
        if n == 0 {
            // A value cut off is a record too: a bad one.
            if start < chunk.bytes.len() {
                chunk.records.push((start, chunk.bytes.len()));
            }
            return Ok(feeder.send(chunk)?);
        }
        if chunk.bytes.len() - start > RECORD_BYTES_MAX {
            return Err(Stop::Failed(format!("a value is longer than {RECORD_BYTES_MAX} bytes")));
        }
        let mut next = feeder.blank();
        next.bytes.extend_from_slice(&chunk.bytes[start..]);
        if let At::Value { start } = &mut scan.at {
            *start = 0;
        }
        feeder.send(chunk)?;
        chunk = next;
    }
}

struct Scan {
    at: At,
    /// Whether the values are elements of one array.
    array: bool,
    /// Brackets open inside the value.
    depth: usize,
    string: bool,
    escaped: bool,
}

impl Scan {
    /// Takes the byte at `place`; gives the value that ends here.
    fn step(&mut self, place: usize, byte: u8) -> Option<(usize, usize)> {
        let At::Value { start } = self.at else {
            return self.between(place, byte);
        };
        if self.string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.string = false,
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' => self.string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.at = At::Between;
                    return Some((start, place + 1));
                }
            }
            // The end of a number or a word at the top.
            b',' | b']' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {
                self.at = At::Between;
                return Some((start, place));
            }
            _ => {}
        }
        None
    }

    fn between(&mut self, place: usize, byte: u8) -> Option<(usize, usize)> {
        let first = self.at == At::Start;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return None,
            // A byte order mark.
            0xef | 0xbb | 0xbf if first => return None,
            b'[' if first => {
                self.array = true;
                self.at = At::Between;
                return None;
            }
            b',' | b']' if self.array => return None,
            _ => {}
        }
        self.at = At::Value { start: place };
        self.string = byte == b'"';
        self.depth = usize::from(matches!(byte, b'{' | b'['));
        None
    }
}
