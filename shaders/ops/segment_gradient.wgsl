// d_x += the gradient of the coarse row, where the row was among the first `counts`; divided by their number for a
// mean. One lane per number. In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    len: u32,
    columns: u32,
    mean: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> owners: array<u32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(64)
fn segment_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let row = place / params.columns;
    let owner = owners[row];
    let count = min(counts[owner], offsets[owner + 1u] - offsets[owner]);
    if (row - offsets[owner] >= count) {
        return;
    }
    let gradient = d_y[owner * params.columns + place % params.columns];
    d_x[place] += select(gradient, gradient / f32(count), params.mean != 0u);
}
