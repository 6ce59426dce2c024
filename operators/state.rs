//! The state of a worker: rows, users, tasks, and what is pending.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Counters, EmitMode, FoldConfig, Views, store::Store, touched::Touched, user::User};

/// A row that arrived and is not folded yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) slot: u32,
    pub(crate) user: u32,
    /// The greater of its stamp and the minimum at its place.
    pub(crate) watermark: i64,
    /// The user's newest row once this one is in his history.
    pub(crate) newest: u32,
}

/// A by-user partition.
#[derive(Default)]
pub(crate) struct Task {
    table: HashTable<u32>,
    /// Per view: when which users have a window to close.
    pub(crate) timers: Vec<BTreeMap<i64, Vec<u32>>>,
    pub(crate) watermark: i64,
    pub(crate) is_muted: bool,
    /// Users that changed since the last export.
    pub(crate) changed: Vec<u32>,
    /// Users that are gone since the last export.
    pub(crate) gone: Vec<Box<str>>,
}

/// All of it.
pub(crate) struct State {
    pub(crate) emit: EmitMode,
    pub(crate) dedupe_ids: usize,
    pub(crate) history_max_events: usize,
    pub(crate) history_ttl_ms: Option<i64>,
    pub(crate) item_window: usize,
    pub(crate) store: Store,
    pub(crate) users: Vec<User>,
    pub(crate) free_users: Vec<u32>,
    pub(crate) tasks: BTreeMap<i32, Task>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) touched: Vec<Touched>,
    /// Users whose newest values are to be emitted at the end of the transaction.
    pub(crate) due: Vec<u32>,
    pub(crate) counters: Counters,
}

impl Task {
    /// Takes a user out of the table.
    pub(crate) fn remove(&mut self, user: u32, id: &str) {
        if let Ok(found) = self.table.find_entry(xxh3_64(id.as_bytes()), |&at| at == user) {
            found.remove();
        }
    }
}

impl State {
    pub(crate) fn new(views: &Arc<Views>, config: &FoldConfig) -> Self {
        Self {
            emit: config.emit,
            dedupe_ids: config.dedupe_ids,
            history_max_events: config.history_max_events.max(1),
            history_ttl_ms: config.history_ttl_ms,
            item_window: config.item_window,
            store: Store::new(&config.columns, views.from_history),
            users: Vec::new(),
            free_users: Vec::new(),
            tasks: BTreeMap::new(),
            pending: Vec::new(),
            touched: Vec::new(),
            due: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Starts a task without state; one that is there stays.
    pub(crate) fn assign(&mut self, task: i32, views: usize) {
        if let Entry::Vacant(place) = self.tasks.entry(task) {
            let timers = vec![BTreeMap::new(); views];
            place.insert(Task { timers, watermark: i64::MIN, ..Task::default() });
        }
    }

    /// Drops a task with all that is kept and pending of it.
    pub(crate) fn revoke(&mut self, task: i32) {
        let Some(dropped) = self.tasks.remove(&task) else { return };
        let users = &self.users;
        self.touched.retain(|touched| users[touched.user as usize].task != task);
        self.due.retain(|&user| users[user as usize].task != task);
        let (gone, stay): (Vec<Pending>, Vec<Pending>) =
            self.pending.iter().partition(|pending| users[pending.user as usize].task == task);
        self.pending = stay;
        gone.iter().for_each(|pending| self.store.drop_row(pending.slot));
        for (at, touched) in self.touched.iter().enumerate() {
            self.users[touched.user as usize].touched = at as u32 + 1;
        }
        for &user in &dropped.table {
            let dropped = std::mem::take(&mut self.users[user as usize]);
            self.store.forget(dropped.history.iter().chain(&dropped.items));
            self.free_users.push(user);
            self.counters.users -= 1;
        }
        self.free_users.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// The slot of a user; a new one gets one.
    pub(crate) fn user(&mut self, task: i32, id: &str) -> Option<u32> {
        let (users, table) = (&mut self.users, &mut self.tasks.get_mut(&task)?.table);
        let hash = xxh3_64(id.as_bytes());
        if let Some(&user) = table.find(hash, |&user| *users[user as usize].id == *id) {
            return Some(user);
        }
        let user = self.free_users.pop().unwrap_or_else(|| {
            users.push(User::default());
            users.len() as u32 - 1
        });
        users[user as usize] = User { id: id.into(), task, ..User::default() };
        table.insert_unique(hash, user, |&user| xxh3_64(users[user as usize].id.as_bytes()));
        self.counters.users += 1;
        Some(user)
    }

    /// The users of a task, in any order.
    pub(crate) fn users_of(&self, task: i32) -> impl Iterator<Item = u32> {
        self.tasks.get(&task).into_iter().flat_map(|task| task.table.iter().copied())
    }

    /// The slot of a user of a task, where he is known.
    pub(crate) fn find(&self, task: i32, id: &str) -> Option<u32> {
        let table = &self.tasks.get(&task)?.table;
        table.find(xxh3_64(id.as_bytes()), |&at| *self.users[at as usize].id == *id).copied()
    }

    /// Has a user looked at when the watermark comes to `end`.
    pub(crate) fn arm(&mut self, task: i32, view: u16, end: i64, user: u32) {
        let task = self.tasks.get_mut(&task).expect("users are dropped with their task");
        task.timers[usize::from(view)].entry(end).or_default().push(user);
    }

    pub(crate) fn is_muted(&self, user: u32) -> bool {
        self.tasks.get(&self.users[user as usize].task).is_none_or(|task| task.is_muted)
    }
}
