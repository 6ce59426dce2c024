// d_logits += d_y (share - 1 of the class). One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    len: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read> classes: array<u32>;
@group(0) @binding(4) var<storage, read_write> d_logits: array<f32>;

@compute @workgroup_size(64)
fn cross_entropy_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let row = place / params.columns;
    let own = select(0.0, 1.0, classes[row] == place % params.columns);
    d_logits[place] += d_y[row] * (shares[place] - own);
}
