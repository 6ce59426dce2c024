// y = scale softplus(x / scale). One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl, shared/functions.wgsl.

struct Params {
    len: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> log_scale: array<f32>; // (columns)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn intensity(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place < params.len) {
        let scale = exp(log_scale[place % params.columns]);
        y[place] = scale * softplus(x[place] / scale);
    }
}
