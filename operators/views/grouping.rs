//! Numbers the groups of a batch by user, window and extra keys.

use arrow::{array::ArrayRef, row::Rows};
use datafusion::common::Result;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::View;

/// The extra keys of rows, as bytes that compare as the keys do.
pub(crate) struct Keys(Option<Rows>);

impl Keys {
    /// The keys of rows; empty bytes where the view has none.
    pub(crate) fn of(view: &View, columns: &[ArrayRef]) -> Result<Self> {
        Ok(Self(view.key_rows.as_ref().map(|converter| converter.convert_columns(columns)).transpose()?))
    }

    /// The keys of a row.
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

/// A group: who (a user, or a place in a list), which window, and a row that has its extra keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) who: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) row: u32,
}

/// Groups in the order of their first rows.
pub(crate) struct Grouping<'k> {
    keys: &'k Keys,
    table: HashTable<(u64, u32)>,
    pub(crate) groups: Vec<Group>,
}

impl<'k> Grouping<'k> {
    pub(crate) fn new(keys: &'k Keys) -> Self {
        Self { keys, table: HashTable::new(), groups: Vec::new() }
    }

    /// The number of the group that `group` names; its `row` tells the extra keys.
    pub(crate) fn number(&mut self, group: Group) -> usize {
        let key = self.keys.get(group.row as usize);
        let mut hash = mix(u64::from(group.who) ^ mix(group.start as u64 ^ mix(group.end as u64)));
        if !key.is_empty() {
            hash ^= xxh3_64(key);
        }
        let (groups, keys) = (&mut self.groups, self.keys);
        let is_same = |(other_hash, at): &(u64, u32)| {
            let other = &groups[*at as usize];
            *other_hash == hash
                && (other.who, other.start, other.end) == (group.who, group.start, group.end)
                && keys.get(other.row as usize) == key
        };
        if let Some((_, at)) = self.table.find(hash, is_same) {
            return *at as usize;
        }
        let at = groups.len();
        groups.push(group);
        self.table.insert_unique(hash, (hash, at as u32), |(hash, _)| *hash);
        at
    }
}

/// The finalizer of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
