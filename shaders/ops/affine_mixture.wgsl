// Means: shift + e^scale mean; log deviations: + scale. One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    len: u32,
    components: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;   // (rows, 3, components)
@group(0) @binding(2) var<storage, read> map: array<f32>; // shift, scale
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn affine_mixture(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    switch place / params.components % 3u {
        case 0u: {
            y[place] = x[place];
        }
        case 1u: {
            y[place] = map[0] + exp(map[1]) * x[place];
        }
        default: {
            y[place] = x[place] + map[1];
        }
    }
}
