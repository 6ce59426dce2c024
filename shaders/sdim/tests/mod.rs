//! Both backends against the published vectors, against each other, and against a naive reference.

mod golden;
mod normalizing;
mod properties;
mod reading;
mod twins;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::Choice;

fn gpu() -> Device {
    Device::open(Choice::Gpu).unwrap_or_else(|error| panic!("{error}"))
}

fn backends() -> [Device; 2] {
    [Device::Cpu, gpu()]
}

fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    (random.next_u64() % limit as u64) as usize
}

/// `items` quantized vectors of random direction and length at most 1, flat.
fn vectors(random: &mut ChaCha8Rng, items: usize, dim: usize) -> Vec<i16> {
    let mut out = Vec::new();
    for _ in 0..items {
        let raw: Vec<f32> = (0..dim).map(|_| (random.next_u32() as f32 / u32::MAX as f32) * 2.0 - 1.0).collect();
        let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-3);
        let unit: Vec<f32> = raw.iter().map(|x| x / length).collect();
        quantize(&unit, &mut out);
    }
    out
}

/// An owned [`Batch`].
#[derive(Debug, Clone, Default)]
struct Case {
    slots: Vec<u32>,
    fresh: Vec<bool>,
    offsets: Vec<u32>,
    changes: Vec<Change>,
    publish: Vec<u32>,
}

impl Case {
    fn new() -> Case {
        Case { offsets: vec![0], ..Case::default() }
    }

    /// One more user; all are published in order of being named.
    fn user(mut self, slot: usize, fresh: bool, changes: impl IntoIterator<Item = (usize, i32)>) -> Case {
        self.publish.push(self.slots.len() as u32);
        self.slots.push(slot as u32);
        self.fresh.push(fresh);
        self.changes.extend(changes.into_iter().map(|(item, sign)| Change { item: item as u32, sign }));
        self.offsets.push(self.changes.len() as u32);
        self
    }

    fn encode(&self, sdim: &mut Sdim, vectors: &[i16], signatures: &[u64]) -> Result<Vec<u16>, Error> {
        let vectors: Vec<&[i16]> = vectors.chunks_exact(sdim.shape.dim).collect();
        let Case { slots, fresh, offsets, changes, publish } = self;
        let mut tables = vec![0xdead; 3];
        let batch = Batch { slots, fresh, offsets, changes, publish, vectors: &vectors, signatures };
        sdim.encode(&batch, &mut tables).map(|()| tables)
    }
}
