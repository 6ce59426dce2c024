//! The state of a worker: rows, users, tasks, and what is pending.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Counters, EmitMode, FoldConfig, Views,
    cold::{Cold, ColdError},
    store::Store,
    touched::{Arrival, Touched},
    user::User,
    views::window::Window,
};

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
    /// Per view: when which users in memory have a window to close. One more: when they have been idle for too long.
    pub(crate) timers: Vec<BTreeMap<i64, Vec<u32>>>,
    /// The same lists: the first end of a user in the cold store.
    pub(crate) cold_ends: Vec<i64>,
    /// The same lists: all windows that end up to there are closed.
    closed: Vec<i64>,
    /// Of a list, windows that end there are closed of users with ids up to this one.
    partly: Option<(usize, i64, Box<str>)>,
    pub(crate) watermark: i64,
    /// The last one before the end of time.
    pub(crate) heard: i64,
    pub(crate) is_muted: bool,
    /// Users that changed since the last export.
    pub(crate) changed: Vec<u32>,
    /// Those who went to the cold store since they changed; some may be back.
    pub(crate) cold_changed: Vec<Box<str>>,
    /// Users that are gone since the last export.
    pub(crate) gone: Vec<Box<str>>,
    /// Whether one of them was to be forgotten.
    pub(crate) forgets: bool,
    /// Users, those in the cold store included.
    pub(crate) users: u64,
    /// Whether users are, or were, in the cold store.
    pub(crate) has_cold: bool,
}

/// A user whose slot may be another's from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// His by-user partition.
    pub task: i32,
    /// The slot that was his.
    pub slot: u32,
    /// His id, where he is gone for good; else he is in the cold store.
    pub user_id: Option<Box<str>>,
}

/// All of it.
pub(crate) struct State {
    pub(crate) emit: EmitMode,
    pub(crate) dedupe_ids: usize,
    pub(crate) history_max_events: usize,
    pub(crate) history_ttl_ms: Option<i64>,
    pub(crate) user_ttl_ms: Option<i64>,
    pub(crate) item_window: usize,
    pub(crate) keeps_arrivals: bool,
    pub(crate) keeps_order: bool,
    /// Rows in the order of their arrival, where that is kept.
    pub(crate) arrivals: Vec<Arrival>,
    /// The windows of the views.
    pub(crate) windows: Vec<Window>,
    pub(crate) store: Store,
    pub(crate) users: Vec<User>,
    pub(crate) free_users: Vec<u32>,
    pub(crate) tasks: BTreeMap<i32, Task>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) touched: Vec<Touched>,
    /// Users whose newest values are to be emitted at the end of the transaction.
    pub(crate) due: Vec<u32>,
    /// Slots that changed hands since the encoders last heard of it.
    pub(crate) left: Vec<Left>,
    /// Bytes of users without their rows, about.
    pub(crate) user_bytes: usize,
    /// Counts transactions.
    pub(crate) transaction: u32,
    pub(crate) cold: Option<Cold>,
    pub(crate) counters: Counters,
}

impl Task {
    /// Up to when all windows of a user are closed.
    pub(crate) fn closed_of(&self, list: usize, user_id: &str) -> i64 {
        match &self.partly {
            Some((of, end, up_to)) if *of == list && *user_id <= **up_to => *end,
            _ => self.closed[list],
        }
    }

    /// All windows of a list that end up to `end` are closed; where `up_to` is given, of users with ids up to it.
    pub(crate) fn close(&mut self, list: usize, end: i64, up_to: Option<Box<str>>) {
        self.partly = up_to.map(|up_to| (list, end, up_to));
        if self.partly.is_none() {
            self.closed[list] = self.closed[list].max(end);
        }
    }

    /// All windows that end up to `end` are closed.
    pub(crate) fn close_all(&mut self, end: i64) {
        self.closed.fill(end);
    }

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
            user_ttl_ms: config.user_ttl_ms,
            item_window: config.item_window,
            keeps_arrivals: config.keeps_arrivals,
            keeps_order: config.keeps_order,
            arrivals: Vec::new(),
            windows: views.list.iter().map(|view| view.window).collect(),
            store: Store::new(&config.columns, views.from_history),
            users: Vec::new(),
            free_users: Vec::new(),
            tasks: BTreeMap::new(),
            pending: Vec::new(),
            touched: Vec::new(),
            due: Vec::new(),
            left: Vec::new(),
            user_bytes: 0,
            transaction: 0,
            cold: None,
            counters: Counters::default(),
        }
    }

    /// Starts a task without state; one that is there stays.
    pub(crate) fn assign(&mut self, task: i32) {
        if let Entry::Vacant(place) = self.tasks.entry(task) {
            let lists = self.windows.len() + 1;
            place.insert(Task {
                timers: vec![BTreeMap::new(); lists],
                cold_ends: vec![i64::MAX; lists],
                closed: vec![i64::MIN; lists],
                watermark: i64::MIN,
                heard: i64::MIN,
                ..Task::default()
            });
        }
    }

    /// Drops a task with all that is kept and pending of it.
    pub(crate) fn revoke(&mut self, task: i32) -> Result<(), ColdError> {
        let Some(of) = self.tasks.get(&task) else { return Ok(()) };
        let users = &self.users;
        let (gone, stay): (Vec<Pending>, Vec<Pending>) =
            self.pending.iter().partition(|pending| users[pending.user as usize].task == task);
        self.pending = stay;
        gone.iter().for_each(|pending| self.store.drop_row(pending.slot));
        let of: Vec<u32> = of.table.iter().copied().collect();
        self.remove(&of);
        self.left.retain(|left| left.task != task);
        self.arrivals.retain(|arrival| arrival.task != task);
        let dropped = self.tasks.remove(&task).expect("it was there");
        self.counters.users -= dropped.users;
        match &mut self.cold {
            Some(cold) if dropped.has_cold => cold.clear(task),
            _ => Ok(()),
        }
    }

    /// Takes users out of memory. Their rows are garbage until the end of the transaction.
    pub(crate) fn remove(&mut self, users: &[u32]) -> Vec<Left> {
        let mut is_listed = (false, false);
        let left: Vec<Left> = users
            .iter()
            .map(|&slot| {
                let dropped = std::mem::take(&mut self.users[slot as usize]);
                is_listed.0 |= dropped.touched > 0 || dropped.is_due;
                is_listed.1 |= dropped.has_changed;
                self.user_bytes -= dropped.weight;
                self.store.forget(dropped.history.iter().chain(&dropped.items));
                let task = self.tasks.get_mut(&dropped.task).expect("users are dropped with their task");
                task.remove(slot, &dropped.id);
                self.free_users.push(slot);
                Left { task: dropped.task, slot, user_id: Some(dropped.id) }
            })
            .collect();
        // Which slot the next one gets is the same however the work is cut.
        self.free_users.sort_unstable_by(|a, b| b.cmp(a));
        let users = &self.users;
        let is_gone = |slot: u32| users[slot as usize].ordinal == 0;
        if is_listed.1 {
            self.tasks.values_mut().for_each(|task| task.changed.retain(|&user| !is_gone(user)));
        }
        if is_listed.0 {
            self.touched.retain(|touched| !is_gone(touched.user));
            self.due.retain(|&user| !is_gone(user));
            for (at, touched) in self.touched.iter().enumerate() {
                self.users[touched.user as usize].touched = at as u32 + 1;
            }
        }
        left
    }

    /// The slot of a user; a new one gets one, one from the cold store too.
    pub(crate) fn user(&mut self, task: i32, id: &str) -> Result<Option<u32>, ColdError> {
        if let Some(known) = self.find(task, id)? {
            return Ok(Some(known));
        }
        let Some(slot) = self.seat(task, id) else { return Ok(None) };
        self.tasks.get_mut(&task).expect("he got a seat in it").users += 1;
        self.counters.users += 1;
        Ok(Some(slot))
    }

    /// The slot of a user of a task, where he is known; he comes back from the cold store.
    pub(crate) fn find(&mut self, task: i32, id: &str) -> Result<Option<u32>, ColdError> {
        match self.resident(task, id) {
            None => self.thaw(task, id),
            slot => Ok(slot),
        }
    }

    /// The slot of a user who is in memory.
    pub(crate) fn resident(&self, task: i32, id: &str) -> Option<u32> {
        let table = &self.tasks.get(&task)?.table;
        table.find(xxh3_64(id.as_bytes()), |&at| *self.users[at as usize].id == *id).copied()
    }

    /// A slot for a user who is not in memory; none where the task is not here.
    pub(crate) fn seat(&mut self, task: i32, id: &str) -> Option<u32> {
        let (users, table) = (&mut self.users, &mut self.tasks.get_mut(&task)?.table);
        let slot = self.free_users.pop().unwrap_or_else(|| {
            users.push(User::default());
            users.len() as u32 - 1
        });
        users[slot as usize] = User { id: id.into(), task, ..User::default() };
        table.insert_unique(xxh3_64(id.as_bytes()), slot, |&slot| xxh3_64(users[slot as usize].id.as_bytes()));
        Some(slot)
    }

    /// The users of a task who are in memory, in any order.
    pub(crate) fn users_of(&self, task: i32) -> impl Iterator<Item = u32> {
        self.tasks.get(&task).into_iter().flat_map(|task| task.table.iter().copied())
    }

    /// Bytes of all that is kept in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.store.bytes() + self.user_bytes
    }

    /// Notes how much a user takes now.
    pub(crate) fn weigh(&mut self, slot: u32) {
        let user = &mut self.users[slot as usize];
        let weight = user.bytes();
        self.user_bytes = self.user_bytes + weight - std::mem::replace(&mut user.weight, weight);
    }

    /// Has a user looked at when the watermark comes to `end`, for a view or the list of idle users.
    pub(crate) fn arm(&mut self, task: i32, list: usize, end: i64, user: u32) {
        self.task(task).timers[list].entry(end).or_default().push(user);
    }

    /// Takes the users in memory of whom a window ends at `end`, by slots; where `up_to` is given, those with ids up to it.
    pub(crate) fn take_timers(&mut self, task: i32, list: usize, end: i64, up_to: Option<&str>) -> Vec<u32> {
        let users = &self.users;
        let timers = &mut self.tasks.get_mut(&task).expect("a task of the list").timers[list];
        let mut taken = timers.remove(&end).unwrap_or_default();
        // A slot may be another's since it was armed.
        taken.retain(|&user| users[user as usize].ordinal > 0 && users[user as usize].task == task);
        if let Some(up_to) = up_to {
            let (now, later) = taken.into_iter().partition(|&user| *users[user as usize].id <= *up_to);
            timers.insert(end, later);
            taken = now;
        }
        taken.sort_unstable();
        taken.dedup();
        taken
    }

    /// A task that is here.
    pub(crate) fn task(&mut self, task: i32) -> &mut Task {
        self.tasks.get_mut(&task).expect("users and windows are dropped with their task")
    }

    pub(crate) fn is_muted(&self, user: u32) -> bool {
        self.tasks.get(&self.users[user as usize].task).is_none_or(|task| task.is_muted)
    }
}
