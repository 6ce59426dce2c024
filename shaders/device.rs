//! Which machine runs the kernels.

use crate::{Error, Gpu};

/// The setting `device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// A hardware GPU where there is one, else the CPU. A software adapter is never taken: the CPU backend is faster.
    #[default]
    Auto,
    /// The CPU backend.
    Cpu,
    /// Any adapter, hardware first, a software one (lavapipe) included; without one, an error.
    Gpu,
}

impl std::str::FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Choice, Error> {
        match text {
            "auto" => Ok(Choice::Auto),
            "cpu" => Ok(Choice::Cpu),
            "gpu" => Ok(Choice::Gpu),
            other => Err(Error::Shape(format!("device is {other:?}, but must be \"auto\", \"cpu\" or \"gpu\""))),
        }
    }
}

/// A backend. Cloning is cheap: clones of a GPU share one device and one queue.
#[derive(Debug, Clone)]
pub enum Device {
    /// Plain Rust on slices, threads by rayon.
    Cpu,
    /// wgpu: Vulkan, Metal or DX12.
    Gpu(Gpu),
}

impl Device {
    /// Opens the backend that `choice` names.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] for `Choice::Gpu` on a machine without any, [`Error::Adapter`] where one cannot be used.
    pub fn open(choice: Choice) -> Result<Device, Error> {
        match choice {
            Choice::Cpu => Ok(Device::Cpu),
            Choice::Gpu => Gpu::open(true)?
                .map(Device::Gpu)
                .ok_or_else(|| Error::NoAdapter { searched: Gpu::searched().to_owned() }),
            Choice::Auto => Ok(Gpu::open(false)?.map_or(Device::Cpu, Device::Gpu)),
        }
    }

    /// The same backend again, after its device was lost.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn reopen(&self) -> Result<Device, Error> {
        match self {
            Device::Cpu => Ok(Device::Cpu),
            Device::Gpu(gpu) => gpu.reopen().map(Device::Gpu),
        }
    }

    /// A name for logs: the adapter's and its backend, or `CPU`.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu => "CPU".to_owned(),
            Device::Gpu(gpu) => gpu.name().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_one_of_three_words() {
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("cpu".parse(), Ok(Choice::Cpu));
        assert_eq!("gpu".parse(), Ok(Choice::Gpu));
        let error = "GPU".parse::<Choice>().unwrap_err().to_string();
        assert!(error.contains("\"GPU\"") && error.contains("\"auto\""), "{error}");
    }

    #[test]
    fn cpu_is_always_there_and_auto_never_takes_a_software_adapter() {
        assert_eq!(Device::open(Choice::Cpu).unwrap().name(), "CPU");
        match Device::open(Choice::Auto).unwrap() {
            Device::Cpu => {}
            Device::Gpu(gpu) => assert!(!gpu.is_software(), "auto took {}", gpu.name()),
        }
    }

    #[test]
    fn gpu_takes_any_adapter() {
        let device = Device::open(Choice::Gpu).unwrap_or_else(|error| panic!("{error}"));
        assert!(matches!(device, Device::Gpu(_)));
        assert_ne!(device.name(), "CPU");
    }

    #[test]
    fn a_missing_adapter_says_what_to_install() {
        let error = Error::NoAdapter { searched: Gpu::searched().to_owned() }.to_string();
        assert!(error.contains("mesa-vulkan-drivers") && error.contains("device = \"cpu\""), "{error}");
    }
}
