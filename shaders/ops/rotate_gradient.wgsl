// d_x += d_y, its first columns turned back pair by pair. One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    len: u32,
    columns: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> angles: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(64)
fn rotate_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let column = place % params.columns;
    if (column >= params.width) {
        d_x[place] += d_y[place];
        return;
    }
    let angle = place / params.columns * params.width + (column & ~1u);
    let sine = angles[angle];
    let cosine = angles[angle + 1u];
    if ((column & 1u) == 0u) {
        d_x[place] += cosine * d_y[place] + sine * d_y[place + 1u];
    } else {
        d_x[place] += cosine * d_y[place] - sine * d_y[place - 1u];
    }
}
