// y = x + the coarse row that owns the row. One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    len: u32,
    columns: u32,
    // How many neighbors share a row; 0: `owners` tells.
    group: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> coarse: array<f32>;
@group(0) @binding(3) var<storage, read> owners: array<u32>; // (rows)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn expand(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let row = place / params.columns;
    var owner = 0u;
    if (params.group == 0u) {
        owner = owners[row];
    } else {
        owner = row / params.group;
    }
    y[place] = x[place] + coarse[owner * params.columns + place % params.columns];
}
