//! Each source reads ahead on a thread of its own, in bounded chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::input::{Input, Source};
use super::open::{self, Format};
use super::{SourceError, lines, query, values};

/// Bytes of a chunk, about.
pub const CHUNK_BYTES: usize = 256 << 10;
/// A longer record means that the file is no file of records.
pub const RECORD_BYTES_MAX: usize = 256 << 20;
/// Chunks read ahead, at most.
const CHUNKS: usize = 4;

/// Some records in a row.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The records' bytes and what stands between them.
    pub bytes: Vec<u8>,
    /// Where each record starts and ends in `bytes`.
    pub records: Vec<(usize, usize)>,
}

impl Chunk {
    /// Takes the lines of `bytes` as records, the last one with or without its newline; an empty line is no record.
    pub fn take_lines(&mut self) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &self.bytes).chain([self.bytes.len()]) {
            if end > start {
                self.records.push((start, end));
            }
            start = end + 1;
        }
    }
}

/// The reader of the records is gone: there is nothing left to do.
#[derive(Debug)]
pub struct Gone;

/// Where a source's thread puts its chunks.
pub struct Feeder {
    full: SyncSender<Result<Chunk, SourceError>>,
    used: Receiver<Chunk>,
}

impl Feeder {
    /// An empty chunk, with the memory of a used one where there is one.
    pub fn blank(&self) -> Chunk {
        let mut chunk = self.used.try_recv().unwrap_or_default();
        // The memory of a giant record is not kept.
        if chunk.bytes.capacity() > 4 * CHUNK_BYTES {
            return Chunk::default();
        }
        chunk.bytes.clear();
        chunk.records.clear();
        chunk
    }

    /// Hands a chunk on; waits while enough is read ahead.
    ///
    /// # Errors
    /// Where nobody reads any more.
    pub fn send(&self, chunk: Chunk) -> Result<(), Gone> {
        if chunk.records.is_empty() { Ok(()) } else { self.full.send(Ok(chunk)).map_err(|_| Gone) }
    }
}

/// The records of one source, in order.
pub struct Reader {
    full: Receiver<Result<Chunk, SourceError>>,
    used: SyncSender<Chunk>,
    chunk: Chunk,
    next: usize,
    /// Bytes taken from the disk so far.
    pub read: Arc<AtomicU64>,
    /// Bytes of the source's file; none where it is a query.
    pub total: Option<u64>,
}

impl Reader {
    /// Opens `input` and starts to read ahead.
    ///
    /// # Errors
    /// Where its file cannot be opened.
    pub fn open(input: &Input) -> Result<Self, SourceError> {
        let (full_in, full) = sync_channel(CHUNKS);
        let (used, used_out) = sync_channel(CHUNKS + 2);
        let feeder = Feeder { full: full_in, used: used_out };
        let read = Arc::new(AtomicU64::new(0));
        let total = match &input.source {
            Source::File(path, _) => std::fs::metadata(path).ok().map(|file| file.len()),
            Source::Query(_) => None,
        };
        let work = work(input, read.clone())?;
        let place = input.place();
        let body = move || {
            let failed = work(&feeder);
            if let Err(Stop::Failed(what)) = failed {
                let remedy = "correct the file or the query";
                // Nobody to tell: the reader is gone.
                let _ = feeder.full.send(Err(SourceError::failed(what, place, remedy)));
            }
        };
        let name = format!("source-{}-{}", input.topic.name(), input.partition);
        thread::Builder::new().name(name).spawn(body).map_err(|error| {
            SourceError::failed(format!("no thread to read with: {error}"), input.place(), "raise the process limit")
        })?;
        Ok(Self { full, used, chunk: Chunk::default(), next: 0, read, total })
    }

    /// Goes to the next record; false at the end.
    ///
    /// # Errors
    /// Where the source fails.
    pub fn advance(&mut self) -> Result<bool, SourceError> {
        self.next += 1;
        if self.next > self.chunk.records.len() {
            let Ok(chunk) = self.full.recv() else {
                self.chunk.records.clear();
                return Ok(false);
            };
            let used = std::mem::replace(&mut self.chunk, chunk?);
            // Full or closed: the chunk's memory is simply not used again.
            let _ = self.used.try_send(used);
            self.next = 1;
        }
        Ok(true)
    }

    /// The record that [`Self::advance`] went to.
    pub fn current(&self) -> &[u8] {
        let (start, end) = self.chunk.records[self.next - 1];
        &self.chunk.bytes[start..end]
    }

    /// Bytes taken from the disk so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Why a source's thread ends before its source does.
#[derive(Debug)]
pub enum Stop {
    /// Nobody reads any more.
    Gone,
    /// What was wrong.
    Failed(String),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

type Work = Box<dyn FnOnce(&Feeder) -> Result<(), Stop> + Send>;

/// What the source's thread does, with its file already open.
fn work(input: &Input, read: Arc<AtomicU64>) -> Result<Work, SourceError> {
    let (path, kind) = match &input.source {
        Source::Query(sql) => {
            let sql = sql.clone();
            return Ok(Box::new(move |feeder| query::sql(&sql, feeder)));
        }
        Source::File(path, kind) => (path.clone(), *kind),
    };
    let open = open::bytes(&path, kind.compression, read).map_err(|error| {
        let remedy = "name a file that can be read; paths are relative to the working directory";
        SourceError::failed(format!("the file cannot be opened: {error}"), input.place(), remedy)
    })?;
    Ok(match kind.format {
        Format::Lines => Box::new(move |feeder| lines::lines(open, feeder)),
        Format::Values => Box::new(move |feeder| values::values(open, feeder)),
        Format::Csv | Format::Parquet => Box::new(move |feeder| query::file(&path, feeder)),
    })
}
