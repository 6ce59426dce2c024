// The product of two matrices, element by element, written or added to the target. Rows lie as far apart as their
// strides say; of b there may be one row, or one number, for all. One lane per product.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    len: u32,
    columns: u32,
    target_stride: u32,
    a_stride: u32,
    b_stride: u32,
    b_step: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> products: array<f32>;

@compute @workgroup_size(64)
fn multiply(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let row = place / params.columns;
    let column = place % params.columns;
    let target_place = row * params.target_stride + column;
    var product = a[row * params.a_stride + column] * b[row * params.b_stride + column * params.b_step];
    if (params.accumulate != 0u) {
        product += products[target_place];
    }
    products[target_place] = product;
}
