//! Samples that a run makes, in a temporary file: more than memory holds, in the log's order, for as many passes as are wanted.
//!
//! The file is a sequence of records, each with its length (u32, little-endian) before it. It has no name: it is gone with its
//! process, however that ends.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use schemas::output::Room;

use super::collector::read_on;
use super::{Feed, RunError, output_names, prepare, work};
use crate::config::{Config, Role};
use crate::metrics::Metrics;
use crate::roles;

/// Samples of one room.
#[derive(Debug)]
pub struct Samples {
    /// The folder that it is in.
    dir: PathBuf,
    file: File,
    records: u64,
    dead_letters: u64,
}

/// Bytes of the file that are read or written at once.
const BUFFER_BYTES: usize = 1 << 18;

impl Samples {
    /// Sends what `feed` gives through the service as the settings have it, and keeps what there is to be learned from for
    /// `room`; nobody learns meanwhile, but of items what requests see, where their vectors are learned.
    ///
    /// # Errors
    /// Where something cannot be read, written or done; the message says what.
    pub fn of(
        mut config: Config,
        room: Room,
        feed: &mut dyn Feed,
        metrics: Metrics,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, RunError> {
        config.roles = vec![Role::Router, Role::Engine];
        if roles::learns_items(&config) {
            // What requests see is of vectors that are learned on the way; scorers read along and learn nothing.
            config.roles.push(Role::Learner);
            config.candidates.learn = false;
        }
        let dir = config.state.dir.clone().unwrap_or_else(std::env::temp_dir);
        let failed = |error| RunError::output(&dir, error);
        let file = std::fs::create_dir_all(&dir).and_then(|()| tempfile::tempfile_in(&dir)).map_err(failed)?;
        let (shared, broker) = prepare(config, feed, metrics)?;
        let wanted = shared.topics.samples(room);
        // Outputs are read too: a log holds what it holds for somebody.
        let topics = [output_names(&shared), vec![wanted.clone()]].concat();
        let mut reader = broker.records(&topics)?;
        let (mut out, mut records) = (BufWriter::with_capacity(BUFFER_BYTES, file), 0);
        let (stages, (file, records)) = work(&shared, &broker, feed, stop, |ended| {
            read_on(&mut reader, ended, &mut |record, _| {
                let Some(value) = record.value.filter(|_| **record.topic == *wanted) else { return Ok(()) };
                records += 1;
                let length = (value.len() as u32).to_le_bytes();
                out.write_all(&length).and_then(|()| out.write_all(value)).map_err(failed)
            })?;
            Ok((out.into_inner().map_err(|error| failed(error.into_error()))?, records))
        })?;
        let dead_letters = super::summary(&stages, Default::default(), Default::default()).dead_letters;
        Ok(Self { dir, file, records, dead_letters })
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Records of the inputs that were none.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters
    }

    /// Gives all records to `take`, in order, until it fails.
    ///
    /// # Errors
    /// Where the file cannot be read, or what `take` says.
    pub fn pass<E: From<RunError>>(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let failed = |error| RunError::output(&self.dir, error);
        self.file.rewind().map_err(failed)?;
        let mut file = BufReader::with_capacity(BUFFER_BYTES, &self.file);
        let (mut length, mut record) = ([0; 4], Vec::new());
        loop {
            match file.read_exact(&mut length) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                read => read.map_err(failed)?,
            }
            record.resize(u32::from_le_bytes(length) as usize, 0);
            file.read_exact(&mut record).map_err(failed)?;
            take(&record)?;
        }
    }
}
