// y = x W + b + a. One lane per output and ROWS neighboring rows, so that a weight is read once for all of them.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const ROWS: u32 = 4u;

struct Params {
    rows: u32,
    inputs: u32,
    outputs: u32,
    // Of the weights' first number: they may be rows of a larger table.
    weight: u32,
    has_bias: u32,
    has_addend: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // (rows, inputs)
@group(0) @binding(2) var<storage, read> weights: array<f32>; // (inputs, outputs)
@group(0) @binding(3) var<storage, read> bias: array<f32>;    // (outputs)
@group(0) @binding(4) var<storage, read> addend: array<f32>;  // (rows, outputs)
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // (rows, outputs)

@compute @workgroup_size(64)
fn linear(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let output = place % params.outputs;
    let first = place / params.outputs * ROWS;
    if (first >= params.rows) {
        return;
    }
    var sums: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        let row = min(first + r, params.rows - 1u);
        if (params.has_addend != 0u) {
            sums[r] = addend[row * params.outputs + output];
        }
        if (params.has_bias != 0u) {
            sums[r] += bias[output];
        }
    }
    for (var k = 0u; k < params.inputs; k++) {
        let weight = weights[params.weight + k * params.outputs + output];
        for (var r = 0u; r < ROWS; r++) {
            sums[r] += x[min(first + r, params.rows - 1u) * params.inputs + k] * weight;
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        if (first + r < params.rows) {
            y[(first + r) * params.outputs + output] = sums[r];
        }
    }
}
