// The columns of the n largest scores less a penalty, largest first, ties to the lower; 0, 1, ... where `counts` is 0.
// One lane per row. In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
    n: u32,
    has_penalty: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;  // (rows, columns)
@group(0) @binding(2) var<storage, read> penalty: array<f32>; // (columns)
@group(0) @binding(3) var<storage, read> counts: array<u32>;  // (rows)
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>; // (rows, n)

fn score_of(row: u32, m: u32) -> f32 {
    var score = scores[row * params.columns + m];
    if (params.has_penalty != 0u) {
        score -= penalty[m];
    }
    return score;
}

@compute @workgroup_size(64)
fn top(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    for (var place = 0u; place < params.n; place++) {
        var best = place;
        if (counts[row] != 0u) {
            var best_score = 0.0;
            best = params.columns;
            for (var m = 0u; m < params.columns; m++) {
                var taken = false;
                for (var earlier = 0u; earlier < place; earlier++) {
                    taken = taken || chosen[row * params.n + earlier] == m;
                }
                let score = score_of(row, m);
                if (!taken && (best == params.columns || score > best_score)) {
                    best = m;
                    best_score = score;
                }
            }
        }
        chosen[row * params.n + place] = best;
    }
}
