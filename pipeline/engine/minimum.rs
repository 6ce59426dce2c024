//! The minimum of the source partitions' watermarks, as one by-user partition is told of them.

use std::collections::BTreeMap;

use schemas::packed::{Control, Progress};
use serde::{Deserialize, Serialize};

/// The watermarks of all source partitions that routers have named, and their minimum, which never falls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minimum {
    /// By topic and partition.
    sources: BTreeMap<String, BTreeMap<i32, Source>>,
    in_force: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    watermark: i64,
    idle: bool,
}

impl Default for Minimum {
    fn default() -> Self {
        Self { sources: BTreeMap::new(), in_force: i64::MIN }
    }
}

impl Minimum {
    /// The minimum in force, in ms; `i64::MIN` (−∞) before every named partition was heard from.
    pub fn in_force(&self) -> i64 {
        self.in_force
    }

    /// Takes what one record tells, all at once; returns the minimum in force from then on.
    ///
    /// A partition that was never named before enters at the minimum in force, which is −∞ at first.
    pub fn apply(&mut self, controls: &[Control]) -> i64 {
        for control in controls {
            let entered = Source { watermark: self.in_force, idle: false };
            let topic = match self.sources.get_mut(&control.topic) {
                Some(topic) => topic,
                None => self.sources.entry(control.topic.clone()).or_default(),
            };
            let source = topic.entry(control.partition).or_insert(entered);
            match control.progress {
                Progress::Named => {}
                Progress::At(watermark) => {
                    source.watermark = source.watermark.max(watermark);
                    source.idle = false;
                }
                Progress::Idle => source.idle = true,
            }
        }
        let sources = self.sources.values().flat_map(BTreeMap::values);
        let live = sources.filter(|source| !source.idle).map(|source| source.watermark).min();
        self.in_force = self.in_force.max(live.unwrap_or(i64::MIN));
        self.in_force
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(progress: &[(i32, Progress)]) -> Vec<Control> {
        let control = |&(partition, progress)| Control { topic: "events".into(), partition, progress };
        progress.iter().map(control).collect()
    }

    #[test]
    fn one_never_heard_from_holds_everything_back() {
        let mut minimum = Minimum::default();
        assert_eq!(minimum.apply(&told(&[(0, Progress::At(100)), (1, Progress::Named)])), i64::MIN);
        assert_eq!(minimum.apply(&told(&[(1, Progress::At(50))])), 50);
        assert_eq!(minimum.apply(&told(&[(1, Progress::At(200))])), 100);
    }

    #[test]
    fn idle_ones_are_left_out_and_the_minimum_never_falls() {
        let mut minimum = Minimum::default();
        minimum.apply(&told(&[(0, Progress::At(100)), (1, Progress::At(10))]));
        assert_eq!(minimum.apply(&told(&[(1, Progress::Idle)])), 100);
        assert_eq!(minimum.apply(&told(&[(1, Progress::At(20))])), 100, "it came back behind");
        assert_eq!(minimum.apply(&told(&[(0, Progress::At(500))])), 100, "and holds the minimum until it catches up");
        assert_eq!(minimum.apply(&told(&[(0, Progress::Idle), (1, Progress::Idle)])), 100, "none is left");
    }

    #[test]
    fn a_partition_added_later_enters_at_the_minimum_in_force() {
        let mut minimum = Minimum::default();
        minimum.apply(&told(&[(0, Progress::At(100))]));
        assert_eq!(minimum.apply(&told(&[(1, Progress::Named), (0, Progress::At(300))])), 100);
        assert_eq!(minimum.apply(&told(&[(1, Progress::At(i64::MAX))])), 300);
    }

    #[test]
    fn the_end_of_all_is_the_end_of_time() {
        let mut minimum = Minimum::default();
        assert_eq!(minimum.apply(&told(&[(0, Progress::At(i64::MAX)), (1, Progress::At(i64::MAX))])), i64::MAX);
    }
}
