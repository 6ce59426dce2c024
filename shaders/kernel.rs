//! A kernel: one WGSL entry point, compiled once.

use crate::{Error, Gpu};

/// A kernel's source: the shared snippets it needs, put in front of its own file by `concat!`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// File stem, entry point, and name of the twin.
    pub name: &'static str,
    /// The whole WGSL text.
    pub wgsl: &'static str,
    /// Members of `struct Params` (name, offset in bytes), in order.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test `tidy` compares it with the WGSL"))]
    pub members: &'static [(&'static str, usize)],
    /// Size of `struct Params` in bytes.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test `tidy` compares it with the WGSL"))]
    pub size: usize,
}

/// Declares the Rust side of a kernel's `struct Params`: all members u32, in the order of the WGSL.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name { $($(#[$field_doc])* pub $field: u32),+ }

        impl $name {
            /// What the test `tidy` compares with the WGSL.
            pub const MEMBERS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),+];
        }
    };
}
pub(crate) use params;

/// A compiled kernel. Its bindings are declared once, in WGSL: group 0, binding 0 the params, then inputs, then
/// outputs.
#[derive(Debug)]
pub(crate) struct Kernel {
    name: &'static str,
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Kernel {
    /// Compiles `source` with the given values of its `override` constants.
    pub fn new(gpu: &Gpu, source: &Source, constants: &[(&str, f64)]) -> Result<Kernel, Error> {
        gpu.check()?;
        let name = source.name;
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.wgsl.into()),
        });
        let pipeline = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some(name),
            compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
            cache: None,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Kernel { kernel: name, reason: error.to_string() });
        }
        gpu.check()?;
        let layout = pipeline.get_bind_group_layout(0);
        Ok(Kernel { name, pipeline, layout })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn pipeline(&self) -> &wgpu::ComputePipeline {
        &self.pipeline
    }

    pub fn layout(&self) -> &wgpu::BindGroupLayout {
        &self.layout
    }
}
