// d_x += weight d_y; d_weight += x . d_y. One lane per row of x.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
    group: u32,
    of_x: u32,
    of_weights: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_weights: array<f32>;

@compute @workgroup_size(64)
fn weighted_sum_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = lane_index(workgroup, lane);
    if (i >= params.rows) {
        return;
    }
    var along = 0.0;
    for (var column = 0u; column < params.columns; column++) {
        let gradient = d_y[i / params.group * params.columns + column];
        along += x[i * params.columns + column] * gradient;
        if (params.of_x != 0u) {
            d_x[i * params.columns + column] += weights[i] * gradient;
        }
    }
    if (params.of_weights != 0u) {
        d_weights[i] += along;
    }
}
