// Masked attention of one query row over a prefix and the rows of its sequence that it sees. One workgroup per query
// row: lanes share out the keys, then the columns. In front of this file: shared/grid.wgsl.

// Keys that one query can see.
const KEYS: u32 = 1024u;

struct Params {
    queries: u32,
    d: u32,
    one_plus: u32,
    has_own: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;        // (queries, d)
@group(0) @binding(2) var<storage, read> rows: array<f32>;         // (rows, 2, d): key and value
@group(0) @binding(3) var<storage, read> prefix: array<f32>;       // (prefix rows, 2, d)
@group(0) @binding(4) var<storage, read> own: array<f32>;          // (queries, 2, d)
@group(0) @binding(5) var<storage, read> seen: array<vec4<u32>>;   // (queries): first row, rows, first prefix, prefixes
@group(0) @binding(6) var<storage, read_write> y: array<f32>;      // (queries, d)
@group(0) @binding(7) var<storage, read_write> scales: array<f32>; // (queries, 3): largest score, 1 / sum, and place for d_y . y

var<workgroup> weights: array<f32, KEYS>;
var<workgroup> parts: array<f32, 64>;

// query . key, where the key begins at `place` of its buffer.
fn dot_key(place: u32, in_prefix: bool, in_own: bool, query_start: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < params.d; c++) {
        var key = 0.0;
        if (in_prefix) {
            key = prefix[place + c];
        } else if (in_own) {
            key = own[place + c];
        } else {
            key = rows[place + c];
        }
        sum += query[query_start + c] * key;
    }
    return sum;
}

@compute @workgroup_size(64)
fn attention(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = grid_index(workgroup);
    if (i >= params.queries) {
        return;
    }
    let see = seen[i];
    let before_own = see.y + see.w;
    let keys = before_own + params.has_own;
    let scale = 1.0 / sqrt(f32(params.d));
    var most = select(-3.4e38, 0.0, params.one_plus != 0u);
    for (var j = lane; j < keys; j += 64u) {
        var score = 0.0;
        if (j < see.w) {
            score = dot_key((see.z + j) * 2u * params.d, true, false, i * params.d);
        } else if (j < before_own) {
            score = dot_key((see.x + j - see.w) * 2u * params.d, false, false, i * params.d);
        } else {
            score = dot_key(i * 2u * params.d, false, true, i * params.d);
        }
        weights[j] = score * scale;
        most = max(most, weights[j]);
    }
    parts[lane] = most;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if (lane < half) {
            parts[lane] = max(parts[lane], parts[lane + half]);
        }
        workgroupBarrier();
    }
    most = parts[0];
    workgroupBarrier();
    var sum = 0.0;
    for (var j = lane; j < keys; j += 64u) {
        weights[j] = exp(weights[j] - most);
        sum += weights[j];
    }
    parts[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
        workgroupBarrier();
    }
    let nothing = select(0.0, exp(-most), params.one_plus != 0u);
    let total = parts[0] + nothing;
    // Zero only where nothing at all is visible.
    let inverse = select(0.0, 1.0 / total, total > 0.0);
    for (var c = lane; c < params.d; c += 64u) {
        var value = 0.0;
        for (var j = 0u; j < see.w; j++) {
            value += weights[j] * prefix[((see.z + j) * 2u + 1u) * params.d + c];
        }
        for (var j = 0u; j < see.y; j++) {
            value += weights[see.w + j] * rows[((see.x + j) * 2u + 1u) * params.d + c];
        }
        if (params.has_own != 0u) {
            value += weights[before_own] * own[(i * 2u + 1u) * params.d + c];
        }
        y[i * params.d + c] = value * inverse;
    }
    if (lane == 0u) {
        scales[i * 3u] = most;
        scales[i * 3u + 1u] = inverse;
    }
}
