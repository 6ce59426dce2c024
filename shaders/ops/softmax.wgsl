// Softmax of rows. One lane per row. In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn softmax(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let start = row * params.columns;
    var most = x[start];
    for (var c = 1u; c < params.columns; c++) {
        most = max(most, x[start + c]);
    }
    var total = 0.0;
    for (var c = 0u; c < params.columns; c++) {
        let part = exp(x[start + c] - most);
        y[start + c] = part;
        total += part;
    }
    for (var c = 0u; c < params.columns; c++) {
        y[start + c] /= total;
    }
}
