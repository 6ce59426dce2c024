//! A map with a bound: two generations, the older of which is forgotten as a whole.

use std::hash::Hash;

use hashbrown::HashMap;

/// A bounded map.
#[derive(Clone, Debug)]
pub struct Generations<K, V> {
    /// What was touched since it was last empty.
    pub newer: HashMap<K, V>,
    /// What was touched before, and is forgotten next.
    pub older: HashMap<K, V>,
    /// Entries of a generation.
    half: usize,
}

impl<K: Copy + Eq + Hash, V: Copy + Default> Generations<K, V> {
    /// Empty; `max` entries at most, but never fewer than two.
    pub fn new(max: usize) -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), half: (max / 2).max(1) }
    }

    /// The value of `key`, which is touched by it; a new one begins with its default.
    pub fn touch(&mut self, key: K) -> &mut V {
        if !self.newer.contains_key(&key) {
            let value = self.older.remove(&key).unwrap_or_default();
            if self.newer.len() >= self.half {
                self.older = std::mem::take(&mut self.newer);
            }
            self.newer.insert(key, value);
        }
        self.newer.get_mut(&key).expect("it was just put there")
    }

    /// The value of `key`, without touching it; the default of one that is not known.
    pub fn get(&self, key: K) -> V {
        self.newer.get(&key).or_else(|| self.older.get(&key)).copied().unwrap_or_default()
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: K) {
        self.newer.remove(&key);
        self.older.remove(&key);
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
