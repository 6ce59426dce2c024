//! The best of many: survivors of a threshold that rises.

use super::block::LANES;

/// The best k so far of each candidate of a tile, and what has passed his threshold since.
///
/// Survivors stand in the order in which they came, newest first, and whoever comes later must be strictly better than a
/// threshold that k have passed: so ties go to the newer event. When a list is full, it is cut to its k best and few
/// more, and the threshold rises.
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
    lens: Vec<usize>,
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

    /// One candidate's list.
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

/// Where a list is cut: all above `key` stay, and of those equal to it the first `ties`. Nothing that comes later and is
/// not above `key` can be among the k best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    pub key: i32,
    pub ties: usize,
}

/// How many more than k may stay: to look for the k-th itself costs more than to keep some.
#[inline(always)]
pub(super) fn slack(k: usize) -> usize {
    k / 4 + 8
}

/// The best of a list, the best first.
#[derive(Debug)]
pub(super) struct Sorted {
    pub len: usize,
    pub keys: [i32; SORTED_MAX],
    pub ages: [u32; SORTED_MAX],
}

/// The longest list that is sorted: k, its slack, and a whole register.
const SORTED_MAX: usize = 384;
const _: () = assert!(super::K_MAX + super::K_MAX / 4 + 8 + LANES <= SORTED_MAX);

impl Default for Sorted {
    fn default() -> Sorted {
        Sorted { len: 0, keys: [0; SORTED_MAX], ages: [0; SORTED_MAX] }
    }
}

impl Top<'_> {
    /// Where to cut so that k and few more stay, where there are more; `above` counts the keys above one. Halves the
    /// interval in which the k-th lies.
    #[inline(always)]
    pub fn cut(&mut self, k: usize, above: impl Fn(&[[i32; LANES]], i32) -> usize) -> Option<Cut> {
        let (len, most) = (*self.len, k + slack(k));
        if len <= most {
            return None;
        }
        let tiles = self.pad();
        // More than `most` are above `low`, fewer than k above `high`.
        let (mut low, mut high) = span(tiles, len);
        for step in 0.. {
            if i64::from(high) - i64::from(low) <= 1 {
                break;
            }
            let middle = middle(low, high, step);
            match above(tiles, middle) {
                above if above > most => low = middle,
                above if above < k => high = middle,
                _ => return Some(Cut { key: middle, ties: 0 }),
            }
        }
        Some(Cut { key: high, ties: k - above(tiles, high) })
    }

    /// The list in whole registers.
    #[inline(always)]
    pub fn pad(&mut self) -> &[[i32; LANES]] {
        let padded = self.len.next_multiple_of(LANES);
        self.keys[*self.len..padded].fill(i32::MIN);
        self.keys[..padded].as_chunks::<LANES>().0
    }

    /// Cuts the list to k and few more, and raises the threshold.
    #[inline(always)]
    pub fn shrink(&mut self, k: usize) {
        let Some(cut) = self.cut(k, above) else { return };
        let (mut kept, mut ties) = (0, cut.ties);
        for place in 0..*self.len {
            let key = self.keys[place];
            let tie = key == cut.key && ties > 0;
            ties -= usize::from(tie);
            self.keys[kept] = key;
            self.ages[kept] = self.ages[place];
            kept += usize::from(key > cut.key || tie);
        }
        *self.len = kept;
        *self.floor = score_of(cut.key);
    }

    /// The best k, in order: everyone's place is how many are better, or as good and came before.
    #[inline(always)]
    pub fn sort(&mut self, k: usize, sorted: &mut Sorted) {
        self.shrink(k);
        let len = *self.len;
        for place in 0..len {
            let (key, age) = (self.keys[place], self.ages[place]);
            let (before, after) = self.keys[..len].split_at(place);
            let better = before.iter().map(|&other| i32::from(other >= key)).sum::<i32>()
                + after.iter().map(|&other| i32::from(other > key)).sum::<i32>();
            sorted.keys[better as usize] = key;
            sorted.ages[better as usize] = age;
        }
        sorted.len = len.min(k);
    }
}

/// A key below all of the first `len`, and the largest; the last tile may be padded, with the least key of all.
#[inline(always)]
fn span(tiles: &[[i32; LANES]], len: usize) -> (i32, i32) {
    let (mut least, mut most) = ([i32::MAX; LANES], [i32::MIN; LANES]);
    let (whole, part) = tiles.split_at(len / LANES);
    for tile in whole {
        for lane in 0..LANES {
            least[lane] = least[lane].min(tile[lane]);
            most[lane] = most[lane].max(tile[lane]);
        }
    }
    for tile in part {
        for lane in 0..LANES {
            least[lane] = least[lane].min(if tile[lane] == i32::MIN { i32::MAX } else { tile[lane] });
            most[lane] = most[lane].max(tile[lane]);
        }
    }
    (least.into_iter().fold(i32::MAX, i32::min) - 1, most.into_iter().fold(i32::MIN, i32::max))
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
