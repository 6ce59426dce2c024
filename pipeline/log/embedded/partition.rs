//! One partition: chunks in order of offset, some of them of transactions that are not decided yet.

use super::chunk::{Builder, CHUNK_BYTES, Chunk, Piece};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// A compacted partition is rewritten when this much was written since the last time, or as much as was left then.
const COMPACT_BYTES_MIN: usize = 1 << 20;

#[derive(Debug)]
struct Slot {
    /// One behind the last offset.
    end: i64,
    /// The barrier that it stands behind; 0 of transactions, which wait for none.
    epoch: u64,
    chunk: Arc<Chunk>,
}

/// Offsets run on over aborted records and the marker that ends each transaction, as Kafka's do.
#[derive(Debug, Default)]
pub(super) struct Partition {
    slots: VecDeque<Slot>,
    /// What was appended outside of transactions and not yet read.
    tail: Builder,
    /// The barrier that the tail stands behind.
    tail_epoch: u64,
    start: i64,
    end: i64,
    /// First offset of every chunk of an undecided transaction, and whose it is.
    open: BTreeMap<i64, u64>,
    /// One behind the last committed record.
    content_end: i64,
    bytes: usize,
    /// Bytes that compaction left, and bytes written since.
    clean: usize,
    dirty: usize,
    sealed: bool,
}

impl Partition {
    /// First offset kept.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Last stable offset: nothing at or behind it is told to readers.
    pub(super) fn stable(&self) -> i64 {
        self.open.first_key_value().map_or(self.end, |(base, _)| *base)
    }

    /// Memory held by records.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(super) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Whether all that was ever committed lies before `next`, and nothing is undecided.
    pub(super) fn is_read_to(&self, next: i64) -> bool {
        let content_end = if self.tail.is_empty() { self.content_end } else { self.end };
        self.open.is_empty() && next >= content_end
    }

    /// Whether a reader at `position` has nothing more to come.
    pub(super) fn is_finished(&self, position: i64) -> bool {
        self.sealed && self.is_read_to(position)
    }

    /// Appends one record that is committed at once; returns its offset.
    pub(super) fn append(
        &mut self,
        epoch: u64,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> i64 {
        if self.tail_epoch != epoch {
            self.roll();
            self.tail_epoch = epoch;
        }
        let before = self.tail.size();
        self.tail.push(timestamp_ms, key, value, &[]);
        self.bytes += self.tail.size() - before;
        self.end += 1;
        if self.tail.size() >= CHUNK_BYTES {
            self.roll();
        }
        self.end - 1
    }

    /// Makes the tail a chunk, so that it can be read.
    fn roll(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let base = self.end - self.tail.len() as i64;
        let chunk = self.tail.take().close(base);
        self.dirty += chunk.size();
        self.content_end = self.end;
        self.slots.push_back(Slot { end: self.end, epoch: self.tail_epoch, chunk: Arc::new(chunk) });
    }

    /// Appends records of an open transaction.
    pub(super) fn push(&mut self, records: Builder, transaction: u64) {
        self.roll();
        let (base, chunk) = (self.end, records.close(self.end));
        self.end += chunk.len() as i64;
        self.bytes += chunk.size();
        self.open.insert(base, transaction);
        self.slots.push_back(Slot { end: self.end, epoch: 0, chunk: Arc::new(chunk) });
    }

    /// Decides a transaction: its records become visible, or are gone; a marker takes one offset.
    pub(super) fn settle(&mut self, transaction: u64, commit: bool) {
        self.roll();
        let bases: Vec<i64> = self.open.iter().filter(|(_, of)| **of == transaction).map(|(base, _)| *base).collect();
        for base in bases {
            self.open.remove(&base);
            let at = self.slots.partition_point(|slot| slot.end <= base);
            let (end, size) = (self.slots[at].end, self.slots[at].chunk.size());
            if commit {
                self.content_end = self.content_end.max(end);
                self.dirty += size;
            } else {
                self.bytes -= size;
                self.slots.remove(at);
            }
        }
        self.end += 1;
    }

    /// The barrier that the next visible record from `position` on stands behind; none where there is no such record.
    pub(super) fn next_epoch(&mut self, position: i64) -> Option<u64> {
        self.roll();
        let (stable, first) = (self.stable(), self.slots.partition_point(|slot| slot.end <= position));
        self.slots.get(first).filter(|slot| slot.chunk.base() < stable).map(|slot| slot.epoch)
    }

    /// Collects up to `max` visible records from `position` on, of those behind no later barrier than `epoch`; returns how
    /// many, and where the reader stands then.
    pub(super) fn read(&mut self, position: i64, max: usize, epoch: u64, pieces: &mut Vec<Piece>) -> (usize, i64) {
        self.roll();
        let (stable, mut left) = (self.stable(), max);
        let first = self.slots.partition_point(|slot| slot.end <= position);
        for slot in self.slots.range(first..).take_while(|slot| slot.chunk.base() < stable) {
            if slot.epoch > epoch {
                return (max - left, position.max(slot.chunk.base()));
            }
            let from = slot.chunk.index_of(position);
            let to = slot.chunk.len().min(from + left);
            if from < to {
                pieces.push(Piece { chunk: Arc::clone(&slot.chunk), from, to });
                left -= to - from;
            }
            if to < slot.chunk.len() {
                // Stopped inside this chunk: the next record is where to go on.
                return (max - left, slot.chunk.offset(to).max(position));
            }
        }
        (max - left, position.max(stable))
    }

    /// Drops what lies wholly before `before`.
    pub(super) fn trim(&mut self, before: i64) {
        let before = before.min(self.stable());
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.end <= before) {
            self.bytes -= slot.chunk.size();
            let tail_base = self.end - self.tail.len() as i64;
            self.start = self.slots.front().map_or(tail_base, |next| next.chunk.base());
        }
    }

    /// Where enough was written since the last time, keeps of the records before `before` the newest of each key.
    pub(super) fn compact(&mut self, before: i64) {
        if self.dirty < COMPACT_BYTES_MIN.max(self.clean) {
            return;
        }
        let before = before.min(self.stable());
        let whole = self.slots.partition_point(|slot| slot.end <= before);
        let old: Vec<Slot> = self.slots.drain(..whole).collect();
        let mut newest: HashMap<&[u8], i64> = HashMap::new();
        for chunk in old.iter().map(|slot| &slot.chunk) {
            newest.extend((0..chunk.len()).filter_map(|index| Some((chunk.key(index)?, chunk.offset(index)))));
        }
        let kept = old.iter().filter_map(|slot| {
            let chunk = &slot.chunk;
            let kept = chunk.retain(|index| {
                // Everyone who reads has passed it, so a tombstone has nothing left to say.
                let newest = chunk.key(index).is_none_or(|key| newest[key] == chunk.offset(index));
                newest && !chunk.is_tombstone(index)
            });
            kept.map(|chunk| Slot { end: slot.end, epoch: slot.epoch, chunk: Arc::new(chunk) })
        });
        let mut slots: VecDeque<Slot> = kept.collect();
        self.clean = slots.iter().map(|slot| slot.chunk.size()).sum();
        slots.append(&mut self.slots);
        self.slots = slots;
        self.bytes = self.slots.iter().map(|slot| slot.chunk.size()).sum::<usize>() + self.tail.size();
        self.dirty = 0;
    }
}
