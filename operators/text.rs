//! A column of texts in slots that are reused.
//!
//! A cell is Arrow's 16-byte view: up to 12 bytes stand in it, longer ones in byte blocks. A block that nothing refers
//! to is used again; when more than half of the bytes are garbage the column is written anew, so that its size stays
//! within a factor of what lives.

use arrow::{
    array::{ArrayRef, StringViewArray},
    buffer::{Buffer, NullBuffer, ScalarBuffer},
};
use std::sync::Arc;

use crate::store::reach;

/// Bytes of a block; longer texts get one of their own.
const BLOCK_BYTES: usize = 64 << 10;
/// Gathered bytes per Arrow buffer: offsets in it are 32 bits.
const BUFFER_BYTES: usize = 64 << 20;
const INLINE: usize = 12;

#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    live: usize,
}

/// Texts by slot.
#[derive(Default)]
pub(crate) struct TextColumn {
    views: Vec<u128>,
    blocks: Vec<Block>,
    free: Vec<u32>,
    open: Option<u32>,
    live_bytes: usize,
}

fn view_of(bytes: &[u8], block: u32, offset: u32) -> u128 {
    let mut view = [0u8; 16];
    view[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    if bytes.len() <= INLINE {
        view[4..4 + bytes.len()].copy_from_slice(bytes);
    } else {
        view[4..8].copy_from_slice(&bytes[..4]);
        view[8..12].copy_from_slice(&block.to_le_bytes());
        view[12..].copy_from_slice(&offset.to_le_bytes());
    }
    u128::from_le_bytes(view)
}

fn length(view: u128) -> usize {
    view as u32 as usize
}

fn place(view: u128) -> (usize, usize) {
    ((view >> 64) as u32 as usize, (view >> 96) as u32 as usize)
}

impl TextColumn {
    /// Makes room for `slots` slots.
    pub(crate) fn reach(&mut self, slots: usize) {
        reach(&mut self.views, slots);
    }

    /// Bytes of a slot; 0 where there never was a text.
    pub(crate) fn slot_bytes(&self) -> usize {
        size_of::<u128>() * usize::from(!self.views.is_empty())
    }

    /// Puts `bytes`, which must be UTF-8, into an empty slot.
    pub(crate) fn set(&mut self, slot: u32, bytes: &[u8]) {
        self.views[slot as usize] = self.keep(bytes);
    }

    /// Empties a slot.
    pub(crate) fn clear(&mut self, slot: u32) {
        let Some(view) = self.views.get_mut(slot as usize) else { return };
        let view = std::mem::take(view);
        if length(view) <= INLINE {
            return;
        }
        let (at, _) = place(view);
        self.live_bytes -= length(view);
        let block = &mut self.blocks[at];
        block.live -= length(view);
        if block.live == 0 && self.open != Some(at as u32) {
            block.bytes.clear();
            block.bytes.shrink_to(BLOCK_BYTES);
            self.free.push(at as u32);
        }
    }

    /// The text of a slot; empty where it is null.
    pub(crate) fn get(&self, slot: u32) -> &str {
        let Some(view) = self.views.get(slot as usize) else { return "" };
        let bytes = if length(*view) <= INLINE { inline(view) } else { self.long(*view) };
        std::str::from_utf8(bytes).expect("only texts are put in")
    }

    fn long(&self, view: u128) -> &[u8] {
        let (at, offset) = place(view);
        &self.blocks[at].bytes[offset..offset + length(view)]
    }

    fn keep(&mut self, bytes: &[u8]) -> u128 {
        if bytes.len() <= INLINE {
            return view_of(bytes, 0, 0);
        }
        let at = self.block_for(bytes.len());
        let block = &mut self.blocks[at as usize];
        let offset = block.bytes.len() as u32;
        block.bytes.extend_from_slice(bytes);
        block.live += bytes.len();
        self.live_bytes += bytes.len();
        view_of(bytes, at, offset)
    }

    fn block_for(&mut self, bytes: usize) -> u32 {
        if let Some(at) = self.open {
            let block = &mut self.blocks[at as usize];
            if block.bytes.len() + bytes <= BLOCK_BYTES {
                return at;
            }
            if block.live == 0 {
                block.bytes.clear();
                self.free.push(at);
            }
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.blocks.push(Block::default());
            self.blocks.len() as u32 - 1
        });
        self.blocks[at as usize].bytes.reserve_exact(bytes.max(BLOCK_BYTES));
        self.open = Some(at);
        at
    }

    /// Bytes of the texts that do not stand in their views.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes that the blocks hold, garbage included.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes.capacity()).sum()
    }

    /// Writes the column anew where most of it is garbage; costs no more than what was written since the last time.
    pub(crate) fn compact(&mut self) {
        let used: usize = (self.blocks.len() - self.free.len()) * BLOCK_BYTES;
        if used <= 2 * self.live_bytes + (4 * BLOCK_BYTES) {
            return;
        }
        let old = std::mem::take(&mut self.blocks);
        (self.free, self.open, self.live_bytes) = (Vec::new(), None, 0);
        for slot in 0..self.views.len() {
            let view = self.views[slot];
            if length(view) > INLINE {
                let (at, offset) = place(view);
                self.views[slot] = self.keep(&old[at].bytes[offset..offset + length(view)]);
            }
        }
    }

    /// The texts of `slots`, in that order.
    pub(crate) fn gather(&self, slots: &[u32], nulls: Option<NullBuffer>) -> ArrayRef {
        let mut views = Vec::with_capacity(slots.len());
        let (mut full, mut bytes) = (Vec::new(), Vec::new());
        for &slot in slots {
            let view = self.views.get(slot as usize).copied().unwrap_or_default();
            if length(view) <= INLINE {
                views.push(view);
                continue;
            }
            let text = self.long(view);
            if bytes.len() + text.len() > BUFFER_BYTES && !bytes.is_empty() {
                full.push(Buffer::from_vec(std::mem::take(&mut bytes)));
            }
            views.push(view_of(text, full.len() as u32, bytes.len() as u32));
            bytes.extend_from_slice(text);
        }
        if !bytes.is_empty() {
            full.push(Buffer::from_vec(bytes));
        }
        // SAFETY: every view was made by `view_of` over bytes of a `StringViewArray`, and points into `full`.
        #[expect(unsafe_code, reason = "checking UTF-8 again for every gather costs more than the gather")]
        let array = unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), full, nulls) };
        Arc::new(array)
    }
}

/// The bytes of a view that stand in it.
fn inline(view: &u128) -> &[u8] {
    #[cfg(not(target_endian = "little"))]
    compile_error!("views are read in place, little-endian");
    let bytes: &[u8; 16] = bytemuck_u128(view);
    &bytes[4..4 + length(*view)]
}

fn bytemuck_u128(view: &u128) -> &[u8; 16] {
    // SAFETY: 16 plain bytes with alignment 1.
    #[expect(unsafe_code, reason = "a view's text is lent from where it stands")]
    unsafe {
        &*std::ptr::from_ref(view).cast::<[u8; 16]>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_blocks_are_used_again() {
        let mut column = TextColumn::default();
        column.reach(64);
        for round in 0..20_000u32 {
            let slot = round % 64;
            column.clear(slot);
            column.set(slot, format!("a text of round {round}, longer than a view").as_bytes());
            column.compact();
        }
        assert_eq!(column.get(19_999 % 64), "a text of round 19999, longer than a view");
        assert!(column.allocated_bytes() <= 8 * BLOCK_BYTES, "{} bytes", column.allocated_bytes());
        column.clear(3);
        column.set(3, b"short");
        assert_eq!(column.get(3), "short");
    }
}
