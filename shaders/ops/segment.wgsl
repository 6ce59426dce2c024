// Per coarse row the sum of its fine rows: sums (rows, columns) = or += scale * sum of x. One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
    // How many neighbors share a row; 0: `offsets` tells.
    group: u32,
    // Only the first `counts` rows of each.
    has_counts: u32,
    mean: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>; // (rows + 1)
@group(0) @binding(3) var<storage, read> counts: array<u32>;  // (rows)
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn segment(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let row = place / params.columns;
    if (row >= params.rows) {
        return;
    }
    var start = row * params.group;
    var count = params.group;
    if (params.group == 0u) {
        start = offsets[row];
        count = offsets[row + 1u] - start;
    }
    if (params.has_counts != 0u) {
        count = min(count, counts[row]);
    }
    var sum = 0.0;
    for (var i = start; i < start + count; i++) {
        sum += x[i * params.columns + place % params.columns];
    }
    if (params.mean != 0u && count > 0u) {
        sum *= 1.0 / f32(count);
    }
    if (params.accumulate != 0u) {
        sum += sums[place];
    }
    sums[place] = sum;
}
