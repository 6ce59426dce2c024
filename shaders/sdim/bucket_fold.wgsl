// Folds users' changes into their tables: table[g][signature_g(x)] += sign * x. One workgroup per (user, group, block
// of 64 columns); a lane owns a column and walks the user's changes in order, so every sum has one writer and no
// atomics are needed. The first block counts too, a lane owning every 64th bucket.
// In front of this file: shared/grid.wgsl, shared/packed.wgsl.

override GROUPS: u32 = 16u;
override GROUP_BITS: u32 = 3u;
// u32 words of a signature
override SIGNATURE: u32 = 2u;

const LANES: u32 = 64u;

struct Params {
    users: u32,
    // the first user of this dispatch in `users`
    first: u32,
    dim: u32,
    words: u32,
}

struct User {
    // within the page
    slot: u32,
    // 1: forget what the slot held
    fresh: u32,
    // changes[begin..end]
    begin: u32,
    end: u32,
}

struct Change {
    item: u32,
    sign: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> users: array<User>;
@group(0) @binding(2) var<storage, read> changes: array<Change>;
@group(0) @binding(3) var<storage, read> vectors: array<u32>;    // (items, words)
@group(0) @binding(4) var<storage, read> signatures: array<u32>; // (items, SIGNATURE)
@group(0) @binding(5) var<storage, read_write> table: array<i32>;  // (slots, groups, buckets, dim)
@group(0) @binding(6) var<storage, read_write> counts: array<u32>; // (slots, groups, buckets)

// Group g's bits of an item's signature; they may lie in two words.
fn bucket_of(item: u32, group: u32) -> u32 {
    let shift = group * GROUP_BITS;
    let word = item * SIGNATURE + (shift >> 5u);
    var bits = signatures[word] >> (shift & 31u);
    if ((shift & 31u) + GROUP_BITS > 32u) {
        bits |= signatures[word + 1u] << (32u - (shift & 31u));
    }
    return bits & ((1u << GROUP_BITS) - 1u);
}

fn component(item: u32, column: u32) -> i32 {
    let word = vectors[item * params.words + (column >> 1u)];
    return select(low_i16(word), high_i16(word), (column & 1u) == 1u);
}

fn fold_column(user: User, group: u32, column: u32) {
    let buckets = 1u << GROUP_BITS;
    let base = (user.slot * GROUPS + group) * buckets;
    if (user.fresh != 0u) {
        for (var bucket = 0u; bucket < buckets; bucket++) {
            table[(base + bucket) * params.dim + column] = 0;
        }
    }
    for (var index = user.begin; index < user.end; index++) {
        let change = changes[index];
        let row = base + bucket_of(change.item, group);
        table[row * params.dim + column] += change.sign * component(change.item, column);
    }
}

// A lane counts the buckets that are its own, LANES apart.
fn fold_counts(user: User, group: u32, lane: u32) {
    let buckets = 1u << GROUP_BITS;
    let base = (user.slot * GROUPS + group) * buckets;
    if (user.fresh != 0u) {
        for (var bucket = lane; bucket < buckets; bucket += LANES) {
            counts[base + bucket] = 0u;
        }
    }
    for (var index = user.begin; index < user.end; index++) {
        let change = changes[index];
        let bucket = bucket_of(change.item, group);
        if (bucket % LANES == lane) {
            counts[base + bucket] += bitcast<u32>(change.sign);
        }
    }
}

@compute @workgroup_size(64)
fn bucket_fold(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let blocks = (params.dim + LANES - 1u) / LANES;
    let index = grid_index(workgroup);
    if (index >= params.users * GROUPS * blocks) {
        return;
    }
    let user = users[params.first + index / (GROUPS * blocks)];
    let group = index / blocks % GROUPS;
    let block = index % blocks;
    let column = block * LANES + lane;
    if (column < params.dim) {
        fold_column(user, group, column);
    }
    if (block == 0u) {
        fold_counts(user, group, lane);
    }
}
