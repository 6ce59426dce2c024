//! A pass: the work of one micro-batch, recorded kernel by kernel and submitted once.

use crate::buffers::Readback;
use crate::gpu::GRID_ROW;
use crate::kernel::Kernel;
use crate::{Error, Gpu};

/// Bytes between the params of two dispatches: the strictest alignment of a uniform binding's offset.
const SLOT_BYTES: usize = 256;
/// Dispatches that one pass can hold.
const DISPATCHES_MAX: usize = 1024;

/// The params of every dispatch of a pass, one slot each. A buffer write takes effect before the *submission*, not
/// between dispatches, so one slot for all would give every dispatch the last value.
#[derive(Debug)]
pub(crate) struct Arena {
    buffer: wgpu::Buffer,
    bytes: Vec<u8>,
}

impl Arena {
    pub fn new(gpu: &Gpu) -> Result<Arena, Error> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.allocate("params arena", (SLOT_BYTES * DISPATCHES_MAX) as u64, usage)?;
        Ok(Arena { buffer, bytes: Vec::new() })
    }
}

/// One encoder, one compute pass, one submission. wgpu puts the barriers between dispatches that share a buffer.
pub(crate) struct Pass<'a> {
    gpu: &'a Gpu,
    arena: &'a mut Arena,
    encoder: wgpu::CommandEncoder,
    pass: wgpu::ComputePass<'static>,
}

impl<'a> Pass<'a> {
    pub fn new(gpu: &'a Gpu, arena: &'a mut Arena) -> Result<Pass<'a>, Error> {
        gpu.check()?;
        arena.bytes.clear();
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        // The pass is dropped before the encoder is finished, in `read`.
        let pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime();
        Ok(Pass { gpu, arena, encoder, pass })
    }

    /// Records `kernel` over `workgroups` workgroups, folded into rows of [`GRID_ROW`]; none is no dispatch.
    /// `buffers` are bindings 1, 2, …
    pub fn dispatch<P: bytemuck::Pod>(
        &mut self,
        kernel: &Kernel,
        params: &P,
        buffers: &[&wgpu::Buffer],
        workgroups: u64,
    ) -> Result<(), Error> {
        if workgroups == 0 {
            return Ok(());
        }
        let rows = workgroups.div_ceil(u64::from(GRID_ROW));
        if rows > u64::from(GRID_ROW) {
            let limit = u64::from(GRID_ROW) * u64::from(GRID_ROW);
            let remedy = "use smaller batches";
            return Err(Error::Limit { what: "workgroups of a dispatch", needed: workgroups, limit, remedy });
        }
        let group = self.bind(kernel, params, buffers)?;
        self.pass.set_pipeline(kernel.pipeline());
        self.pass.set_bind_group(0, &group, &[]);
        self.pass.dispatch_workgroups(workgroups.min(u64::from(GRID_ROW)) as u32, rows as u32, 1);
        Ok(())
    }

    fn bind<P: bytemuck::Pod>(
        &mut self,
        kernel: &Kernel,
        params: &P,
        buffers: &[&wgpu::Buffer],
    ) -> Result<wgpu::BindGroup, Error> {
        let offset = self.arena.bytes.len();
        let slot = offset / SLOT_BYTES;
        if slot >= DISPATCHES_MAX {
            let (needed, limit) = (slot as u64 + 1, DISPATCHES_MAX as u64);
            let remedy = "use smaller batches or fewer cached users";
            return Err(Error::Limit { what: "dispatches of a pass", needed, limit, remedy });
        }
        let params = bytemuck::bytes_of(params);
        assert!(params.len() <= SLOT_BYTES, "params of {} must fit a slot", kernel.name());
        self.arena.bytes.extend_from_slice(params);
        self.arena.bytes.resize(offset + SLOT_BYTES, 0);
        let slot = wgpu::BufferBinding {
            buffer: &self.arena.buffer,
            offset: offset as u64,
            size: wgpu::BufferSize::new(params.len() as u64),
        };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(slot) }];
        for (binding, buffer) in (1..).zip(buffers) {
            entries.push(wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        }
        Ok(self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel.name()),
            layout: kernel.layout(),
            entries: &entries,
        }))
    }

    /// Submits what was recorded and a copy of the first `bytes` of `source`, waits, and hands them to `take`.
    pub fn read<T>(
        self,
        source: &wgpu::Buffer,
        bytes: u64,
        readback: &mut Readback,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Error> {
        let Pass { gpu, arena, mut encoder, pass } = self;
        drop(pass);
        let staging = readback.reserve(gpu, bytes)?;
        encoder.copy_buffer_to_buffer(source, 0, staging, 0, bytes.next_multiple_of(4));
        if !arena.bytes.is_empty() {
            gpu.queue().write_buffer(&arena.buffer, 0, &arena.bytes);
        }
        gpu.queue().submit([encoder.finish()]);
        readback.read(gpu, bytes, take)
    }
}
