//! Who comes back: users who are touched or asked for, and those of whom a window closes.

use super::{AFTER, ColdError, packed, packed::read, timer_key, timer_of, user_key};
use crate::{state::State, views::window::next_look};

/// Most users that come back at once to close windows.
const CHUNK: usize = 8192;

impl State {
    /// Brings a user back, where he is in the store; his windows are armed again.
    pub(crate) fn thaw(&mut self, task: i32, id: &str) -> Result<Option<u32>, ColdError> {
        let Some(cold) = &self.cold else { return Ok(None) };
        if !self.tasks.get(&task).is_some_and(|task| task.has_cold) {
            return Ok(None);
        }
        let Some(bytes) = cold.store.get(task, &user_key(id))? else { return Ok(None) };
        let user = read(&bytes, &mut self.store)
            .ok_or_else(|| ColdError(format!("user {id:?} of partition {task} comes back damaged")))?;
        let slot = self.seat(task, id).expect("the task is there");
        let seat = &mut self.users[slot as usize];
        (seat.ordinal, seat.has_changed, seat.event_ids) = (user.ordinal, user.has_changed, user.event_ids);
        (seat.history, seat.items) = (user.history, user.items);
        (seat.windows, seat.seen, seat.note) = (user.windows, user.seen, user.note);
        if seat.has_changed {
            self.task(task).changed.push(slot);
        }
        self.arm_all(task, slot);
        self.weigh(slot);
        Ok(Some(slot))
    }

    /// Has a user looked at when his time comes.
    pub(crate) fn arm_all(&mut self, task: i32, slot: u32) {
        self.arm_windows(task, slot);
        let newest = self.users[slot as usize].newest();
        self.users[slot as usize].newest_ms = Some(self.store.time(newest));
        if let Some(ttl_ms) = self.user_ttl_ms {
            let end = self.users[slot as usize].idle_end(&self.store, ttl_ms);
            self.arm(task, self.windows.len(), end, slot);
        }
    }

    /// Has all windows of a user looked at when their time comes.
    pub(crate) fn arm_windows(&mut self, task: i32, slot: u32) {
        let user = &self.users[slot as usize];
        let of = self.tasks.get_mut(&task).expect("users are dropped with their task");
        for open in &user.windows {
            let view = usize::from(open.view);
            let next = next_look(self.windows[view], open.start, open.end, of.closed_of(view, &user.id));
            if let Some(next) = next.filter(|next| *next < i64::MAX) {
                let users = of.timers[view].entry(next).or_default();
                if users.last() != Some(&slot) {
                    users.push(slot);
                }
            }
        }
    }

    /// When the next window of a view is looked at, of a user in memory or not; none where no window is armed.
    pub(crate) fn next_end(&self, task: i32, view: usize) -> Option<i64> {
        let task = &self.tasks[&task];
        let cold = Some(task.cold_ends[view]).filter(|end| *end < i64::MAX);
        let warm = task.timers[view].first_key_value().map(|(end, _)| *end);
        warm.into_iter().chain(cold).min()
    }

    /// Brings back who has a window of a view that is looked at `end`; where those are many, the first by their ids:
    /// returns up to whom.
    pub(crate) fn wake(&mut self, task: i32, view: usize, end: i64) -> Result<Option<Box<str>>, ColdError> {
        if self.tasks[&task].cold_ends[view] > end {
            return Ok(None);
        }
        let keys = |state: &Self, from: Vec<u8>, to: Vec<u8>, most| {
            state.cold.as_ref().map_or(Ok(Vec::new()), |cold| cold.store.keys(task, &from, &to, most))
        };
        let woken = keys(self, timer_key(view, end, b""), timer_key(view, end, AFTER), CHUNK)?;
        let mut last = None;
        for key in &woken {
            let Some((_, id)) = timer_of(key) else { continue };
            if self.resident(task, id).is_none() {
                self.thaw(task, id)?;
            }
            last = Some(id);
        }
        let up_to = last.filter(|_| woken.len() == CHUNK).map(Box::from);
        if let Some(cold) = &mut self.cold {
            cold.store.remove(task, woken)?;
        }
        let next = keys(self, timer_key(view, end, b""), timer_key(view, i64::MAX, AFTER), 1)?;
        let next = next.first().and_then(|key| timer_of(key)).map_or(i64::MAX, |(end, _)| end);
        self.task(task).cold_ends[view] = next;
        Ok(up_to)
    }

    /// Whether a user is known, in memory or not.
    pub(crate) fn knows(&self, task: i32, id: &str) -> Result<bool, ColdError> {
        if self.resident(task, id).is_some() {
            return Ok(true);
        }
        let has_cold = self.tasks.get(&task).is_some_and(|task| task.has_cold);
        let Some(cold) = self.cold.as_ref().filter(|_| has_cold) else { return Ok(false) };
        Ok(cold.store.get(task, &user_key(id))?.is_some())
    }

    /// Takes one who changed since the last export and went since, for it: he comes back, and his entry says that he has
    /// not changed. None where he is back already or has not changed any more.
    pub(crate) fn thaw_changed(&mut self, task: i32, id: &str) -> Result<Option<u32>, ColdError> {
        let Some(cold) = &mut self.cold else { return Ok(None) };
        let key = user_key(id);
        let bytes = match cold.store.get(task, &key)? {
            Some(bytes) if packed::has_changed(&bytes) => bytes,
            _ => return Ok(None),
        };
        let mut settled = bytes;
        settled[0] = 0;
        cold.store.put(task, vec![(key, settled)])?;
        self.thaw(task, id)
    }
}
