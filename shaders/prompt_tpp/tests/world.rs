//! Random users.

use crate::prompt_tpp::{Batch, Config, NEVER_MS};
use crate::random::{generator, uniform};

/// Sequences of a batch, owned.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub offsets: Vec<u32>,
    pub types: Vec<u32>,
    pub times_ms: Vec<i64>,
    pub context: Vec<u32>,
    pub first_target: Vec<u32>,
    pub open_until_ms: Vec<i64>,
}

impl World {
    /// Sequences of these lengths, types below `types`, exponential gaps of mean 1 s; every third is still open, every
    /// fourth has no context.
    pub fn new(lengths: &[usize], types: usize, seed: u64) -> World {
        let mut random = generator(seed, 0);
        let mut world = World { offsets: vec![0], ..World::default() };
        for (b, &length) in lengths.iter().enumerate() {
            let mut time = 1.6e12 + uniform(&mut random) * 1e9;
            for _ in 0..length {
                time += -1000.0 * (1.0 - uniform(&mut random)).ln();
                world.times_ms.push(time as i64);
                world.types.push((uniform(&mut random) * types as f64) as u32);
            }
            world.offsets.push(world.types.len() as u32);
            let context = if b % 4 == 3 { 0 } else { length / 2 };
            world.context.push(context as u32);
            world.first_target.push(context.max(1) as u32);
            world.open_until_ms.push(if b % 3 == 0 { time as i64 + 700 } else { NEVER_MS });
        }
        world
    }

    pub fn batch(&self) -> Batch<'_> {
        Batch {
            offsets: &self.offsets,
            types: &self.types,
            times_ms: &self.times_ms,
            context: &self.context,
            first_target: &self.first_target,
            open_until_ms: &self.open_until_ms,
        }
    }

    /// Sequence b alone.
    pub fn alone(&self, b: usize) -> World {
        let range = self.offsets[b] as usize..self.offsets[b + 1] as usize;
        World {
            offsets: vec![0, range.len() as u32],
            types: self.types[range.clone()].to_vec(),
            times_ms: self.times_ms[range].to_vec(),
            context: vec![self.context[b]],
            first_target: vec![self.first_target[b]],
            open_until_ms: vec![self.open_until_ms[b]],
        }
    }
}

/// A small model with everything in it.
pub fn small() -> Config {
    Config {
        types: 5,
        width: 8,
        time_width: 4,
        order_width: 4,
        pool: 6,
        chosen: 2,
        prompt_rows: 2,
        hidden: 12,
        components: 3,
        novelty: 0.0,
        recent: 3,
        clock_inputs: true,
        intensity: true,
        samples: [3, 4],
        unit_ms: 700.0,
        log_gap_mean: -0.3,
        log_gap_deviation: 1.2,
        rise_steps: 1,
        ..Config::default()
    }
}
