//! Who goes: users whom nothing has touched for longest, when state is beyond its limit.

use std::collections::{BTreeMap, HashSet};

use super::{Cold, ColdError, packed::write, timer_key, user_key};
use crate::{
    state::{Left, State},
    user::User,
    views::window::next_look,
};

/// One search makes room for this part of the limit, so that it is worth its pass over the users.
const PART: usize = 64;
/// Entries are written when they hold so many bytes.
const WRITE_BYTES: usize = 4 << 20;

impl State {
    /// Brings state below its limit, as far as there are users whom nothing has touched in the open transaction.
    pub(crate) fn evict(&mut self) -> Result<(), ColdError> {
        let Some(mut cold) = self.cold.take_if(|cold| self.store.bytes() + self.user_bytes > cold.search_above) else {
            return Ok(());
        };
        let went = self.evict_to(&mut cold);
        let bytes = self.bytes();
        cold.search_above = cold.limit_bytes.max(bytes + cold.limit_bytes / PART);
        if bytes <= cold.limit_bytes {
            cold.search_above = cold.limit_bytes;
        }
        self.cold = Some(cold);
        went
    }

    fn evict_to(&mut self, cold: &mut Cold) -> Result<(), ColdError> {
        let target = cold.limit_bytes - cold.limit_bytes / PART;
        let pending: HashSet<u32> = self.pending.iter().map(|pending| pending.user).collect();
        let is_idle = |slot: u32, user: &User| {
            let Some(task) = self.tasks.get(&user.task) else { return false };
            let may_go = user.touched == 0 && !user.is_due && user.ordinal > 0 && !pending.contains(&slot);
            may_go
                && (cold.keep_ms == 0 || self.store.time(user.newest()).saturating_add(cold.keep_ms) <= task.watermark)
        };
        let mut idle: Vec<(u32, u32)> = Vec::new();
        for (slot, user) in self.users.iter().enumerate() {
            if is_idle(slot as u32, user) {
                idle.push((user.used, slot as u32));
            }
        }
        // Only who goes has to be in order: about as many as the bytes to be freed.
        let excess = self.bytes().saturating_sub(target);
        let about = (idle.len() as u64 * 2 * excess as u64 / self.bytes().max(1) as u64) as usize + 64;
        if about < idle.len() {
            idle.select_nth_unstable(about);
            idle.truncate(about);
        }
        idle.sort_unstable();
        let (mut left, row_bytes) = (self.bytes(), self.store.row_bytes());
        let goes = |idle: &&(u32, u32)| {
            let user = &self.users[idle.1 as usize];
            let is_needed = left > target;
            left = left.saturating_sub(user.weight + user.history.len() * row_bytes);
            is_needed
        };
        let going: Vec<u32> = idle.iter().take_while(goes).map(|(_, slot)| *slot).collect();
        self.write_out(cold, &going)?;
        self.take_out(&going);
        Ok(())
    }

    /// Writes users to the store.
    fn write_out(&mut self, cold: &mut Cold, users: &[u32]) -> Result<(), ColdError> {
        let mut by_task: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
        users.iter().for_each(|&user| by_task.entry(self.users[user as usize].task).or_default().push(user));
        for (task, users) in by_task {
            let (mut entries, mut bytes) = (Vec::new(), 0);
            for user in users {
                bytes += self.enter(task, user, &mut entries);
                if bytes >= WRITE_BYTES {
                    cold.store.put(task, std::mem::take(&mut entries))?;
                    bytes = 0;
                }
            }
            cold.store.put(task, entries)?;
            self.task(task).has_cold = true;
        }
        Ok(())
    }

    /// Appends a user's entries; returns the bytes of his state.
    fn enter(&mut self, task: i32, slot: u32, entries: &mut Vec<(Vec<u8>, Vec<u8>)>) -> usize {
        let Self { users, store, windows, tasks, user_ttl_ms, .. } = self;
        let (user, task) = (&users[slot as usize], tasks.get_mut(&task).expect("users are dropped with their task"));
        let mut value = Vec::new();
        write(user, store, &mut value);
        let bytes = value.len();
        entries.push((user_key(&user.id), value));
        let mut ends: Vec<(usize, i64)> = Vec::new();
        for open in user.windows.chunk_by(|a, b| a.view == b.view) {
            let view = usize::from(open[0].view);
            let closed = task.closed_of(view, &user.id);
            let next = open.iter().filter_map(|open| next_look(windows[view], open.start, open.end, closed)).min();
            ends.extend(next.filter(|next| *next < i64::MAX).map(|next| (view, next)));
        }
        ends.extend(user_ttl_ms.map(|ttl_ms| (windows.len(), user.idle_end(store, ttl_ms))));
        for (list, end) in ends {
            task.cold_ends[list] = task.cold_ends[list].min(end);
            entries.push((timer_key(list, end, user.id.as_bytes()), Vec::new()));
        }
        if user.has_changed {
            task.cold_changed.push(user.id.clone());
        }
        bytes
    }

    /// Takes users out of memory who are in the store as they are.
    pub(crate) fn take_out(&mut self, users: &[u32]) {
        if users.is_empty() {
            return;
        }
        let mut goes = vec![false; self.users.len()];
        users.iter().for_each(|&user| goes[user as usize] = true);
        for task in self.tasks.values_mut() {
            for timers in &mut task.timers {
                timers.retain(|_, users| {
                    users.retain(|&user| !goes[user as usize]);
                    !users.is_empty()
                });
            }
        }
        for &user in users {
            let user = &self.users[user as usize];
            self.store.free(user.history.iter().chain(&user.items));
        }
        for left in self.remove(users) {
            self.left.push(Left { user_id: None, ..left });
        }
    }
}
