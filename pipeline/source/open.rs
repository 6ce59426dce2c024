//! A file, its format and its compression, by name.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

/// The names a source file may have, for messages.
pub const FORMATS: &str = ".jsonl, .json, .csv or .parquet, plain or with .gz or .zst after it";

/// How records lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One record a line.
    Lines,
    /// One array of records, or records one after another.
    Values,
    /// A header line, then one record a line.
    Csv,
    /// Columns.
    Parquet,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// gzip, one member or many.
    Gzip,
    /// Zstandard, one frame or many.
    Zstd,
}

/// What a file's name says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileKind {
    /// How records lie in it.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
}

impl FileKind {
    /// The kind of a file of this name; none where the name says nothing. Parquet is compressed inside, never around.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (stem, compression) = if let Some(stem) = name.strip_suffix(".gz") {
            (stem, Compression::Gzip)
        } else if let Some(stem) = name.strip_suffix(".zst") {
            (stem, Compression::Zstd)
        } else {
            (name.as_str(), Compression::None)
        };
        let format = match stem.rsplit_once('.')?.1 {
            "jsonl" | "ndjson" => Format::Lines,
            "json" => Format::Values,
            "csv" => Format::Csv,
            "parquet" => Format::Parquet,
            _ => return None,
        };
        Some(Self { format, compression })
    }
}

/// The bytes of a file, decompressed; `read` counts those taken from the disk.
///
/// # Errors
/// Where the file cannot be opened.
pub fn bytes(path: &Path, compression: Compression, read: Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let counted = Counted { file: File::open(path)?, read };
    Ok(match compression {
        Compression::None => Box::new(counted),
        Compression::Gzip => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, counted))),
        Compression::Zstd => Box::new(zstd::Decoder::new(counted)?),
    })
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
