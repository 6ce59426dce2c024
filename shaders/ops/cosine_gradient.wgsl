// The gradient of cosines by one side's vectors (spec 6.3), the other side summed over. One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    queries: u32,
    keys: u32,
    columns: u32,
    // Of the keys; else of the queries.
    of_keys: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;
@group(0) @binding(2) var<storage, read> key: array<f32>;
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read> d_y: array<f32>;
@group(0) @binding(5) var<storage, read> inverses: array<f32>; // (queries), (keys)
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn cosine_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let vector = place / params.columns;
    let c = place % params.columns;
    if (vector >= select(params.queries, params.keys, params.of_keys != 0u)) {
        return;
    }
    var sum = 0.0;
    for (var other = 0u; other < select(params.keys, params.queries, params.of_keys != 0u); other++) {
        let b = select(vector, other, params.of_keys != 0u);
        let m = select(other, vector, params.of_keys != 0u);
        let unit_query = query[b * params.columns + c] * inverses[b];
        let unit_key = key[m * params.columns + c] * inverses[params.queries + m];
        let pair = b * params.keys + m;
        if (params.of_keys != 0u) {
            sum += d_y[pair] * (unit_query - y[pair] * unit_key);
        } else {
            sum += d_y[pair] * (unit_key - y[pair] * unit_query);
        }
    }
    gradient[place] += sum * inverses[select(vector, params.queries + vector, params.of_keys != 0u)];
}
