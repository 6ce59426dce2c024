// The gradients of one key and its value, gathered from the queries of its sequence that see it. One workgroup per
// key: lanes share out the queries, 64 at a time, then the columns. In front of this file: shared/grid.wgsl.

struct Params {
    keys: u32,
    d: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;       // (queries, 3, d): query, y, d_y
@group(0) @binding(2) var<storage, read> rows: array<f32>;        // (keys, 2, d)
@group(0) @binding(3) var<storage, read> asked: array<vec4<u32>>; // (keys): first query, queries, how many a query must see, -
@group(0) @binding(4) var<storage, read> seen: array<vec4<u32>>;  // (queries)
@group(0) @binding(5) var<storage, read> scales: array<f32>;      // (queries, 3): largest score, 1 / sum, d_y . y
@group(0) @binding(6) var<storage, read_write> d_rows: array<f32>; // (keys, 2, d)

var<workgroup> weights: array<f32, 64>;
var<workgroup> d_scores: array<f32, 64>;

@compute @workgroup_size(64)
fn attention_key_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let j = grid_index(workgroup);
    if (j >= params.keys) {
        return;
    }
    let ask = asked[j];
    let d = params.d;
    let scale = 1.0 / sqrt(f32(d));
    let column = lane;
    var d_key = vec2<f32>(0.0);
    var d_value = vec2<f32>(0.0);
    for (var first = 0u; first < ask.y; first += 64u) {
        let i = ask.x + first + lane;
        weights[lane] = 0.0;
        d_scores[lane] = 0.0;
        if (first + lane < ask.y && seen[i].y >= ask.z) {
            var score = 0.0;
            var with_value = 0.0;
            for (var c = 0u; c < d; c++) {
                score += query[i * 3u * d + c] * rows[j * 2u * d + c];
                with_value += query[(i * 3u + 2u) * d + c] * rows[(j * 2u + 1u) * d + c];
            }
            weights[lane] = exp(score * scale - scales[i * 3u]) * scales[i * 3u + 1u];
            d_scores[lane] = weights[lane] * (with_value - scales[i * 3u + 2u]) * scale;
        }
        workgroupBarrier();
        let last = min(ask.y - first, 64u);
        // Up to 128 columns: two a lane.
        for (var half = 0u; half < 2u; half++) {
            let c = column + half * 64u;
            if (c < d) {
                for (var n = 0u; n < last; n++) {
                    let at = (ask.x + first + n) * 3u * d;
                    d_key[half] += d_scores[n] * query[at + c];
                    d_value[half] += weights[n] * query[at + 2u * d + c];
                }
            }
        }
        workgroupBarrier();
    }
    for (var half = 0u; half < 2u; half++) {
        let c = column + half * 64u;
        if (c < d) {
            d_rows[j * 2u * d + c] = d_key[half];
            d_rows[(j * 2u + 1u) * d + c] = d_value[half];
        }
    }
}
