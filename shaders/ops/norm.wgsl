// Layer norm (with a bias) or RMS norm (without) of rows. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const EPSILON: f32 = 1e-5;

struct Params {
    rows: u32,
    columns: u32,
    has_bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> saved: array<f32>; // (rows, columns) normalized, (rows) multiplied by

@compute @workgroup_size(64)
fn norm(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let start = row * params.columns;
    let count = f32(params.columns);
    var mean = 0.0;
    if (params.has_bias != 0u) {
        for (var c = 0u; c < params.columns; c++) {
            mean += x[start + c];
        }
        mean /= count;
    }
    var square = 0.0;
    for (var c = 0u; c < params.columns; c++) {
        square += (x[start + c] - mean) * (x[start + c] - mean);
    }
    let scale = 1.0 / sqrt(square / count + EPSILON);
    for (var c = 0u; c < params.columns; c++) {
        let normal = (x[start + c] - mean) * scale;
        saved[start + c] = normal;
        y[start + c] = normal * gain[c];
        if (params.has_bias != 0u) {
            y[start + c] += bias[c];
        }
    }
    saved[params.rows * params.columns + row] = scale;
}
