// d_cosines -= d_y at the chosen columns. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
    n: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(3) var<storage, read_write> d_cosines: array<f32>;

@compute @workgroup_size(64)
fn key_distance_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    for (var place = row * params.n; place < (row + 1u) * params.n; place++) {
        d_cosines[row * params.columns + chosen[place]] -= d_y[row];
    }
}
