// d_x += (d_y - (d_y . y) y) / |x|. One lane per row. In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;          // (rows, columns)
@group(0) @binding(2) var<storage, read> d_y: array<f32>;        // (rows, columns)
@group(0) @binding(3) var<storage, read> inverses: array<f32>;   // (rows)
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;  // (rows, columns)

@compute @workgroup_size(64)
fn unit_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let start = row * params.columns;
    var along = 0.0;
    for (var c = 0u; c < params.columns; c++) {
        along += y[start + c] * d_y[start + c];
    }
    for (var c = 0u; c < params.columns; c++) {
        d_x[start + c] += (d_y[start + c] - along * y[start + c]) * inverses[row];
    }
}
