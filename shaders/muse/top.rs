//! The best of many: survivors of a threshold that rises.

use super::block::LANES;

/// The best k so far of each candidate of a tile, and what has passed his threshold since.
///
/// Survivors stand in the order in which they came, newest first, and whoever comes later must be strictly better than
/// the k-th: so ties go to the newer event, and nothing needs to be compared twice. When a list is full, its k best
/// stay and the threshold rises.
#[derive(Debug, Default)]
pub(super) struct Tops {
    k: usize,
    /// Survivors at which a list is cut.
    limit: usize,
    /// (candidates, stride) Order-preserving integers of scores.
    keys: Vec<i32>,
    /// (candidates, stride)
    ages: Vec<u32>,
    /// (candidates) Survivors.
    pub lens: Vec<usize>,
    /// (candidates) Scores must be above this.
    pub floors: Vec<f32>,
}

/// One candidate's list.
pub(super) struct Top<'a> {
    pub keys: &'a mut [i32],
    pub ages: &'a mut [u32],
    pub len: &'a mut usize,
    pub floor: &'a mut f32,
}

/// Survivors that one step can add at most.
pub(super) const STEP: usize = 2 * LANES;

impl Tops {
    /// Empties the lists of `candidates` candidates.
    pub fn begin(&mut self, candidates: usize, k: usize) {
        self.k = k;
        self.limit = (4 * k).next_multiple_of(LANES).max(256);
        let cells = candidates * self.stride();
        self.keys.resize(cells.max(self.keys.len()), 0);
        self.ages.resize(cells.max(self.ages.len()), 0);
        self.lens.clear();
        self.lens.resize(candidates, 0);
        self.floors.clear();
        self.floors.resize(candidates, f32::NEG_INFINITY);
    }

    /// A full list, a step beyond it, and a register written past its end.
    fn stride(&self) -> usize {
        self.limit + STEP + LANES
    }

    #[inline(always)]
    pub fn of(&mut self, candidate: usize) -> Top<'_> {
        let stride = self.stride();
        let cells = candidate * stride..(candidate + 1) * stride;
        Top {
            keys: &mut self.keys[cells.clone()],
            ages: &mut self.ages[cells],
            len: &mut self.lens[candidate],
            floor: &mut self.floors[candidate],
        }
    }

    /// Whether the list must be cut before it takes another step.
    #[inline(always)]
    pub fn is_full(&self, candidate: usize) -> bool {
        self.lens[candidate] > self.limit
    }

    pub fn k(&self) -> usize {
        self.k
    }
}

/// Integers in the order of floats that are no NaN and not -0.
#[inline(always)]
pub(super) fn key_of(score: f32) -> i32 {
    let bits = score.to_bits().cast_signed();
    bits ^ ((bits >> 31) & i32::MAX)
}

/// The inverse of [`key_of`].
#[inline(always)]
pub(super) fn score_of(key: i32) -> f32 {
    f32::from_bits((key ^ ((key >> 31) & i32::MAX)).cast_unsigned())
}

/// Where a list is cut: all above `key` stay, and of those equal to it the first `ties`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    pub key: i32,
    pub ties: usize,
}

impl Top<'_> {
    /// Where to cut so that k stay, where there are more. Halves the interval in which the k-th lies.
    #[inline(always)]
    pub fn cut(&mut self, k: usize) -> Option<Cut> {
        let len = *self.len;
        if len <= k {
            return None;
        }
        let padded = len.next_multiple_of(LANES);
        self.keys[len..padded].fill(i32::MIN);
        let (tiles, _) = self.keys[..padded].as_chunks::<LANES>();
        // More than k are above `low`, fewer than k above `high`.
        let (mut low, mut high) = (least(&self.keys[..len]) - 1, most(tiles));
        for step in 0.. {
            if i64::from(high) - i64::from(low) <= 1 {
                break;
            }
            let middle = middle(low, high, step);
            let above = above(tiles, middle);
            if above == k {
                return Some(Cut { key: middle, ties: 0 });
            }
            if above > k {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(Cut { key: high, ties: k - above(tiles, high) })
    }

    /// Cuts the list to k; the threshold becomes the k-th score.
    #[inline(always)]
    pub fn shrink(&mut self, k: usize) {
        let Some(cut) = self.cut(k) else { return };
        let (mut kept, mut ties, mut least) = (0, cut.ties, i32::MAX);
        for place in 0..*self.len {
            let key = self.keys[place];
            let tie = key == cut.key && ties > 0;
            ties -= usize::from(tie);
            if key > cut.key || tie {
                self.keys[kept] = key;
                self.ages[kept] = self.ages[place];
                kept += 1;
                least = least.min(key);
            }
        }
        debug_assert_eq!(kept, k);
        *self.len = kept;
        *self.floor = score_of(least);
    }

    /// The places of a list of at most 256, the best first, ties as they came.
    #[inline(always)]
    pub fn order(&self, order: &mut [u8; 256]) {
        let len = *self.len;
        let tiles = len.div_ceil(LANES);
        for tile in 0..tiles {
            let mut keys = [i32::MIN; LANES];
            let part = &self.keys[tile * LANES..len.min((tile + 1) * LANES)];
            keys[..part.len()].copy_from_slice(part);
            let mut ranks = [0; LANES];
            let (before, rest) = self.keys[..len].split_at(tile * LANES);
            let (own, after) = rest.split_at(part.len());
            for &other in before {
                ranks.iter_mut().zip(keys).for_each(|(rank, key)| *rank += i32::from(other >= key));
            }
            for (place, &other) in own.iter().enumerate() {
                for lane in 0..LANES {
                    ranks[lane] += i32::from(other > keys[lane] || other == keys[lane] && place < lane);
                }
            }
            for &other in after {
                ranks.iter_mut().zip(keys).for_each(|(rank, key)| *rank += i32::from(other > key));
            }
            for lane in 0..part.len() {
                order[ranks[lane] as usize & 255] = (tile * LANES + lane) as u8;
            }
        }
    }
}

/// The least key.
#[inline(always)]
fn least(keys: &[i32]) -> i32 {
    let (tiles, rest) = keys.as_chunks::<LANES>();
    let mut least = [i32::MAX; LANES];
    for tile in tiles {
        for lane in 0..LANES {
            least[lane] = least[lane].min(tile[lane]);
        }
    }
    least.into_iter().chain(rest.iter().copied()).fold(i32::MAX, i32::min)
}

/// The largest key.
#[inline(always)]
fn most(tiles: &[[i32; LANES]]) -> i32 {
    let mut most = [i32::MIN; LANES];
    for tile in tiles {
        for lane in 0..LANES {
            most[lane] = most[lane].max(tile[lane]);
        }
    }
    most.into_iter().fold(i32::MIN, i32::max)
}

/// How many keys are above `key`.
#[inline(always)]
fn above(tiles: &[[i32; LANES]], key: i32) -> usize {
    let mut counts = [0; LANES];
    for tile in tiles {
        for lane in 0..LANES {
            counts[lane] += i32::from(tile[lane] > key);
        }
    }
    counts.into_iter().sum::<i32>() as usize
}

/// A key strictly between two: halfway between the scores, where scores lie evenly; and, where that does not end, between
/// the keys, which ends within 32 steps.
#[inline(always)]
fn middle(low: i32, high: i32, step: usize) -> i32 {
    if step < 16 {
        let key = key_of(0.5 * score_of(low) + 0.5 * score_of(high));
        if key > low && key < high {
            return key;
        }
    }
    low + ((i64::from(high) - i64::from(low)) / 2) as i32
}
