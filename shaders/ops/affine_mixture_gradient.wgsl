// d_x, and per row the gradients of shift and scale, whose column sums are those of the map. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    components: u32,
    of_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> map: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_maps: array<f32>; // (rows, 2)

@compute @workgroup_size(64)
fn affine_mixture_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let stretch = exp(map[1]);
    var d_shift = 0.0;
    var d_scale = 0.0;
    for (var m = 0u; m < 3u * params.components; m++) {
        let place = row * 3u * params.components + m;
        let kind = m / params.components;
        var factor = 1.0;
        if (kind == 1u) {
            factor = stretch;
            d_shift += d_y[place];
            d_scale += d_y[place] * stretch * x[place];
        } else if (kind == 2u) {
            d_scale += d_y[place];
        }
        if (params.of_x != 0u) {
            d_x[place] += factor * d_y[place];
        }
    }
    d_maps[row * 2u] = d_shift;
    d_maps[row * 2u + 1u] = d_scale;
}
