// d_a += d_dot b + d_cos (b / |b| - cos a / |a|) / |a|, and d_b alike. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
    a_stride: u32,
    b_stride: u32,
    // The bits of a float.
    scale: u32,
    of_a: u32,
    of_b: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;          // (rows, a_stride)
@group(0) @binding(2) var<storage, read> b: array<f32>;          // (rows, b_stride)
@group(0) @binding(3) var<storage, read> d_y: array<f32>;        // (rows, 2)
@group(0) @binding(4) var<storage, read> saved: array<f32>;      // (rows, 3): cosine, 1 / |a|, 1 / |b|
@group(0) @binding(5) var<storage, read_write> d_a: array<f32>;  // (rows, a_stride)
@group(0) @binding(6) var<storage, read_write> d_b: array<f32>;  // (rows, b_stride)

@compute @workgroup_size(64)
fn similarity_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let d_cosine = d_y[row * 2u + 1u] * bitcast<f32>(params.scale);
    let cosine = saved[row * 3u];
    let inverse_a = saved[row * 3u + 1u];
    let inverse_b = saved[row * 3u + 2u];
    let of_other = d_y[row * 2u] + d_cosine * inverse_a * inverse_b;
    let of_a = d_cosine * cosine * inverse_a * inverse_a;
    let of_b = d_cosine * cosine * inverse_b * inverse_b;
    for (var c = 0u; c < params.columns; c++) {
        let left = a[row * params.a_stride + c];
        let right = b[row * params.b_stride + c];
        if (params.of_a != 0u) {
            d_a[row * params.a_stride + c] += of_other * right - of_a * left;
        }
        if (params.of_b != 0u) {
            d_b[row * params.b_stride + c] += of_other * left - of_b * right;
        }
    }
}
