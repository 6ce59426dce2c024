//! One micro-batch of changes to users' tables.

use super::Shape;
use crate::Error;

/// One item entering or leaving a user's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Change {
    /// Index into [`Batch::vectors`]. Items without a vector are left out by the caller: a zero vector has the
    /// signature of bucket 0 in every group and would be counted there.
    pub item: u32,
    /// +1: the item enters (a late one too). -1: it leaves.
    pub sign: i32,
}

/// The changes of one micro-batch, ragged by user.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// (users) The table slot of each touched user; no slot twice.
    pub slots: &'a [u32],
    /// (users) Clear the table first: a new user, or one rebuilt after its slot held another.
    pub fresh: &'a [bool],
    /// (users + 1) `changes[offsets[u]..offsets[u + 1]]` are user u's.
    pub offsets: &'a [u32],
    /// All users' changes.
    pub changes: &'a [Change],
    /// (items) Each item's vector, (dim), as [`quantize`](fn@super::quantize) makes it.
    pub vectors: &'a [&'a [i16]],
    /// (items, words) Each item's signature, as [`Sdim::simhash`](super::Sdim::simhash) gives it.
    pub signatures: &'a [u64],
    /// Indexes of users whose tables, with this batch's changes in them, are returned, in this order.
    pub publish: &'a [u32],
}

impl<'a> Batch<'a> {
    /// User `user`'s changes.
    pub(super) fn changes_of(&self, user: usize) -> &'a [Change] {
        &self.changes[self.offsets[user] as usize..self.offsets[user + 1] as usize]
    }
}

/// Checks batches, so that kernels need not: what it lets through cannot read or write out of bounds.
#[derive(Debug, Default)]
pub(super) struct Checker {
    /// The last batch that named each slot, up to the last slot ever named.
    seen: Vec<u64>,
    batches: u64,
}

impl Checker {
    /// # Errors
    /// [`Error::Shape`] that names the first misfit.
    pub fn check(&mut self, shape: &Shape, batch: &Batch<'_>) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Shape(text));
        let (users, items) = (batch.slots.len(), batch.vectors.len());
        if batch.fresh.len() != users || batch.offsets.len() != users + 1 {
            let (fresh, offsets) = (batch.fresh.len(), batch.offsets.len());
            return wrong(format!("{users} users need as many fresh flags ({fresh}) and one more offset ({offsets})"));
        }
        if batch.offsets[0] != 0
            || batch.offsets[users] as usize != batch.changes.len()
            || batch.offsets.windows(2).any(|pair| pair[0] > pair[1])
        {
            return wrong(format!("offsets must rise from 0 to the number of changes, {}", batch.changes.len()));
        }
        if batch.signatures.len() != items * shape.signature_words() {
            let (words, found) = (shape.signature_words(), batch.signatures.len());
            return wrong(format!("{items} vectors need as many signatures, each of {words} words, not {found} words"));
        }
        if let Some(vector) = batch.vectors.iter().find(|vector| vector.len() != shape.dim) {
            return wrong(format!("an item vector has {} components, not {}", vector.len(), shape.dim));
        }
        if let Some(change) =
            batch.changes.iter().find(|change| change.item as usize >= items || !matches!(change.sign, 1 | -1))
        {
            return wrong(format!("{change:?} must name one of {items} items and have sign +1 or -1"));
        }
        if let Some(user) = batch.publish.iter().find(|user| **user as usize >= users) {
            return wrong(format!("publish names user {user} of {users}"));
        }
        self.check_slots(shape.slots, batch.slots)
    }

    fn check_slots(&mut self, count: usize, slots: &[u32]) -> Result<(), Error> {
        self.batches += 1;
        for slot in slots.iter().map(|&slot| slot as usize) {
            if slot >= count {
                return Err(Error::Shape(format!("slot {slot} is beyond the {count} slots")));
            }
            if slot >= self.seen.len() {
                self.seen.resize(slot + 1, 0);
            }
            if std::mem::replace(&mut self.seen[slot], self.batches) == self.batches {
                return Err(Error::Shape(format!("slot {slot} is named twice in one batch")));
            }
        }
        Ok(())
    }
}
