//! How far each source partition of the events has come in event time.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::packed::Progress;
use serde::{Deserialize, Serialize};

/// What a router keeps with the committed offset of a source partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The newest event time seen in the partition, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_max: Option<i64>,
}

impl Kept {
    /// What stood with an offset; nothing where no router wrote it.
    pub fn read(metadata: &str) -> Self {
        serde_json::from_str(metadata).unwrap_or_default()
    }

    /// What is to stand with the offset.
    pub fn write(self) -> String {
        serde_json::to_string(&self).expect("a number becomes JSON")
    }
}

/// One source partition.
#[derive(Clone, Debug)]
pub struct Source {
    kept: Kept,
    out_of_orderness_ms: i64,
    /// Since when the reader has stood at the partition's end, by the worker's clock.
    at_end_since: Option<Duration>,
    idle: bool,
    finished: bool,
}

impl Source {
    /// A partition as its committed offset tells of it.
    pub fn new(kept: Kept, out_of_orderness_ms: i64) -> Self {
        Self { kept, out_of_orderness_ms, at_end_since: None, idle: false, finished: false }
    }

    /// The watermark: the newest event time less the out-of-orderness; `i64::MIN` before the first event.
    pub fn watermark(&self) -> i64 {
        self.kept.time_max.map_or(i64::MIN, |max| max.saturating_sub(self.out_of_orderness_ms))
    }

    /// What is to be kept with the partition's offset.
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// A record was read: the partition is live.
    pub fn read(&mut self) {
        self.at_end_since = None;
        self.idle = false;
    }

    /// An event of this time was read.
    pub fn saw(&mut self, time: i64) {
        self.kept.time_max = self.kept.time_max.max(Some(time));
    }

    /// The reader stands at the partition's end.
    pub fn at_end(&mut self, now: Duration) {
        self.at_end_since.get_or_insert(now);
    }

    /// Nothing will ever come again.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether it has stood at its end and been silent for `timeout`: idle from then on until a record comes.
    pub fn check_idle(&mut self, now: Duration, timeout: Duration) {
        self.idle |= self.at_end_since.is_some_and(|since| now.saturating_sub(since) >= timeout);
    }

    /// What the by-user partitions are told.
    pub fn progress(&self) -> Progress {
        match (self.finished, self.idle, self.watermark()) {
            (true, _, _) => Progress::At(i64::MAX),
            (_, true, _) => Progress::Idle,
            (_, _, i64::MIN) => Progress::Named,
            (_, _, watermark) => Progress::At(watermark),
        }
    }
}

/// What one by-user partition has been told of each source partition.
#[derive(Clone, Debug, Default)]
pub struct Told(BTreeMap<i32, Progress>);

impl Told {
    /// What is news about `partition`, if anything; it counts as told from now on.
    pub fn news(&mut self, partition: i32, progress: Progress) -> Option<Progress> {
        let old = self.0.insert(partition, progress);
        (old != Some(progress)).then_some(progress)
    }

    /// Whether it would be news.
    pub fn is_news(&self, partition: i32, progress: Progress) -> bool {
        self.0.get(&partition) != Some(&progress)
    }

    /// Forgets everything: all is news again.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    #[test]
    fn idle_is_at_the_end_and_silent() {
        let mut source = Source::new(Kept { time_max: Some(1000) }, 100);
        source.check_idle(TIMEOUT * 10, TIMEOUT);
        assert_eq!(source.progress(), Progress::At(900), "silent, but not at its end");
        source.at_end(TIMEOUT);
        source.at_end(TIMEOUT * 2);
        source.check_idle(TIMEOUT * 2 - Duration::from_millis(1), TIMEOUT);
        assert_eq!(source.progress(), Progress::At(900));
        source.check_idle(TIMEOUT * 2, TIMEOUT);
        assert_eq!(source.progress(), Progress::Idle);
        source.read();
        source.saw(900);
        assert_eq!(source.progress(), Progress::At(900), "an older event moves nothing");
    }

    #[test]
    fn progress_survives_in_the_offset() {
        let kept = Kept { time_max: Some(-5) };
        assert_eq!(Kept::read(&kept.write()), kept);
        assert_eq!(Kept::read(""), Kept::default());
    }
}
