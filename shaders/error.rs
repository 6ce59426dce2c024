//! What can go wrong in the compute core, as values.

/// An error of the compute core. Every message says what was wrong and, where there is a remedy, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `device = "gpu"` on a machine without any adapter.
    #[error(
        "no GPU adapter found ({searched}): install the GPU's Vulkan driver, or `mesa-vulkan-drivers` for a software \
         adapter (Debian/Ubuntu: apt-get install mesa-vulkan-drivers), or set device = \"cpu\""
    )]
    NoAdapter {
        /// The backends that were searched, or why the search failed.
        searched: String,
    },
    /// The adapter exists but gives no device, or one below what the kernels need.
    #[error("adapter {adapter} cannot be used: {reason}")]
    Adapter {
        /// The adapter's name.
        adapter: String,
        /// What it said, or what it lacks.
        reason: String,
    },
    /// A kernel does not compile on this adapter.
    #[error("kernel {kernel} does not compile: {reason}")]
    Kernel {
        /// The kernel's name: its file stem and entry point.
        kernel: &'static str,
        /// The compiler's message.
        reason: String,
    },
    /// The device is gone or unusable. Everything on it is lost; open a new [`Device`](crate::Device) and rebuild.
    #[error("the GPU device was lost ({reason}); open the device anew and rebuild its caches")]
    DeviceLost {
        /// The driver's words.
        reason: String,
    },
    /// A buffer would grow beyond a limit.
    #[error("{what} needs {needed} but the limit is {limit}: {remedy}")]
    Limit {
        /// What would be too large, with its unit.
        what: &'static str,
        /// How much is needed.
        needed: u64,
        /// How much there may be.
        limit: u64,
        /// What to change.
        remedy: &'static str,
    },
    /// The machine or the device has not so much memory.
    #[error("no memory for {bytes} {what}: {remedy}")]
    Memory {
        /// What it was for, with its unit.
        what: &'static str,
        /// How much was asked for.
        bytes: u64,
        /// What to change.
        remedy: &'static str,
    },
    /// Tensors that are missing, unknown, or of another shape.
    #[error("the tensors do not fit this model: {0}; load the file that was saved with these settings")]
    Tensors(String),
    /// An argument whose parts do not fit together: a mistake of the caller, found before any state was touched.
    #[error("{0}")]
    Shape(String),
}

impl Error {
    /// Whether a new device may help: the caller drops what lives on the old one, opens another and rebuilds.
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Error::DeviceLost { .. })
    }
}
