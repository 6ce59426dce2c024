// d_x of a norm, and d_y times the normalized row, whose column sums are the gain's gradient. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    columns: u32,
    centered: u32,
    of_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> saved: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_gains: array<f32>; // (rows, columns)

@compute @workgroup_size(64)
fn norm_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let start = row * params.columns;
    let count = f32(params.columns);
    var mean = 0.0;
    var along = 0.0;
    for (var c = 0u; c < params.columns; c++) {
        mean += d_y[start + c] * gain[c];
        along += d_y[start + c] * gain[c] * saved[start + c];
        d_gains[start + c] = d_y[start + c] * saved[start + c];
    }
    mean = select(0.0, mean / count, params.centered != 0u);
    along /= count;
    let scale = saved[params.rows * params.columns + row];
    if (params.of_x != 0u) {
        for (var c = 0u; c < params.columns; c++) {
            d_x[start + c] += scale * (d_y[start + c] * gain[c] - mean - saved[start + c] * along);
        }
    }
}
