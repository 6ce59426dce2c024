//! The GPU: one adapter, one device, one queue, and what went wrong on them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::Error;

/// Workgroups in one row of a dispatch; the floor that WebGPU guarantees per dimension. More are folded into rows, see
/// `shared/grid.wgsl`.
pub const GRID_ROW: u32 = 65_535;

/// A submission that has not ended by then counts as a lost device.
const SUBMISSION_TIMEOUT: Duration = Duration::from_secs(120);

/// An open GPU device. Clones share it.
#[derive(Debug, Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    software: bool,
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    /// The first fault. wgpu reports faults out of band; nothing that follows one can be trusted.
    fault: Arc<OnceLock<String>>,
}

impl Gpu {
    /// Opens the best adapter: discrete before integrated before virtual; software ones only if `software`.
    /// `Ok(None)` where there is none.
    ///
    /// # Errors
    /// [`Error::Adapter`] where the adapter gives no device or one below the kernels' needs.
    pub fn open(software: bool) -> Result<Option<Gpu>, Error> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        let best = adapters
            .into_iter()
            .filter(|adapter| software || adapter.get_info().device_type != wgpu::DeviceType::Cpu)
            .min_by_key(|adapter| rank(adapter.get_info().device_type));
        best.map(|adapter| Gpu::with_adapter(&adapter)).transpose()
    }

    /// The backends that [`Gpu::open`] looks for, for messages.
    pub fn searched() -> &'static str {
        "looked for Vulkan, Metal and DX12"
    }

    fn with_adapter(adapter: &wgpu::Adapter) -> Result<Gpu, Error> {
        let info = adapter.get_info();
        let name = format!("{} ({:?})", info.name, info.backend);
        let refuse = |reason: String| Error::Adapter { adapter: name.clone(), reason };
        let limits = adapter.limits();
        if limits.max_compute_workgroups_per_dimension < GRID_ROW || limits.max_storage_buffers_per_shader_stage < 8 {
            return Err(refuse("it is below WebGPU's floor of 65,535 workgroups and 8 storage buffers".to_owned()));
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wellspring"),
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| refuse(error.to_string()))?;
        let fault = Arc::new(OnceLock::new());
        let lost = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.get_or_init(|| format!("{reason:?}: {message}"));
        });
        let uncaptured = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.get_or_init(|| error.to_string());
        }));
        let software = info.device_type == wgpu::DeviceType::Cpu;
        Ok(Gpu { inner: Arc::new(Inner { name, software, device, queue, limits, fault }) })
    }

    /// Opens a device of the same kind anew, after this one was lost.
    ///
    /// # Errors
    /// As [`Gpu::open`]; [`Error::NoAdapter`] where there is none any more.
    pub fn reopen(&self) -> Result<Gpu, Error> {
        Gpu::open(self.is_software())?.ok_or_else(|| Error::NoAdapter { searched: Gpu::searched().to_owned() })
    }

    /// Loses the device, as a driver that resets it would, so that what follows can be tried.
    pub fn lose(&self) {
        self.inner.device.destroy();
        self.inner.fault.get_or_init(|| "it was given up".to_owned());
    }

    /// The adapter's name and backend.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether the adapter is a software one.
    pub fn is_software(&self) -> bool {
        self.inner.software
    }

    /// The most bytes that one storage buffer can hold and a kernel can bind.
    pub fn binding_bytes_max(&self) -> u64 {
        let limits = &self.inner.limits;
        // Indexes in WGSL are u32 words; a binding is kept a multiple of 4 and of the alignment of any offset.
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) & !255
    }

    /// The first fault of this device, if any.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn check(&self) -> Result<(), Error> {
        match self.inner.fault.get() {
            Some(reason) => Err(Error::DeviceLost { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Waits until everything submitted so far has run.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], also after [`SUBMISSION_TIMEOUT`].
    pub(crate) fn wait(&self) -> Result<(), Error> {
        let wait = wgpu::PollType::Wait { submission_index: None, timeout: Some(SUBMISSION_TIMEOUT) };
        if let Err(error) = self.inner.device.poll(wait) {
            self.inner.fault.get_or_init(|| error.to_string());
        }
        self.check()
    }

    /// Allocates a zeroed buffer of `bytes` (rounded up to 256, never empty).
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::DeviceLost`].
    pub(crate) fn allocate(
        &self,
        what: &'static str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, Error> {
        self.check()?;
        let size = bytes.max(1).next_multiple_of(256);
        let scope = self.inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.inner.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage,
            mapped_at_creation: false,
        });
        if pollster::block_on(scope.pop()).is_some() {
            let remedy = "the device is full; hold fewer users' tables, use smaller batches or a larger device";
            return Err(Error::Memory { what, bytes: size, remedy });
        }
        self.check()?;
        Ok(buffer)
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }
}

/// Smaller is better.
fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}
