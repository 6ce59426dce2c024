//! A part: record batches as one Arrow IPC stream, zstd.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use schemas::hostile::read_hostile;

/// A part is ended when it has so many bytes: what has to be in memory at once to read it.
const BYTES_MAX: usize = 32 << 20;

/// Parts that grow batch by batch.
#[derive(Default)]
pub struct PartWriter {
    open: Option<StreamWriter<Vec<u8>>>,
    users: u64,
    done: Vec<(Vec<u8>, u64)>,
}

impl PartWriter {
    /// Appends users.
    ///
    /// # Errors
    /// Where Arrow refuses to write them.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.open.is_none() {
            let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
            self.open = Some(StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options)?);
        }
        let writer = self.open.as_mut().expect("it was opened just now");
        writer.write(batch)?;
        self.users += batch.num_rows() as u64;
        if writer.get_ref().len() >= BYTES_MAX { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), ArrowError> {
        if let Some(mut writer) = self.open.take() {
            writer.finish()?;
            self.done.push((writer.into_inner()?, std::mem::take(&mut self.users)));
        }
        Ok(())
    }

    /// The parts' bytes, and how many users are in each.
    ///
    /// # Errors
    /// Where Arrow refuses to write them.
    pub fn finish(mut self) -> Result<Vec<(Vec<u8>, u64)>, ArrowError> {
        self.end()?;
        Ok(self.done)
    }
}

/// The batches of a part.
///
/// # Errors
/// Where the bytes are no Arrow stream.
pub fn batches(bytes: &[u8]) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + '_, ArrowError> {
    let mut reader = read_hostile(|| StreamReader::try_new(bytes, None))?;
    Ok(std::iter::from_fn(move || read_hostile(|| reader.next().transpose()).transpose()))
}
