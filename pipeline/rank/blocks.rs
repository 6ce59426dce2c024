//! Content blocks of users who were asked about, kept from one request to the next: what is new is appended, and a GPU that
//! holds a block hears of that alone.
//!
//! A block is a function of the vectors of a history, so it is held against them at every request: whatever happened to the
//! history meanwhile, the block is that of the vectors, or is made anew.

use std::collections::VecDeque;

use hashbrown::HashMap;
use shaders::Error;
use shaders::muse::Block;

/// Behaviors beyond which a block is made anew rather than looked through for where they begin.
const APPENDED_MAX: usize = 256;

/// Who has a block: task, and slot of the user, where he is known. Slots are reused, which costs a new block.
pub type Owner = (i32, Option<u32>);

/// The blocks of one worker, in two generations: when the newer one is full, the older one is dropped.
pub struct Blocks {
    dim: usize,
    /// Bytes of a generation.
    half: usize,
    newer: HashMap<Owner, Kept>,
    older: HashMap<Owner, Kept>,
    newer_bytes: usize,
}

struct Kept {
    block: Block,
    /// Rows of the vectors among the items, the oldest first; none of a behavior whose item has none.
    rows: VecDeque<Option<u32>>,
}

impl Blocks {
    /// No blocks yet, of vectors of length `dim`; about `bytes_max` bytes of them will be kept, but always the newest.
    pub fn new(dim: usize, bytes_max: usize) -> Self {
        Self { dim, half: bytes_max / 2, newer: HashMap::new(), older: HashMap::new(), newer_bytes: 0 }
    }

    /// The block of a user whose behaviors have the vectors of `rows`, the oldest first; `vector` gives that of a place among
    /// them.
    ///
    /// # Errors
    /// [`Error::Shape`] where the vectors do not have the length.
    pub fn of<'v>(
        &mut self,
        owner: Owner,
        rows: &[Option<u32>],
        vector: impl Fn(usize) -> &'v [i8],
    ) -> Result<&Block, Error> {
        let (mut kept, staying) = match self.take(owner).and_then(|kept| Some((kept.staying(rows)?, kept))) {
            Some((staying, kept)) => (kept, staying),
            None => (Kept { block: Block::new(self.dim)?, rows: VecDeque::new() }, 0),
        };
        kept.rows.drain(..kept.rows.len() - staying);
        kept.block.expire(kept.block.end() - staying as u64);
        for (place, (was, now)) in kept.rows.iter_mut().zip(rows).enumerate().filter(|(_, (was, now))| *was != *now) {
            kept.block.patch(kept.block.start() + place as u64, vector(place))?;
            *was = *now;
        }
        for (place, row) in rows.iter().enumerate().skip(staying) {
            kept.block.push(row.map(|_| vector(place)))?;
            kept.rows.push_back(*row);
        }
        Ok(self.put(owner, kept))
    }

    fn take(&mut self, owner: Owner) -> Option<Kept> {
        let newer = self.newer.remove(&owner);
        self.newer_bytes -= newer.as_ref().map_or(0, Kept::bytes);
        newer.or_else(|| self.older.remove(&owner))
    }

    fn put(&mut self, owner: Owner, kept: Kept) -> &Block {
        let bytes = kept.bytes();
        if self.newer_bytes + bytes > self.half {
            self.older = std::mem::take(&mut self.newer);
            self.newer_bytes = 0;
        }
        self.newer_bytes += bytes;
        &self.newer.entry(owner).insert(kept).into_mut().block
    }

    /// Rows of a task's items mean other vectors from now on, or the task is another worker's.
    pub fn forget(&mut self, task: i32) {
        for generation in [&mut self.newer, &mut self.older] {
            generation.retain(|(of, _), _| *of != task);
        }
        self.newer_bytes = self.newer.values().map(Kept::bytes).sum();
    }

    /// A user's block is dropped.
    pub fn forget_user(&mut self, owner: Owner) {
        self.take(owner);
    }

    /// Rows of all items mean other vectors from now on.
    pub fn clear(&mut self) {
        *self = Self::new(self.dim, 2 * self.half);
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.block.bytes() + self.rows.capacity() * size_of::<Option<u32>>() + size_of::<Self>()
    }

    /// How many of the newest behaviors of the block are the oldest of `rows`; one that had no vector may have one now.
    fn staying(&self, rows: &[Option<u32>]) -> Option<usize> {
        let most = rows.len().min(self.rows.len());
        let least = rows.len().saturating_sub(APPENDED_MAX).max(1);
        let stay = |&staying: &usize| {
            let kept = self.rows.range(self.rows.len() - staying..);
            kept.zip(rows).rev().all(|(was, now)| was.is_none() || was == now)
        };
        (least..=most).rev().find(stay)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};
    use shaders::Device;
    use shaders::muse::{Config, Found, Gsu, search};

    use super::*;

    const DIM: usize = 4;
    const ITEMS: usize = 9;

    fn vector(item: usize) -> [i8; DIM] {
        std::array::from_fn(|at| ((item * 31 + at * 57 + 5) % 200) as i8 / 2)
    }

    /// Whatever happens to histories, a block finds what one that was just made finds.
    #[test]
    fn a_block_is_that_of_the_vectors_whatever_happened() {
        let vectors: Vec<[i8; DIM]> = (0..ITEMS).map(vector).collect();
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut below = move |n: usize| random.next_u32() as usize % n;
        let (mut appended, mut fresh) = (0, 0);
        for bytes_max in [0, 20_000, 1 << 20] {
            let mut blocks = Blocks::new(DIM, bytes_max);
            let mut gsu = Gsu::new(&Device::Cpu, Config { dim: DIM, chunks: 1 }).unwrap();
            let mut histories: Vec<Vec<Option<u32>>> = vec![Vec::new(); 3];
            for round in 0..600 {
                let user = below(3);
                let history = &mut histories[user];
                match below(20) {
                    // One comes late, one gets its vector, all are gone, many come.
                    0 => history.insert(below(history.len() + 1), Some(below(ITEMS) as u32)),
                    1 => history.iter_mut().find(|row| row.is_none()).into_iter().for_each(|row| *row = Some(2)),
                    2 if round % 7 == 0 => history.clear(),
                    3 => history.extend((0..300).map(|n| (n % 5 > 0).then_some(n % ITEMS as u32))),
                    _ => history
                        .extend((0..below(4)).map(|_| Some(below(ITEMS + 3) as u32).filter(|&n| n < ITEMS as u32))),
                }
                let first = history.len().saturating_sub(1 + below(1100));
                history.drain(..first.min(below(40)));
                let owner = (0, (user > 0).then_some(user as u32));
                let of = |place: usize| &vectors[histories[user][place].unwrap() as usize][..];
                let before = blocks.newer.get(&owner).map(|kept| kept.block.end());
                let block = blocks.of(owner, &histories[user], of).unwrap();
                appended += usize::from(before.is_some_and(|before| block.end() > before));
                fresh += usize::from(before.is_none());
                let mut anew = Block::new(DIM).unwrap();
                for row in &histories[user] {
                    anew.push(row.map(|row| &vectors[row as usize][..])).unwrap();
                }
                let (candidate, mut found) = (vector(round), Found::default());
                gsu.search(block, &candidate, 5, &mut found).unwrap();
                assert_eq!((found, block.len()), (search(&anew, &candidate, 5).unwrap(), anew.len()));
                for generation in [&blocks.newer, &blocks.older] {
                    let bytes = generation.values().map(Kept::bytes).sum::<usize>();
                    assert!(generation.len() < 2 || bytes <= bytes_max / 2, "{bytes}");
                }
            }
            blocks.forget(1);
            assert!(!blocks.newer.is_empty(), "the newest stays");
            blocks.forget(0);
            assert!(blocks.newer.is_empty() && blocks.older.is_empty() && blocks.newer_bytes == 0);
        }
        assert!(appended > 300 && fresh > 100, "{appended} {fresh}");
    }
}
