// y = x / |x|, a short row to zero; keeps 1 / |x|. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const SQUARE_MIN: f32 = 1e-12;

struct Params {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;               // (rows, columns)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;         // (rows, columns)
@group(0) @binding(3) var<storage, read_write> inverses: array<f32>;  // (rows)

@compute @workgroup_size(64)
fn unit(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let start = row * params.columns;
    var square = 0.0;
    for (var c = 0u; c < params.columns; c++) {
        square += x[start + c] * x[start + c];
    }
    var inverse = 0.0;
    if (square >= SQUARE_MIN) {
        inverse = 1.0 / sqrt(square);
    }
    for (var c = 0u; c < params.columns; c++) {
        y[start + c] = x[start + c] * inverse;
    }
    inverses[row] = inverse;
}
