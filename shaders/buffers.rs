//! Buffers that live as long as a room: allocated once, grown by doubling up to a limit, never shrunk.

use std::sync::{Arc, OnceLock};

use crate::{Error, Gpu};

/// No scratch buffer grows beyond this; larger work is cut into several passes or refused.
pub(crate) const SCRATCH_BYTES_MAX: u64 = 1 << 28;

/// The bytes that scratch may have on `gpu`: [`SCRATCH_BYTES_MAX`], or less where a binding holds less.
pub(crate) fn scratch_bytes_max(gpu: &Gpu) -> u64 {
    gpu.binding_bytes_max().min(SCRATCH_BYTES_MAX)
}

/// A storage buffer for the inputs or outputs of one batch.
#[derive(Debug)]
pub(crate) struct Scratch {
    what: &'static str,
    buffer: wgpu::Buffer,
}

impl Scratch {
    /// A minimal buffer; `what` names it in errors, with its unit.
    pub fn new(gpu: &Gpu, what: &'static str) -> Result<Scratch, Error> {
        Ok(Scratch { what, buffer: gpu.allocate(what, 0, Scratch::USAGE)? })
    }

    const USAGE: wgpu::BufferUsages =
        wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

    /// Makes room for `bytes`; the contents may be lost.
    pub fn reserve(&mut self, gpu: &Gpu, bytes: u64) -> Result<(), Error> {
        if let Some(size) = grown(gpu, self.what, self.buffer.size(), bytes)? {
            self.buffer = gpu.allocate(self.what, size, Scratch::USAGE)?;
        }
        Ok(())
    }

    /// Uploads `values` to the front.
    pub fn write<T: bytemuck::NoUninit>(&mut self, gpu: &Gpu, values: &[T]) -> Result<(), Error> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.reserve(gpu, bytes.len() as u64)?;
        if !bytes.is_empty() {
            gpu.queue().write_buffer(&self.buffer, 0, bytes);
        }
        Ok(())
    }

    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }
}

/// The way back: a buffer that the CPU can map.
#[derive(Debug, Default)]
pub(crate) struct Readback {
    buffer: Option<wgpu::Buffer>,
}

impl Readback {
    const WHAT: &str = "readback bytes";

    pub fn reserve(&mut self, gpu: &Gpu, bytes: u64) -> Result<&wgpu::Buffer, Error> {
        let have = self.buffer.as_ref().map_or(0, wgpu::Buffer::size);
        if let Some(size) = grown(gpu, Readback::WHAT, have, bytes.max(4))? {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            self.buffer = Some(gpu.allocate(Readback::WHAT, size, usage)?);
        }
        Ok(self.buffer.as_ref().expect("at least 4 bytes were reserved"))
    }

    /// Waits for the submissions so far and hands the first `bytes` to `take`.
    pub fn read<T>(&mut self, gpu: &Gpu, bytes: u64, take: impl FnOnce(&[u8]) -> T) -> Result<T, Error> {
        let buffer = self.reserve(gpu, bytes)?.clone();
        let slice = buffer.slice(..bytes.max(4).next_multiple_of(4));
        let outcome = Arc::new(OnceLock::new());
        let done = outcome.clone();
        slice.map_async(wgpu::MapMode::Read, move |result| {
            done.get_or_init(|| result);
        });
        let lost = |reason: String| Error::DeviceLost { reason };
        let taken = gpu.wait().and_then(|()| match outcome.get() {
            Some(Ok(())) => {
                let view = slice.get_mapped_range().map_err(|error| lost(error.to_string()))?;
                Ok(take(&view[..bytes as usize]))
            }
            Some(Err(error)) => Err(lost(error.to_string())),
            None => Err(lost("a readback was never answered".to_owned())),
        });
        match taken {
            Ok(_) => buffer.unmap(),
            // Mapped, or about to be: not to be used again.
            Err(_) => self.buffer = None,
        }
        taken
    }
}

/// The size to allocate when `have` does not hold `need`: doubled until it does, at most the limit.
fn grown(gpu: &Gpu, what: &'static str, have: u64, need: u64) -> Result<Option<u64>, Error> {
    let limit = scratch_bytes_max(gpu);
    if need > limit {
        return Err(Error::Limit { what, needed: need, limit, remedy: "use smaller batches (engine.batch_rows)" });
    }
    Ok((need > have).then(|| need.next_power_of_two().max(have.saturating_mul(2)).min(limit)))
}
