// The gradient of `intensity_term`. One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const ALL_TYPES: u32 = 0xffffffffu;
const EPSILON: f32 = 1e-9;

struct Params {
    len: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> types: array<u32>;
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(64)
fn intensity_term_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let row = place / params.columns;
    if (types[row] == ALL_TYPES) {
        d_x[place] += d_y[row];
    } else if (types[row] == place % params.columns) {
        d_x[place] -= d_y[row] / (x[place] + EPSILON);
    }
}
