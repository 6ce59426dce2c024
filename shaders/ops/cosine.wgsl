// The cosine of every query and every key; keeps the inverse lengths. One lane per pair.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const SQUARE_MIN: f32 = 1e-12;

struct Params {
    queries: u32,
    keys: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;         // (queries, columns)
@group(0) @binding(2) var<storage, read> key: array<f32>;           // (keys, columns)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;       // (queries, keys)
@group(0) @binding(4) var<storage, read_write> inverses: array<f32>; // (queries), (keys)

@compute @workgroup_size(64)
fn cosine(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let b = place / params.keys;
    let m = place % params.keys;
    if (b >= params.queries) {
        return;
    }
    var of_query = 0.0;
    var of_key = 0.0;
    var product = 0.0;
    for (var c = 0u; c < params.columns; c++) {
        let q = query[b * params.columns + c];
        let k = key[m * params.columns + c];
        of_query += q * q;
        of_key += k * k;
        product += q * k;
    }
    let query_inverse = 1.0 / sqrt(max(of_query, SQUARE_MIN));
    let key_inverse = 1.0 / sqrt(max(of_key, SQUARE_MIN));
    y[place] = product * query_inverse * key_inverse;
    if (m == 0u) {
        inverses[b] = query_inverse;
    }
    if (b == 0u) {
        inverses[params.queries + m] = key_inverse;
    }
}
