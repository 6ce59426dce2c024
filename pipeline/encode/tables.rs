//! Which users' tables are held: a bounded cache, second chance (CLOCK).

use std::collections::HashMap;
use std::collections::VecDeque;

/// A user whose table is held.
#[derive(Debug, Default)]
pub struct Held {
    /// Where his table stands.
    pub slot: u32,
    /// Rows of his window that are not in the table, because their items are unknown; oldest first.
    pub pending: VecDeque<u32>,
    /// How many items had vectors when `pending` was last looked through.
    pub known: usize,
    used: bool,
    batch: u64,
}

/// Tables by user.
#[derive(Debug)]
pub struct Tables {
    held: HashMap<u32, Held>,
    /// The user in each slot.
    owners: Vec<Option<u32>>,
    free: Vec<u32>,
    hand: usize,
    batch: u64,
}

impl Tables {
    /// Room for `slots` users, all free.
    pub fn new(slots: usize) -> Self {
        Self {
            held: HashMap::new(),
            owners: vec![None; slots],
            free: (0..slots as u32).rev().collect(),
            hand: 0,
            batch: 0,
        }
    }

    /// How many users fit.
    pub fn slots(&self) -> usize {
        self.owners.len()
    }

    /// A new batch begins, of at most [`Tables::slots`] users: the tables held in it are not taken before the next.
    pub fn begin_batch(&mut self) {
        self.batch += 1;
    }

    /// The user's table, and whether it is empty (he had none: it must be rebuilt).
    pub fn hold(&mut self, user: u32) -> (&mut Held, bool) {
        let fresh = !self.held.contains_key(&user);
        if fresh {
            let slot = self.free.pop().unwrap_or_else(|| self.evict());
            self.owners[slot as usize] = Some(user);
            self.held.insert(user, Held { slot, ..Held::default() });
        }
        let held = self.held.get_mut(&user).expect("it was there or just put there");
        held.used = true;
        held.batch = self.batch;
        (held, fresh)
    }

    /// Drops the user's table, if he has one.
    pub fn drop_user(&mut self, user: u32) {
        if let Some(held) = self.held.remove(&user) {
            self.owners[held.slot as usize] = None;
            self.free.push(held.slot);
        }
    }

    /// Drops all tables.
    pub fn clear(&mut self) {
        *self = Self::new(self.slots());
    }

    fn evict(&mut self) -> u32 {
        loop {
            let slot = self.hand;
            self.hand = (slot + 1) % self.owners.len();
            let Some(owner) = self.owners[slot] else { continue };
            let held = self.held.get_mut(&owner).expect("an owner holds a table");
            if held.batch != self.batch && !std::mem::take(&mut held.used) {
                self.held.remove(&owner);
                return slot as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_give_way() {
        let mut tables = Tables::new(2);
        tables.begin_batch();
        assert!(tables.hold(1).1 && tables.hold(2).1);
        assert!(!tables.hold(1).1);
        tables.begin_batch();
        assert!(tables.hold(3).1, "someone gave way");
        let slots: Vec<_> = [3, 1, 2].map(|user| tables.held.get(&user).map(|held| held.slot)).into();
        assert_eq!(slots.iter().flatten().count(), 2);
        tables.drop_user(3);
        assert!(tables.hold(4).1);
        assert_eq!(tables.held.len(), 2);
    }

    #[test]
    fn a_batch_keeps_its_tables() {
        let mut tables = Tables::new(8);
        for batch in 0..50_u32 {
            tables.begin_batch();
            let users: Vec<_> = (0..8).map(|i| (batch * 5 + i * 3) % 40).collect();
            let slots: std::collections::BTreeSet<_> = users.iter().map(|&user| tables.hold(user).0.slot).collect();
            assert_eq!(slots.len(), 8, "each user of a batch has a table of his own");
        }
    }
}
