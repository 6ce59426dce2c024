//! Who is to be published when: at most once in `encodings.min_interval_ms` of log time, and never left behind.

use std::collections::{BTreeMap, BTreeSet};

/// The publication of users of all tasks of a worker.
#[derive(Debug)]
pub struct Due {
    interval_ms: i64,
    /// By user slot: his newest event time when he was last published.
    last: Vec<i64>,
    /// By task: users that wait for a watermark.
    waiting: BTreeMap<i32, BTreeSet<(i64, u32)>>,
}

impl Due {
    /// Nobody waits; `interval_ms` = 0 publishes at every touch.
    pub fn new(interval_ms: i64) -> Self {
        Self { interval_ms, last: Vec::new(), waiting: BTreeMap::new() }
    }

    /// Whether a user who was touched at event time `time` is to be published now; else he waits.
    pub fn touch(&mut self, task: i32, user: u32, time: i64) -> bool {
        if self.interval_ms == 0 {
            return true;
        }
        if self.last.len() <= user as usize {
            self.last.resize(user as usize + 1, i64::MIN);
        }
        let last = self.last[user as usize];
        let at = last.saturating_add(self.interval_ms);
        let now = last == i64::MIN || time >= at;
        if now {
            self.publish(task, user, time);
        } else {
            self.waiting.entry(task).or_default().insert((at, user));
        }
        now
    }

    /// A user who was touched while his task was muted: he waits until his old publications are surely over.
    pub fn defer(&mut self, task: i32, user: u32, time: i64) {
        if self.interval_ms > 0 {
            self.waiting.entry(task).or_default().insert((time.saturating_add(self.interval_ms), user));
        }
    }

    /// Takes those of `task` whose time has come at `watermark`.
    pub fn take(&mut self, task: i32, watermark: i64) -> Vec<u32> {
        let Some(waiting) = self.waiting.get_mut(&task) else { return Vec::new() };
        let later = waiting.split_off(&(watermark.saturating_add(1), 0));
        let due = std::mem::replace(waiting, later);
        due.into_iter().map(|(_, user)| user).collect()
    }

    /// The user is published with what he is at event time `time`.
    pub fn publish(&mut self, task: i32, user: u32, time: i64) {
        if self.interval_ms == 0 {
            return;
        }
        if self.last.len() <= user as usize {
            self.last.resize(user as usize + 1, i64::MIN);
        }
        let last = std::mem::replace(&mut self.last[user as usize], time);
        if let Some(waiting) = self.waiting.get_mut(&task) {
            waiting.remove(&(last.saturating_add(self.interval_ms), user));
        }
    }

    /// The tasks in which somebody waits.
    pub fn tasks(&self) -> Vec<i32> {
        self.waiting.keys().copied().collect()
    }

    /// Forgets a user; his slot may be another's from now on.
    pub fn forget_user(&mut self, task: i32, user: u32) {
        if let Some(last) = self.last.get_mut(user as usize) {
            *last = i64::MIN;
        }
        if let Some(waiting) = self.waiting.get_mut(&task) {
            waiting.retain(|&(_, waits)| waits != user);
        }
    }

    /// Forgets a task; slots may be other users' from now on.
    pub fn forget(&mut self, task: i32) {
        self.waiting.remove(&task);
        self.last.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_user_is_published_once_an_interval_and_never_left_behind() {
        let mut due = Due::new(1000);
        assert!(due.touch(0, 7, 5_000));
        assert!(!due.touch(0, 7, 5_500));
        assert!(!due.touch(0, 7, 5_900));
        assert!(due.take(0, 5_999).is_empty());
        assert_eq!(due.take(0, 6_000), [7]);
        due.publish(0, 7, 5_900);
        assert!(due.take(0, i64::MAX).is_empty());
        assert!(!due.touch(0, 7, 6_000));
        assert!(due.touch(0, 7, 6_900));
        assert!(due.take(0, i64::MAX).is_empty(), "who was published does not wait any longer");
    }

    #[test]
    fn without_an_interval_every_touch_publishes() {
        let mut due = Due::new(0);
        assert!(due.touch(0, 1, 1) && due.touch(0, 1, 1));
    }
}
