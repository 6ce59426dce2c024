// [a . b, scale cos(a, b)] of each row; keeps the cosine and both inverse lengths. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const SQUARE_MIN: f32 = 1e-12;

struct Params {
    rows: u32,
    columns: u32,
    a_stride: u32,
    b_stride: u32,
    // The bits of a float.
    scale: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;            // (rows, a_stride)
@group(0) @binding(2) var<storage, read> b: array<f32>;            // (rows, b_stride)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;      // (rows, 2)
@group(0) @binding(4) var<storage, read_write> saved: array<f32>;  // (rows, 3): cosine, 1 / |a|, 1 / |b|

fn inverse_length(square: f32) -> f32 {
    if (square < SQUARE_MIN) {
        return 0.0;
    }
    return 1.0 / sqrt(square);
}

@compute @workgroup_size(64)
fn similarity(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    var of_a = 0.0;
    var of_b = 0.0;
    var product = 0.0;
    for (var c = 0u; c < params.columns; c++) {
        let left = a[row * params.a_stride + c];
        let right = b[row * params.b_stride + c];
        of_a += left * left;
        of_b += right * right;
        product += left * right;
    }
    let inverse_a = inverse_length(of_a);
    let inverse_b = inverse_length(of_b);
    let cosine = product * inverse_a * inverse_b;
    y[row * 2u] = product;
    y[row * 2u + 1u] = bitcast<f32>(params.scale) * cosine;
    saved[row * 3u] = cosine;
    saved[row * 3u + 1u] = inverse_a;
    saved[row * 3u + 2u] = inverse_b;
}
