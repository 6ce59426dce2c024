// -ln of the intensity of the type that came, or the sum of all. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const ALL_TYPES: u32 = 0xffffffffu;
const EPSILON: f32 = 1e-9;

struct Params {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;     // (rows, columns)
@group(0) @binding(2) var<storage, read> types: array<u32>; // (rows)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn intensity_term(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    if (types[row] != ALL_TYPES) {
        y[row] = -log(x[row * params.columns + types[row]] + EPSILON);
        return;
    }
    var sum = 0.0;
    for (var k = 0u; k < params.columns; k++) {
        sum += x[row * params.columns + k];
    }
    y[row] = sum;
}
