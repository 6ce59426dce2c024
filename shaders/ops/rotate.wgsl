// y = x, its first columns turned pair by pair. One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    len: u32,
    columns: u32,
    // Columns of the angles: sine and cosine of each pair.
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> angles: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn rotate(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let column = place % params.columns;
    if (column >= params.width) {
        y[place] = x[place];
        return;
    }
    let angle = place / params.columns * params.width + (column & ~1u);
    let sine = angles[angle];
    let cosine = angles[angle + 1u];
    if ((column & 1u) == 0u) {
        y[place] = cosine * x[place] - sine * x[place + 1u];
    } else {
        y[place] = sine * x[place - 1u] + cosine * x[place];
    }
}
