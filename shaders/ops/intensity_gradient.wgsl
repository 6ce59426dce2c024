// d_x += d_y sigmoid(x / scale), and per number the gradient of the log scale, whose column sums are the scale's. One
// lane per number. In front of this file: shared/grid.wgsl, shared/lane.wgsl, shared/functions.wgsl.

struct Params {
    len: u32,
    columns: u32,
    of_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> log_scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_scales: array<f32>; // (rows, columns)

@compute @workgroup_size(64)
fn intensity_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let slope = sigmoid(x[place] / exp(log_scale[place % params.columns]));
    if (params.of_x != 0u) {
        d_x[place] += d_y[place] * slope;
    }
    d_scales[place] = d_y[place] * (y[place] - x[place] * slope);
}
