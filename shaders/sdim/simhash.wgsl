// SimHash: bit k of an item's signature = 1 where r_k . x > 0. One workgroup per item, one lane per hyperplane, 64 at a
// time.
// In front of this file: shared/grid.wgsl, shared/packed.wgsl.

override BITS: u32 = 48u;

const LANES: u32 = 64u;

struct Params {
    items: u32,
    // u32 words of a vector: two i16 each, the last one half empty (zero) where dim is odd
    words: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> hash: array<u32>;            // (words, BITS)
@group(0) @binding(2) var<storage, read> vectors: array<u32>;         // (items, words)
@group(0) @binding(3) var<storage, read_write> signatures: array<u32>; // (items, 2 for every 64 bits)

var<workgroup> bits: array<u32, LANES>;

fn bit_of(item: u32, plane: u32) -> u32 {
    var z = 0;
    if (plane < BITS) {
        for (var word = 0u; word < params.words; word++) {
            let x = vectors[item * params.words + word];
            let r = hash[word * BITS + plane];
            z += low_i16(x) * low_i16(r) + high_i16(x) * high_i16(r);
        }
    }
    return select(0u, 1u, z > 0);
}

@compute @workgroup_size(64)
fn simhash(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = grid_index(workgroup);
    if (item >= params.items) {
        return;
    }
    let blocks = (BITS + LANES - 1u) / LANES;
    for (var block = 0u; block < blocks; block++) {
        bits[lane] = bit_of(item, block * LANES + lane);
        workgroupBarrier();
        if (lane < 2u) {
            var packed = 0u;
            for (var bit = 0u; bit < 32u; bit++) {
                packed |= bits[lane * 32u + bit] << bit;
            }
            signatures[(item * blocks + block) * 2u + lane] = packed;
        }
        workgroupBarrier();
    }
}
