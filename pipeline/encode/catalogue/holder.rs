//! A room's way to the items of its tasks.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLockReadGuard};

use super::super::items::{Gathered, Item, Items};
use super::{Catalogue, ItemsError, Versions};

/// A room's hold on the catalogue: which version each of its tasks is in.
pub struct Holder {
    catalogue: Arc<Catalogue>,
    id: u64,
    in_force: BTreeMap<i32, u64>,
}

impl Holder {
    /// A room without tasks.
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        let id = catalogue.holders.fetch_add(1, Ordering::Relaxed);
        Self { catalogue, id, in_force: BTreeMap::new() }
    }

    /// The catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// A task is in a version from now on.
    ///
    /// # Errors
    /// Where the version cannot be had.
    pub fn adopt(&mut self, task: i32, version: u64) -> Result<(), ItemsError> {
        self.in_force.insert(task, version);
        self.catalogue.hold(self.id, task, version)
    }

    /// The version that a task is in.
    pub fn version(&self, task: i32) -> u64 {
        self.in_force.get(&task).copied().unwrap_or(0)
    }

    /// The task is another's.
    pub fn forget(&mut self, task: i32) {
        self.in_force.remove(&task);
        self.catalogue.release(|holder, of| (holder, of) == (self.id, task));
    }

    /// The items of a task, for the length of a micro-batch.
    pub fn read(&self, task: i32) -> Reading<'_> {
        Reading { versions: self.catalogue.read(), version: self.version(task), catalogue: &self.catalogue }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.catalogue.release(|holder, _| holder == self.id);
    }
}

/// Items of one version.
pub struct Reading<'a> {
    versions: RwLockReadGuard<'a, Versions>,
    version: u64,
    catalogue: &'a Catalogue,
}

impl Reading<'_> {
    fn items(&self) -> &Items {
        self.versions.by_number.get(&self.version).unwrap_or(&self.catalogue.empty)
    }

    /// What is known of an item; nothing of one that is not.
    pub fn find(&self, item_id: &str) -> Item<'_> {
        let Item { row, mut category } = self.items().find(item_id).unwrap_or_default();
        if self.catalogue.learned.is_some() {
            category = self.versions.described.find(item_id).unwrap_or_default().category;
        }
        Item { row, category }
    }

    /// The version of what made their vectors: the one in force, or the next newer one where that was not to be had.
    pub fn version(&self) -> u64 {
        self.versions.by_number.get(&self.version).map_or(self.version, |items| items.version)
    }

    /// How many items have vectors.
    pub fn vectors(&self) -> usize {
        self.items().vectors()
    }

    /// As [`Items::gather`].
    ///
    /// # Errors
    /// Where vectors cannot be read.
    pub fn gather(&self, rows: &[u32], hash: Option<usize>, out: &mut Gathered) -> std::io::Result<()> {
        self.items().gather(rows, hash, out)
    }
}
