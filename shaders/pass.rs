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
        Pass::cleared(gpu, arena, &[])
    }

    /// A pass that begins by zeroing `buffers`.
    pub fn cleared(gpu: &'a Gpu, arena: &'a mut Arena, buffers: &[&wgpu::Buffer]) -> Result<Pass<'a>, Error> {
        gpu.check()?;
        arena.bytes.clear();
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        buffers.iter().for_each(|buffer| encoder.clear_buffer(buffer, 0, None));
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

    /// Submits what was recorded and copies of the first bytes of `sources`, each so many, a multiple of 4; waits, and
    /// hands them, one after the other, to `take`.
    pub fn read<T>(
        self,
        sources: &[(&wgpu::Buffer, u64)],
        readback: &mut Readback,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Error> {
        let Pass { gpu, arena, mut encoder, pass } = self;
        drop(pass);
        let bytes = sources.iter().map(|(_, bytes)| bytes).sum();
        let staging = readback.reserve(gpu, bytes)?;
        let mut start = 0;
        for (source, bytes) in sources.iter().filter(|(_, bytes)| *bytes > 0) {
            assert!(bytes.is_multiple_of(4), "whole words are read");
            encoder.copy_buffer_to_buffer(source, 0, staging, start, *bytes);
            start += bytes;
        }
        if !arena.bytes.is_empty() {
            gpu.queue().write_buffer(&arena.buffer, 0, &arena.bytes);
        }
        gpu.queue().submit([encoder.finish()]);
        readback.read(gpu, bytes, take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::{SCRATCH_BYTES_MAX, Scratch};
    use crate::kernel::{Source, params};

    params! {
        StoreParams { place, value }
    }

    const STORE: Source = Source {
        name: "store",
        wgsl: "struct Params { place: u32, value: u32 }
            @group(0) @binding(0) var<uniform> params: Params;
            @group(0) @binding(1) var<storage, read_write> values: array<u32>;
            @compute @workgroup_size(1) fn store() { values[params.place] += params.value; }",
        members: StoreParams::MEMBERS,
        size: size_of::<StoreParams>(),
    };

    fn gpu() -> Gpu {
        Gpu::open(true).unwrap().expect("install mesa-vulkan-drivers for a software adapter")
    }

    #[test]
    fn every_dispatch_of_a_pass_sees_its_own_params_and_the_writes_before_it() {
        let gpu = gpu();
        let kernel = Kernel::new(&gpu, &STORE, &[]).unwrap();
        let mut arena = Arena::new(&gpu).unwrap();
        let mut values = Scratch::new(&gpu, "values").unwrap();
        let mut readback = Readback::default();
        values.write(&gpu, &[100u32, 400, 600]).unwrap();
        for round in 1..4 {
            let mut pass = Pass::new(&gpu, &mut arena).unwrap();
            for (place, value) in [(0, 1), (2, 30), (0, 4), (1, 20)] {
                pass.dispatch(&kernel, &StoreParams { place, value }, &[values.buffer()], 1).unwrap();
            }
            pass.dispatch(&kernel, &StoreParams { place: 1, value: 9 }, &[values.buffer()], 0).unwrap();
            let found = pass.read(&[(values.buffer(), 12)], &mut readback, |bytes| bytes.to_vec()).unwrap();
            assert_eq!(bytemuck::pod_read_unaligned::<[u32; 3]>(&found), [100, 400, 600].map(|v| v + v / 20 * round));
        }
    }

    #[test]
    fn a_pass_and_a_scratch_buffer_have_limits() {
        let gpu = gpu();
        let kernel = Kernel::new(&gpu, &STORE, &[]).unwrap();
        let mut arena = Arena::new(&gpu).unwrap();
        let mut values = Scratch::new(&gpu, "values").unwrap();
        let mut pass = Pass::new(&gpu, &mut arena).unwrap();
        let params = StoreParams { place: 0, value: 0 };
        let rows = u64::from(GRID_ROW) * u64::from(GRID_ROW) + 1;
        assert!(matches!(pass.dispatch(&kernel, &params, &[values.buffer()], rows), Err(Error::Limit { .. })));
        for _ in 0..DISPATCHES_MAX {
            pass.dispatch(&kernel, &params, &[values.buffer()], 1).unwrap();
        }
        let error = pass.dispatch(&kernel, &params, &[values.buffer()], 1).unwrap_err();
        assert!(matches!(error, Error::Limit { needed: 1025, limit: 1024, .. }), "{error}");
        drop(pass);
        let error = values.reserve(&gpu, SCRATCH_BYTES_MAX + 1).unwrap_err();
        assert!(matches!(error, Error::Limit { what: "values", .. }), "{error}");
        values.reserve(&gpu, 1000).unwrap();
        values.reserve(&gpu, 1025).unwrap();
        assert_eq!(values.buffer().size(), 2048);
        gpu.check().unwrap();
    }

    #[test]
    fn a_kernel_that_does_not_compile_is_an_error_and_the_device_lives_on() {
        let gpu = gpu();
        let broken = Source { wgsl: "@compute @workgroup_size(1) fn store() { let x: u32 = 1.5; }", ..STORE };
        let error = Kernel::new(&gpu, &broken, &[]).unwrap_err();
        assert!(matches!(error, Error::Kernel { kernel: "store", .. }), "{error}");
        Kernel::new(&gpu, &STORE, &[]).unwrap();
    }
}
