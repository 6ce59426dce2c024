// The best k of a chunk of 1,024 events for each of four candidates: scores are one product of integers times a length,
// and stay in registers. One workgroup per (slice, four candidates); a lane scores four events. The k-th score is found
// bit by bit, by counting; among its equals the newest are taken.
// In front of this file: shared/grid.wgsl.

const LANES: u32 = 256u;
// Events of a lane, and candidates of a workgroup.
const SIDE: u32 = 4u;
const TILE: u32 = 16u;
const CHUNK: u32 = 1024u;
// Four components a word, at most 512.
const QUADS_MAX: u32 = 128u;

struct Params {
    slices: u32,
    // the first slice of this dispatch in `slices`
    first: u32,
    // slices of the whole window
    window: u32,
    candidates: u32,
    quads: u32,
    k: u32,
}

struct Slice {
    // of the chunk, within the page
    slot: u32,
    // place in the chunk of the window's first event
    start: u32,
    // age of the chunk's first event, and one more
    age: u32,
    // among the slices of the window
    index: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slices: array<Slice>;
@group(0) @binding(2) var<storage, read> vectors: array<u32>;    // (slots, tiles, quads, 16)
@group(0) @binding(3) var<storage, read> inverses: array<f32>;   // (slots, tiles, 16), 0 without content
@group(0) @binding(4) var<storage, read> candidates: array<u32>; // (candidates, quads)
// (candidates, slices of the window, k) key and age; key 0 where there is none
@group(0) @binding(5) var<storage, read_write> entries: array<vec2<u32>>;

var<workgroup> side: array<vec4<u32>, QUADS_MAX>;
var<workgroup> counts: array<atomic<u32>, SIDE>;

// The sum over all lanes.
fn total(own: vec4<u32>, lane: u32) -> vec4<u32> {
    if (lane < SIDE) {
        atomicStore(&counts[lane], 0u);
    }
    workgroupBarrier();
    for (var c = 0u; c < SIDE; c++) {
        if (own[c] > 0u) {
            atomicAdd(&counts[c], own[c]);
        }
    }
    workgroupBarrier();
    let sum = vec4<u32>(
        atomicLoad(&counts[0]), atomicLoad(&counts[1]), atomicLoad(&counts[2]), atomicLoad(&counts[3]));
    workgroupBarrier();
    return sum;
}

// Order-preserving, and above 0.
fn key_of(score: f32) -> u32 {
    let bits = bitcast<u32>(score);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// Where lane `lane`'s `n`th event stands: (tile, lane of the tile).
fn place_of(lane: u32, n: u32) -> vec2<u32> {
    return vec2<u32>(n * (LANES / TILE) + lane / TILE, lane % TILE);
}

// The keys of one event for the four candidates; 0 where it is not in the window or has no content.
fn keys_of(slice: Slice, at: vec2<u32>) -> vec4<u32> {
    let row = slice.slot * (CHUNK / TILE) + at.x;
    let inverse = inverses[row * TILE + at.y];
    if (inverse == 0.0 || at.x * TILE + (TILE - 1u - at.y) < slice.start) {
        return vec4<u32>(0u);
    }
    var sums = vec4<i32>(0);
    for (var quad = 0u; quad < params.quads; quad++) {
        let event = vectors[(row * params.quads + quad) * TILE + at.y];
        let words = side[quad];
        sums += vec4<i32>(
            dot4I8Packed(event, words.x), dot4I8Packed(event, words.y),
            dot4I8Packed(event, words.z), dot4I8Packed(event, words.w));
    }
    let scores = vec4<f32>(sums) * inverse;
    return vec4<u32>(key_of(scores.x), key_of(scores.y), key_of(scores.z), key_of(scores.w));
}

fn count(found: vec4<bool>) -> vec4<u32> {
    return select(vec4<u32>(0u), vec4<u32>(1u), found);
}

@compute @workgroup_size(256)
fn shortlist(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = grid_index(workgroup);
    let sides = (params.candidates + SIDE - 1u) / SIDE;
    if (index >= params.slices * sides) {
        return;
    }
    let slice = slices[params.first + index / sides];
    let first = index % sides * SIDE;
    for (var quad = lane; quad < params.quads; quad += LANES) {
        var words = vec4<u32>(0u);
        for (var c = 0u; c < min(SIDE, params.candidates - first); c++) {
            words[c] = candidates[(first + c) * params.quads + quad];
        }
        side[quad] = words;
    }
    workgroupBarrier();
    var keys: array<vec4<u32>, SIDE>;
    var newer: array<u32, SIDE>; // events of the chunk that are newer
    for (var n = 0u; n < SIDE; n++) {
        let at = place_of(lane, n);
        keys[n] = keys_of(slice, at);
        newer[n] = CHUNK - TILE - at.x * TILE + at.y;
    }

    // The largest key that k reach; 0 where there are fewer.
    let k = vec4<u32>(params.k);
    var limit = vec4<u32>(0u);
    for (var bit = 0x80000000u; bit != 0u; bit >>= 1u) {
        let more = limit | vec4<u32>(bit);
        var own = vec4<u32>(0u);
        for (var n = 0u; n < SIDE; n++) {
            own += count(keys[n] >= more);
        }
        limit = select(limit, more, total(own, lane) >= k);
    }
    var own = vec4<u32>(0u);
    for (var n = 0u; n < SIDE; n++) {
        own += count(keys[n] > limit);
    }
    let ties = k - min(k, total(own, lane));
    // Of those at the limit: the largest number of newer ones that fewer than `ties` have less of.
    var newest = vec4<u32>(0u);
    for (var bit = CHUNK / 2u; bit != 0u; bit >>= 1u) {
        let more = newest | vec4<u32>(bit);
        own = vec4<u32>(0u);
        for (var n = 0u; n < SIDE; n++) {
            own += count((keys[n] == limit) & (vec4<u32>(newer[n]) < more));
        }
        newest = select(newest, more, total(own, lane) < ties);
    }

    // `counts` holds the places taken now; the order does not matter.
    if (lane < SIDE) {
        atomicStore(&counts[lane], 0u);
    }
    workgroupBarrier();
    for (var c = 0u; c < min(SIDE, params.candidates - first); c++) {
        let base = ((first + c) * params.window + slice.index) * params.k;
        for (var n = 0u; n < SIDE; n++) {
            let key = keys[n][c];
            let tie = key == limit[c] && limit[c] != 0u && ties[c] != 0u && newer[n] <= newest[c];
            if (key > limit[c] || tie) {
                let age = slice.age - CHUNK + newer[n];
                entries[base + atomicAdd(&counts[c], 1u)] = vec2<u32>(key, age);
            }
        }
    }
    workgroupBarrier();
    for (var c = 0u; c < min(SIDE, params.candidates - first); c++) {
        let base = ((first + c) * params.window + slice.index) * params.k;
        for (var place = atomicLoad(&counts[c]) + lane; place < params.k; place += LANES) {
            entries[base + place] = vec2<u32>(0u);
        }
    }
}
