//! Writes what comes out of the embedded log to files, a line a record.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::RunError;
use crate::log::embedded::{EmbeddedReader, Headers};
use crate::log::{Incoming, Reader};

/// The files of a run: `DIR/<topic>.jsonl`, made anew.
pub struct Collector {
    reader: EmbeddedReader,
    files: BTreeMap<Arc<str>, OutputFile>,
    line: Vec<u8>,
}

struct OutputFile {
    path: PathBuf,
    out: BufWriter<File>,
    dead_letters: bool,
    records: u64,
}

/// A dead letter as a line: where it stood, why it is dead, and its bytes.
#[derive(Serialize)]
struct DeadLetter<'a> {
    topic: &'a str,
    partition: i64,
    offset: i64,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl Collector {
    /// Files for `topics` below `dir`; the topic `dead_letters` is written with its headers.
    ///
    /// # Errors
    /// Where a file cannot be made.
    pub fn new(reader: EmbeddedReader, dir: &Path, topics: &[String], dead_letters: &str) -> Result<Self, RunError> {
        std::fs::create_dir_all(dir).map_err(|error| RunError::output(dir, error))?;
        let mut files = BTreeMap::new();
        for topic in topics {
            let path = dir.join(format!("{topic}.jsonl"));
            let file = File::create(&path).map_err(|error| RunError::output(&path, error))?;
            let out = BufWriter::with_capacity(1 << 18, file);
            let file = OutputFile { path, out, dead_letters: topic == dead_letters, records: 0 };
            files.insert(topic.as_str().into(), file);
        }
        Ok(Self { reader, files, line: Vec::new() })
    }

    /// Writes until `stop` is set and all that was committed by then is written; returns how many records each topic has.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn run(mut self, stop: &AtomicBool) -> Result<BTreeMap<String, u64>, RunError> {
        let (files, line) = (&mut self.files, &mut self.line);
        read_on(&mut self.reader, stop, &mut |record, headers| {
            let file = files.get_mut(record.topic).expect("the reader reads the topics of the files");
            file.write(record, headers, line).map_err(|error| RunError::output(&file.path, error))
        })?;
        let count = |(topic, mut file): (Arc<str>, OutputFile)| match file.out.flush() {
            Ok(()) => Ok((topic.to_string(), file.records)),
            Err(error) => Err(RunError::output(&file.path, error)),
        };
        self.files.into_iter().map(count).collect()
    }
}

/// Gives records to `take` until `stop` is set and all that was committed by then is read.
///
/// # Errors
/// Where the log fails, or what `take` says first; nothing is given to it after that.
pub fn read_on(
    reader: &mut EmbeddedReader,
    stop: &AtomicBool,
    take: &mut dyn FnMut(Incoming<'_>, Headers<'_>) -> Result<(), RunError>,
) -> Result<(), RunError> {
    loop {
        let last = stop.load(Ordering::Acquire);
        if last {
            reader.catch_up()?;
        }
        let (timeout, mut failed) = (Duration::from_millis(if last { 0 } else { 100 }), None);
        let at_end = reader.poll_headers(timeout, &mut |record, headers| {
            if failed.is_none() {
                failed = take(record, headers).err();
            }
        })?;
        match failed {
            Some(error) => return Err(error),
            None if last && at_end => return Ok(()),
            None => {}
        }
    }
}

impl OutputFile {
    fn write(&mut self, record: Incoming<'_>, headers: Headers<'_>, line: &mut Vec<u8>) -> std::io::Result<()> {
        line.clear();
        if self.dead_letters {
            dead_letter(record, headers, line);
        } else {
            let Some(value) = record.value else { return Ok(()) };
            line.extend_from_slice(value);
        }
        line.push(b'\n');
        self.records += 1;
        self.out.write_all(line)
    }
}

fn dead_letter(record: Incoming<'_>, headers: Headers<'_>, line: &mut Vec<u8>) {
    let text = |name: &str| {
        let mut headers = headers;
        let value = headers.find(|(header, _)| header.strip_prefix("wellspring.") == Some(name));
        value.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
    };
    let bytes = record.value.unwrap_or_default();
    let value = std::str::from_utf8(bytes).ok();
    let letter = DeadLetter {
        topic: text("topic"),
        partition: text("partition").parse().unwrap_or(-1),
        offset: text("offset").parse().unwrap_or(-1),
        error: text("error"),
        value,
        value_base64: value.is_none().then(|| STANDARD.encode(bytes)),
    };
    serde_json::to_writer(line, &letter).expect("a dead letter becomes JSON");
}
