// y[i] = the sum over the i-th group of weights times x. One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
    group: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // (rows * group, columns)
@group(0) @binding(2) var<storage, read> weights: array<f32>; // (rows * group)
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // (rows, columns)

@compute @workgroup_size(64)
fn weighted_sum(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let row = place / params.columns;
    if (row >= params.rows) {
        return;
    }
    var sum = 0.0;
    for (var i = row * params.group; i < (row + 1u) * params.group; i++) {
        sum += weights[i] * x[i * params.columns + place % params.columns];
    }
    y[place] = sum;
}
