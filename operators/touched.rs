//! What the encoders need to know of a transaction: who was touched, and how his item window changed.

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    state::State,
    store::ITEM_ID,
    user::{Entered, User},
};

/// A user touched since the last release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) user: u32,
    pub(crate) added: Vec<u32>,
    pub(crate) evicted: Vec<u32>,
    pub(crate) arrived: Vec<u32>,
    pub(crate) left: Vec<u32>,
    pub(crate) left_by: Vec<u32>,
}

/// A touched user, as the encoders see him.
#[derive(Clone, Copy, Debug)]
pub struct TouchedUser<'a> {
    /// His slot; it is his until [`crate::Fold::take_left`] names it.
    pub user: u32,
    /// His by-user partition.
    pub task: i32,
    /// His id.
    pub user_id: &'a str,
    /// Time of his newest row, ms.
    pub time: i64,
    /// Topic, partition and offset of his newest row.
    pub source: (&'a str, i32, i64),
    /// Rows of his ever.
    pub ordinal: u64,
    /// Rows that entered his item window, in order; a row can be here and in `evicted`.
    pub added: &'a [u32],
    /// Rows that left his item window, in order.
    pub evicted: &'a [u32],
    /// All his rows since the last release in the order of their arrival, those that his history does not hold included;
    /// empty where [`crate::FoldConfig::keeps_arrivals`] is not set.
    pub arrived: &'a [u32],
    /// Rows that left his history since then, in order; empty as `arrived` is.
    pub left: &'a [u32],
    /// (arrived): how many of them had left when each row had arrived.
    pub left_by: &'a [u32],
}

/// A row that arrived, or a user who is gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The by-user partition.
    pub task: i32,
    /// xxh3 of the user's id.
    pub user: u64,
    /// The row, which stays until the next release; none where the user is forgotten.
    pub row: Option<u32>,
}

impl State {
    /// Puts an arrived row into its user's history and item window.
    pub(crate) fn remember(&mut self, slot: u32, user: u32) {
        let Self { users, store, touched, arrivals, .. } = self;
        let owner: &mut User = &mut users[user as usize];
        if self.keeps_order {
            arrivals.push(Arrival { task: owner.task, user: xxh3_64(owner.id.as_bytes()), row: Some(slot) });
        }
        owner.ordinal += 1;
        owner.used = self.transaction;
        if owner.touched == 0 {
            touched.push(Touched {
                user,
                added: Vec::new(),
                evicted: Vec::new(),
                arrived: Vec::new(),
                left: Vec::new(),
                left_by: Vec::new(),
            });
            owner.touched = touched.len() as u32;
        }
        if !std::mem::replace(&mut owner.has_changed, true) {
            let task = self.tasks.get_mut(&owner.task).expect("users are dropped with their task");
            task.changed.push(user);
        }
        let touched = &mut touched[owner.touched as usize - 1];
        let is_due = owner.is_due;
        owner.is_due = true;
        if self.keeps_arrivals {
            touched.arrived.push(slot);
        }
        if self.item_window > 0 && store.is_valid(slot, ITEM_ID) {
            let entered = owner.remember_item(store, slot, self.item_window);
            if entered != Entered::No {
                touched.added.push(slot);
            }
            if let Entered::Pushing(oldest) = entered {
                touched.evicted.push(oldest);
            }
        }
        let bounds = (self.history_max_events, self.history_ttl_ms);
        owner.remember(store, slot, bounds, |row| {
            if self.keeps_arrivals {
                touched.left.push(row);
            }
        });
        if self.keeps_arrivals {
            touched.left_by.push(touched.left.len() as u32);
        }
        store.drop_unheld(slot);
        if let Some(ttl_ms) = self.user_ttl_ms.filter(|_| owner.ordinal == 1) {
            let (end, task) = (owner.idle_end(store, ttl_ms), owner.task);
            self.arm(task, self.windows.len(), end, user);
        }
        if !is_due {
            self.due.push(user);
        }
    }

    /// The users touched since the last release, in the order of their first rows.
    pub(crate) fn touched(&self) -> impl Iterator<Item = TouchedUser<'_>> {
        self.touched.iter().map(|touched| TouchedUser {
            added: &touched.added,
            evicted: &touched.evicted,
            arrived: &touched.arrived,
            left: &touched.left,
            left_by: &touched.left_by,
            ..self.as_touched(touched.user)
        })
    }

    /// A user that nothing has touched; none where the slot is nobody's.
    pub(crate) fn untouched(&self, user: u32) -> Option<TouchedUser<'_>> {
        let lives = self.users.get(user as usize).is_some_and(|user| !user.id.is_empty() || user.ordinal > 0);
        lives.then(|| self.as_touched(user))
    }

    fn as_touched(&self, slot: u32) -> TouchedUser<'_> {
        let user = &self.users[slot as usize];
        let newest = user.newest();
        let place = self.store.place(newest);
        TouchedUser {
            user: slot,
            task: user.task,
            user_id: &user.id,
            time: self.store.time(newest),
            source: (self.store.topic_name(place.topic), place.partition, place.offset),
            ordinal: user.ordinal,
            added: &[],
            evicted: &[],
            arrived: &[],
            left: &[],
            left_by: &[],
        }
    }

    /// Ends the transaction: forgets who was touched and frees the rows that nobody holds.
    pub(crate) fn release(&mut self) {
        self.arrivals.clear();
        for touched in std::mem::take(&mut self.touched) {
            self.users[touched.user as usize].touched = 0;
            self.weigh(touched.user);
        }
        self.transaction = self.transaction.wrapping_add(1);
        self.store.release();
    }
}
