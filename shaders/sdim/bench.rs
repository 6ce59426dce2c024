//! What SDIM does for a request and for an event, ready to be timed.

use super::{Batch, Change, Config, Sdim, Window, hash_matrix_of, quantize};
use crate::bench::unit_vectors;
use crate::{Device, Error};

/// A user with `length` items in his window, and `candidates` to be scored, on the CPU.
#[derive(Debug)]
pub struct Request {
    sdim: Sdim,
    candidates: Vec<i16>,
    signatures: Vec<u64>,
    window: Vec<i16>,
    window_signatures: Vec<u64>,
    reads: Vec<f32>,
}

impl Request {
    /// Random unit vectors; the table is ready where `kept`. `config` has at least one slot.
    ///
    /// # Errors
    /// Where `config` is wrong.
    pub fn new(config: Config, length: usize, candidates: usize, kept: bool) -> Result<Request, Error> {
        let mut sdim = Sdim::new(&Device::Cpu, config, &hash_matrix_of(config.bits, config.dim))?;
        let mut window = Vec::new();
        quantize(&unit_vectors(length as u64, length + candidates, config.dim), &mut window);
        let candidates = window.split_off(length * config.dim);
        let window_signatures = sdim.simhash(&window)?;
        let signatures = sdim.simhash(&candidates)?;
        if kept {
            let changes: Vec<_> = (0..length as u32).map(|item| Change { item, sign: 1 }).collect();
            fold(&mut sdim, &window, &window_signatures, &changes)?;
        }
        Ok(Request { sdim, candidates, signatures, window, window_signatures, reads: Vec::new() })
    }

    /// Hashes the candidates and reads the table.
    ///
    /// # Errors
    /// None that was not met before.
    pub fn read(&mut self) -> Result<&[f32], Error> {
        self.sdim.read(0, &self.candidates, &mut self.reads)?;
        Ok(&self.reads)
    }

    /// Reads the table for candidates whose signatures are known.
    ///
    /// # Errors
    /// None that was not met before.
    pub fn read_hashed(&mut self) -> Result<&[f32], Error> {
        self.sdim.read_hashed(0, &self.signatures, &mut self.reads)?;
        Ok(&self.reads)
    }

    /// Reads the window, without a table, for candidates whose signatures are known.
    ///
    /// # Errors
    /// None that was not met before.
    pub fn read_window(&mut self) -> Result<&[f32], Error> {
        let vectors: Vec<&[i16]> = self.window.chunks_exact(self.sdim.config().dim).collect();
        let window = Window { vectors: &vectors, signatures: &self.window_signatures };
        self.sdim.read_window(&window, &self.signatures, &mut self.reads)?;
        Ok(&self.reads)
    }

    /// Every item of the window comes once more, is hashed and added, and one that stood there goes.
    ///
    /// # Errors
    /// None that was not met before.
    pub fn update(&mut self) -> Result<(), Error> {
        let signatures = self.sdim.simhash(&self.window)?;
        let items = signatures.len() as u32 / self.sdim.config().signature_words() as u32;
        let both = |item| [Change { item, sign: 1 }, Change { item: items - 1 - item, sign: -1 }];
        let changes: Vec<_> = (0..items).flat_map(both).collect();
        fold(&mut self.sdim, &self.window, &signatures, &changes)
    }
}

fn fold(sdim: &mut Sdim, vectors: &[i16], signatures: &[u64], changes: &[Change]) -> Result<(), Error> {
    let vectors: Vec<&[i16]> = vectors.chunks_exact(sdim.config().dim).collect();
    let offsets = [0, changes.len() as u32];
    let batch =
        Batch { slots: &[0], fresh: &[false], offsets: &offsets, changes, vectors: &vectors, signatures, publish: &[] };
    sdim.encode(&batch, &mut Vec::new())
}
