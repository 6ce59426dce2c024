// The columns of one part, out of the columns of the whole: part += whole. One lane per number of the part.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    len: u32,
    columns: u32,
    all: u32,
    start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_whole: array<f32>;
@group(0) @binding(2) var<storage, read_write> d_part: array<f32>;

@compute @workgroup_size(64)
fn concat_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place < params.len) {
        d_part[place] += d_whole[place / params.columns * params.all + params.start + place % params.columns];
    }
}
