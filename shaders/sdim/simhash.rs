//! The twin of `simhash.wgsl`: one matrix product in integers, so that every instruction set gives the same bits.

use rayon::prelude::*;

use super::Shape;

/// Fewer items than this stay on the calling thread: below it, waking others costs more.
const PARALLEL_MIN: usize = 4096;
/// Items of one thread's piece.
const PIECE: usize = 512;

/// The hash matrix, ready to be multiplied.
#[derive(Debug)]
pub(super) struct Hasher {
    dim: usize,
    words: usize,
    /// (bits, dim)
    hash: Vec<i16>,
    /// (pairs, blocks): components 2p and 2p + 1 of 16 hyperplanes, padded with zeros; empty where the machine has no
    /// product of pairs of i16 that adds.
    #[cfg(target_arch = "x86_64")]
    planes: Vec<wide::Block>,
}

impl Hasher {
    /// `hash` (bits, dim) is checked.
    pub fn new(shape: &Shape, hash: &[i16]) -> Hasher {
        Hasher {
            dim: shape.dim,
            words: shape.signature_words(),
            hash: hash.to_vec(),
            #[cfg(target_arch = "x86_64")]
            planes: if wide::is_there() { wide::planes(shape.dim, hash) } else { Vec::new() },
        }
    }

    /// (bits, dim)
    pub fn hash(&self) -> &[i16] {
        &self.hash
    }

    /// Bit k = 1 where the k-th hyperplane . vector > 0: signatures (items, words) of `vectors` (items, dim).
    pub fn simhash(&self, vectors: &[i16], signatures: &mut [u64]) {
        let (vector, signature) = (self.dim, self.words);
        if signatures.len() < PARALLEL_MIN * signature {
            return self.piece(vectors, signatures);
        }
        let pieces = vectors.par_chunks(PIECE * vector).zip(signatures.par_chunks_mut(PIECE * signature));
        pieces.for_each(|(vectors, signatures)| self.piece(vectors, signatures));
    }

    fn piece(&self, vectors: &[i16], signatures: &mut [u64]) {
        #[cfg(target_arch = "x86_64")]
        if !self.planes.is_empty() {
            return wide::simhash(&self.planes, self.dim, self.words, vectors, signatures);
        }
        let vectors = vectors.chunks_exact(self.dim);
        for (vector, signature) in vectors.zip(signatures.chunks_exact_mut(self.words)) {
            sign(&self.hash, vector, signature);
        }
    }
}

super::cpu::vectorized! {
    fn sign(hash: &[i16], vector: &[i16], signature: &mut [u64]) {
        signature.fill(0);
        for (bit, plane) in hash.chunks_exact(vector.len()).enumerate() {
            let products = plane.iter().zip(vector).map(|(&r, &x)| i32::from(r) * i32::from(x));
            let z = products.fold(0, i32::wrapping_add);
            signature[bit / 64] |= u64::from(z > 0) << (bit % 64);
        }
    }
}

/// AVX-512 with VNNI: 16 hyperplanes a register, a pair of components an instruction.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    /// Pairs of components of 16 hyperplanes.
    pub type Block = [[i16; 2]; 16];

    pub fn is_there() -> bool {
        std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vnni")
    }

    /// See [`super::Hasher`].
    pub fn planes(dim: usize, hash: &[i16]) -> Vec<Block> {
        let bits = hash.len() / dim;
        let at = |bit: usize, column: usize| if bit < bits && column < dim { hash[bit * dim + column] } else { 0 };
        let mut planes = Vec::new();
        for column in (0..dim).step_by(2) {
            for first in (0..bits).step_by(16) {
                planes.push(std::array::from_fn(|lane| [at(first + lane, column), at(first + lane, column + 1)]));
            }
        }
        planes
    }

    pub fn simhash(planes: &[Block], dim: usize, words: usize, vectors: &[i16], signatures: &mut [u64]) {
        #[expect(unsafe_code, reason = "there are planes only where the features were detected")]
        unsafe {
            piece(planes, dim, words, vectors, signatures);
        }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn piece(planes: &[Block], dim: usize, words: usize, vectors: &[i16], signatures: &mut [u64]) {
        signatures.fill(0);
        let mut fours = vectors.chunks_exact(4 * dim).zip(signatures.chunks_exact_mut(4 * words));
        for (vectors, signatures) in fours.by_ref() {
            items::<4>(planes, dim, vectors, signatures);
        }
        let rest = vectors.len() / dim % 4;
        let vectors = vectors[vectors.len() - rest * dim..].chunks_exact(dim);
        let first = signatures.len() - rest * words;
        for (vector, signature) in vectors.zip(signatures[first..].chunks_exact_mut(words)) {
            items::<1>(planes, dim, vector, signature);
        }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    #[inline]
    fn items<const N: usize>(planes: &[Block], dim: usize, vectors: &[i16], signatures: &mut [u64]) {
        let blocks = planes.len() / dim.div_ceil(2);
        let vectors: [&[i16]; N] = std::array::from_fn(|n| &vectors[n * dim..(n + 1) * dim]);
        let mut block = 0;
        while block + 3 <= blocks {
            product::<N, 3>(planes, blocks, block, vectors, signatures);
            block += 3;
        }
        while block < blocks {
            product::<N, 1>(planes, blocks, block, vectors, signatures);
            block += 1;
        }
    }

    /// The bits of blocks `first` to `first + B` of N items.
    #[target_feature(enable = "avx512f,avx512vnni")]
    #[inline]
    fn product<const N: usize, const B: usize>(
        planes: &[Block],
        blocks: usize,
        first: usize,
        vectors: [&[i16]; N],
        signatures: &mut [u64],
    ) {
        let mut sums = [[_mm512_setzero_si512(); B]; N];
        let pairs = vectors.map(|vector| vector.as_chunks::<2>());
        let whole = pairs[0].0.len();
        for (p, row) in planes.chunks_exact(blocks).enumerate() {
            let planes: [__m512i; B] = std::array::from_fn(|b| load(&row[first + b]));
            for n in 0..N {
                let (pairs, rest) = pairs[n];
                let pair = if p < whole { pairs[p] } else { [rest[0], 0] };
                let pair = _mm512_set1_epi32(bytemuck::cast(pair));
                for b in 0..B {
                    sums[n][b] = _mm512_dpwssd_epi32(sums[n][b], planes[b], pair);
                }
            }
        }
        let words = signatures.len() / N;
        for (sums, signature) in sums.into_iter().zip(signatures.chunks_exact_mut(words)) {
            for (sum, block) in sums.into_iter().zip(first..) {
                let bits = _mm512_cmpgt_epi32_mask(sum, _mm512_setzero_si512());
                signature[block / 4] |= u64::from(bits) << (block % 4 * 16);
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(block: &Block) -> __m512i {
        #[expect(unsafe_code, reason = "a block is 64 bytes")]
        unsafe {
            _mm512_loadu_si512(block.as_ptr().cast())
        }
    }
}
