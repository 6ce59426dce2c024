//! A tape on its backend.

use std::sync::Arc;

use super::{Cpu, Feed, OnGpu, Run, Tape};
use crate::{Device, Error};

/// A tape and the memory to run it, on the CPU or a GPU.
#[derive(Debug)]
pub struct Engine {
    tape: Arc<Tape>,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Cpu(Box<Cpu<f32>>),
    Gpu(Box<OnGpu>),
}

impl Engine {
    /// Memory for the tape on `device`; it grows with use.
    ///
    /// # Errors
    /// What the device says.
    pub fn new(device: &Device, tape: Tape) -> Result<Engine, Error> {
        let tape = Arc::new(tape);
        let backend = match device {
            Device::Cpu => Backend::Cpu(Box::new(Cpu::new(tape.clone()))),
            Device::Gpu(gpu) => Backend::Gpu(Box::new(OnGpu::new(gpu, tape.clone())?)),
        };
        Ok(Engine { tape, backend })
    }

    /// The recording.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// As [`Cpu::run`].
    ///
    /// # Errors
    /// What the device says.
    pub fn run(
        &mut self,
        parameters: &[f32],
        feed: &Feed<f32>,
        gradient: Option<&mut [f32]>,
    ) -> Result<Run<f32>, Error> {
        match &mut self.backend {
            Backend::Cpu(cpu) => Ok(cpu.run(parameters, feed, gradient)),
            Backend::Gpu(gpu) => gpu.run(parameters, feed, gradient),
        }
    }
}
