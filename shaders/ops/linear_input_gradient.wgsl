// d_x += d_y W^T. One lane per input and ROWS neighboring rows.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const ROWS: u32 = 4u;

struct Params {
    rows: u32,
    inputs: u32,
    outputs: u32,
    weight: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;       // (rows, outputs)
@group(0) @binding(2) var<storage, read> weights: array<f32>;   // (inputs, outputs)
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>; // (rows, inputs)

@compute @workgroup_size(64)
fn linear_input_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let input = place % params.inputs;
    let first = place / params.inputs * ROWS;
    if (first >= params.rows) {
        return;
    }
    var sums: array<f32, ROWS>;
    for (var n = 0u; n < params.outputs; n++) {
        let weight = weights[params.weight + input * params.outputs + n];
        for (var r = 0u; r < ROWS; r++) {
            sums[r] += d_y[min(first + r, params.rows - 1u) * params.outputs + n] * weight;
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        if (first + r < params.rows) {
            d_x[(first + r) * params.inputs + input] += sums[r];
        }
    }
}
