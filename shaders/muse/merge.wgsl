// The best k of all that the chunks of a window gave, the best first, ties to the newer. One workgroup per candidate.
// In front of this file: shared/grid.wgsl.

const LANES: u32 = 256u;

struct Params {
    candidates: u32,
    // of one candidate
    entries: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> entries: array<vec2<u32>>;     // (candidates, entries) key, 0: none; age
@group(0) @binding(2) var<storage, read_write> found: array<vec2<u32>>; // (candidates, k) key, 0: none; age

var<workgroup> sum: atomic<u32>;
var<workgroup> kept: array<vec2<u32>, LANES>;

// The sum over all lanes.
fn total(own: u32, lane: u32) -> u32 {
    if (lane == 0u) {
        atomicStore(&sum, 0u);
    }
    workgroupBarrier();
    if (own > 0u) {
        atomicAdd(&sum, own);
    }
    workgroupBarrier();
    let all = atomicLoad(&sum);
    workgroupBarrier();
    return all;
}

@compute @workgroup_size(256)
fn merge(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let candidate = grid_index(workgroup);
    if (candidate >= params.candidates) {
        return;
    }
    let base = candidate * params.entries;
    // The largest key that k reach; 0 where there are fewer.
    var limit = 0u;
    for (var bit = 0x80000000u; bit != 0u; bit >>= 1u) {
        let more = limit | bit;
        var own = 0u;
        for (var index = lane; index < params.entries; index += LANES) {
            own += select(0u, 1u, entries[base + index].x >= more);
        }
        limit = select(limit, more, total(own, lane) >= params.k);
    }
    var above = 0u;
    for (var index = lane; index < params.entries; index += LANES) {
        above += select(0u, 1u, entries[base + index].x > limit);
    }
    let ties = params.k - min(params.k, total(above, lane));
    // Of those at the limit: the largest age that fewer than `ties` are below.
    var newest = 0u;
    for (var bit = 0x80000000u; bit != 0u; bit >>= 1u) {
        let more = newest | bit;
        var own = 0u;
        for (var index = lane; index < params.entries; index += LANES) {
            let entry = entries[base + index];
            own += select(0u, 1u, entry.x == limit && entry.y < more);
        }
        newest = select(newest, more, total(own, lane) < ties);
    }

    if (lane == 0u) {
        atomicStore(&sum, 0u);
    }
    workgroupBarrier();
    for (var index = lane; index < params.entries; index += LANES) {
        let entry = entries[base + index];
        let tie = entry.x == limit && limit != 0u && ties != 0u && entry.y <= newest;
        if (entry.x > limit || tie) {
            kept[atomicAdd(&sum, 1u)] = entry;
        }
    }
    workgroupBarrier();
    let len = atomicLoad(&sum);
    if (lane < len) {
        let own = kept[lane];
        var place = 0u;
        for (var index = 0u; index < len; index++) {
            let other = kept[index];
            place += select(0u, 1u, other.x > own.x || (other.x == own.x && other.y < own.y));
        }
        found[candidate * params.k + place] = own;
    } else if (lane < params.k) {
        found[candidate * params.k + lane] = vec2<u32>(0u);
    }
}
