//! The counters, and how the records of the log move them.

use super::generations::Generations;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items.
    pub items_max: usize,
    /// Pairs of items that followed each other.
    pub transitions_max: usize,
}

impl Default for Limits {
    /// About 50 MB of items and 150 MB of transitions, where that many are met.
    fn default() -> Self {
        Self { items_max: 1 << 20, transitions_max: 1 << 22 }
    }
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemCounts {
    /// Behaviors with it: its popularity.
    pub behaviors: u32,
    /// How often it was a candidate.
    pub shown: u32,
    /// How often it was clicked.
    pub clicked: u32,
    /// Behaviors that followed one with it: the sum of its transitions.
    pub followed: u32,
}

/// What happened to all items, the forgotten ones too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Behaviors.
    pub behaviors: u64,
    /// Candidates.
    pub shown: u64,
    /// Clicks.
    pub clicked: u64,
}

/// What one user did: kept with the user, by whoever keeps him.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserRates {
    /// Behaviors.
    pub behaviors: u32,
    /// Candidates he was shown.
    pub shown: u32,
    /// Those he clicked.
    pub clicked: u32,
    /// The item of his last behavior that had one.
    pub last_item: Option<u64>,
}

/// Counters of items; see the [module](super).
#[derive(Clone, Debug)]
pub struct Rates {
    pub(super) items: Generations<u64, ItemCounts>,
    /// By item and the item after it.
    pub(super) transitions: Generations<(u64, u64), u32>,
    pub(super) totals: Totals,
}

impl Rates {
    /// Nothing has happened.
    pub fn new(limits: Limits) -> Self {
        Self {
            items: Generations::new(limits.items_max),
            transitions: Generations::new(limits.transitions_max),
            totals: Totals::default(),
        }
    }

    /// The user did something, with an item or without.
    pub fn behavior(&mut self, user: &mut UserRates, item: Option<u64>) {
        user.behaviors = user.behaviors.saturating_add(1);
        let Some(item) = item else { return };
        if let Some(last) = user.last_item {
            let followed = &mut self.items.touch(last).followed;
            *followed = followed.saturating_add(1);
            let transition = self.transitions.touch((last, item));
            *transition = transition.saturating_add(1);
        }
        user.last_item = Some(item);
        let behaviors = &mut self.items.touch(item).behaviors;
        *behaviors = behaviors.saturating_add(1);
        self.totals.behaviors += 1;
    }

    /// The item was a candidate of the user's.
    pub fn shown(&mut self, user: &mut UserRates, item: u64) {
        user.shown = user.shown.saturating_add(1);
        let shown = &mut self.items.touch(item).shown;
        *shown = shown.saturating_add(1);
        self.totals.shown += 1;
    }

    /// The user clicked an item that was shown to him.
    pub fn clicked(&mut self, user: &mut UserRates, item: u64) {
        user.clicked = user.clicked.saturating_add(1);
        let clicked = &mut self.items.touch(item).clicked;
        *clicked = clicked.saturating_add(1);
        self.totals.clicked += 1;
    }

    /// What happened to an item; zeros where it is not known.
    pub fn item(&self, item: u64) -> ItemCounts {
        self.items.get(item)
    }

    /// How often a behavior with `to` followed one with `from`. Pairs are forgotten by themselves, so this may be more
    /// than the newer half of what `from`'s own counters remember.
    pub fn transition(&self, from: u64, to: u64) -> u32 {
        self.transitions.get((from, to))
    }

    /// What happened to all.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How many items are known.
    pub fn items(&self) -> usize {
        self.items.len()
    }

    /// How many transitions are known.
    pub fn transitions(&self) -> usize {
        self.transitions.len()
    }
}
