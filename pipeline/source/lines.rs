//! A `.jsonl` file, byte for byte: bad lines pass like good ones, so that dead letters can be tried.

use std::io::Read;

use super::read::{CHUNK_BYTES, Feeder, RECORD_BYTES_MAX, Stop};

/// Hands the lines of `from` to `feeder`, each without its newline; empty lines are no records.
///
/// # Errors
/// Where reading fails, a line has no end, or nobody reads any more.
pub fn lines(mut from: impl Read, feeder: &Feeder) -> Result<(), Stop> {
    let mut chunk = feeder.blank();
    loop {
        let before = chunk.bytes.len();
        let n = from.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk.bytes)?;
        if n == 0 {
            chunk.take_lines();
            return Ok(feeder.send(chunk)?);
        }
        let Some(last) = memchr::memrchr(b'\n', &chunk.bytes[before..]) else {
            if chunk.bytes.len() > RECORD_BYTES_MAX {
                return Err(Stop::Failed(format!("a line is longer than {RECORD_BYTES_MAX} bytes")));
            }
            continue;
        };
        let mut next = feeder.blank();
        next.bytes.extend_from_slice(&chunk.bytes[before + last + 1..]);
        chunk.bytes.truncate(before + last);
        chunk.take_lines();
        feeder.send(chunk)?;
        chunk = next;
    }
}
