// The gradient of a query row: the weights are made again from what was kept, then
// d_score = weight (d_y . value - d_y . y) / sqrt(d), d_query += d_score key. One workgroup per query row. Also the
// gradient of the query's own key and value.
// In front of this file: shared/grid.wgsl.

const KEYS: u32 = 1024u;

struct Params {
    queries: u32,
    d: u32,
    has_own: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// (queries, 3, d): query, y, d_y
@group(0) @binding(1) var<storage, read> query: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;         // (rows, 2, d)
@group(0) @binding(3) var<storage, read> prefix: array<f32>;       // (prefix rows, 2, d)
@group(0) @binding(4) var<storage, read> own: array<f32>;          // (queries, 2, d)
@group(0) @binding(5) var<storage, read> seen: array<vec4<u32>>;
// (queries, 3): largest score, 1 / sum, d_y . y (written here)
@group(0) @binding(6) var<storage, read_write> scales: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_query: array<f32>; // (queries, 3, d): of query, own key, own value

var<workgroup> d_scores: array<f32, KEYS>;
var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn attention_query_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = grid_index(workgroup);
    if (i >= params.queries) {
        return;
    }
    let see = seen[i];
    let d = params.d;
    let at = i * 3u * d;
    let scale = 1.0 / sqrt(f32(d));
    var part = 0.0;
    for (var c = lane; c < d; c += 64u) {
        part += query[at + d + c] * query[at + 2u * d + c];
    }
    parts[lane] = part;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
        workgroupBarrier();
    }
    let with_y = parts[0];
    let before_own = see.y + see.w;
    for (var j = lane; j < before_own + params.has_own; j += 64u) {
        var score = 0.0;
        var with_value = 0.0;
        for (var c = 0u; c < d; c++) {
            var key = 0.0;
            var value = 0.0;
            if (j < see.w) {
                key = prefix[(see.z + j) * 2u * d + c];
                value = prefix[((see.z + j) * 2u + 1u) * d + c];
            } else if (j < before_own) {
                key = rows[(see.x + j - see.w) * 2u * d + c];
                value = rows[((see.x + j - see.w) * 2u + 1u) * d + c];
            } else {
                key = own[i * 2u * d + c];
                value = own[(i * 2u + 1u) * d + c];
            }
            score += query[at + c] * key;
            with_value += query[at + 2u * d + c] * value;
        }
        let weight = exp(score * scale - scales[i * 3u]) * scales[i * 3u + 1u];
        d_scores[j] = weight * (with_value - with_y) * scale;
        if (j == before_own) {
            // The own row's weight, for its value's gradient.
            d_scores[j + 1u] = weight;
        }
    }
    workgroupBarrier();
    for (var c = lane; c < d; c += 64u) {
        var sum = 0.0;
        for (var j = 0u; j < see.w; j++) {
            sum += d_scores[j] * prefix[(see.z + j) * 2u * d + c];
        }
        for (var j = 0u; j < see.y; j++) {
            sum += d_scores[see.w + j] * rows[(see.x + j) * 2u * d + c];
        }
        if (params.has_own != 0u) {
            sum += d_scores[before_own] * own[i * 2u * d + c];
            d_query[at + d + c] = d_scores[before_own] * query[at + c];
            d_query[at + 2u * d + c] = d_scores[before_own + 1u] * query[at + 2u * d + c];
        }
        d_query[at + c] = sum;
    }
    if (lane == 0u) {
        scales[i * 3u + 2u] = with_y;
    }
}
