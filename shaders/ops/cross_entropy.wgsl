// -ln softmax(logits)[class]; keeps the softmax. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> classes: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;      // (rows)
@group(0) @binding(4) var<storage, read_write> shares: array<f32>; // (rows, columns)

@compute @workgroup_size(64)
fn cross_entropy(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let start = row * params.columns;
    var most = logits[start];
    for (var c = 1u; c < params.columns; c++) {
        most = max(most, logits[start + c]);
    }
    var total = 0.0;
    for (var c = 0u; c < params.columns; c++) {
        let part = exp(logits[start + c] - most);
        shares[start + c] = part;
        total += part;
    }
    for (var c = 0u; c < params.columns; c++) {
        shares[start + c] /= total;
    }
    y[row] = most + log(total) - logits[start + classes[row]];
}
