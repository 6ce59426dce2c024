//! Synthetic users as the input of a run.

use super::{Append, Feed, RunError};
use crate::synthetic::World;

/// So many events of a synthetic world, and the vectors of its items.
pub struct Generated<W> {
    world: W,
    events: u64,
    /// The length of item vectors; none where they are not wanted.
    dim: Option<usize>,
}

impl<W: World> Generated<W> {
    /// The next `events` events of `world`.
    pub fn new(world: W, events: u64, dim: Option<usize>) -> Self {
        Self { world, events, dim }
    }
}

impl<W: World> Feed for Generated<W> {
    fn partitions(&self, topic: &str) -> i32 {
        i32::from(topic == "events" || (topic == "items" && self.dim.is_some()))
    }

    fn feed(&mut self, append: &mut Append<'_>) -> Result<(), RunError> {
        let mut line = Vec::new();
        if let Some(dim) = self.dim {
            for item in 0..self.world.items() {
                line.clear();
                self.world.item(item, dim, &mut line);
                append("items", 0, &line)?;
            }
        }
        for _ in 0..self.events {
            line.clear();
            self.world.event(&mut line);
            append("events", 0, &line)?;
        }
        Ok(())
    }
}
