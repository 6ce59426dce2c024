// Three nodes per component and their weights (Gauss and Hermite). One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const LOG_DEVIATION_MAX: f32 = 3.0;

struct Params {
    rows: u32,
    components: u32,
    // As the bits of an f32.
    floor: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<f32>;    // (rows, 3, components)
@group(0) @binding(2) var<storage, read_write> nodes: array<f32>;   // (rows, components, 3)
@group(0) @binding(3) var<storage, read_write> weights: array<f32>; // (rows, components, 3)

@compute @workgroup_size(64)
fn mixture_nodes(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let start = row * 3u * params.components;
    var most = parameters[start];
    for (var m = 1u; m < params.components; m++) {
        most = max(most, parameters[start + m]);
    }
    var all = 0.0;
    for (var m = 0u; m < params.components; m++) {
        all += exp(parameters[start + m] - most);
    }
    for (var m = 0u; m < params.components; m++) {
        let share = exp(parameters[start + m] - most) / all;
        let mean = parameters[start + params.components + m];
        let log_deviation = min(parameters[start + 2u * params.components + m], LOG_DEVIATION_MAX);
        let off = 1.7320508 * (bitcast<f32>(params.floor) + exp(log_deviation));
        let place = start + 3u * m;
        nodes[place] = mean;
        nodes[place + 1u] = mean + off;
        nodes[place + 2u] = mean - off;
        weights[place] = share * 2.0 / 3.0;
        weights[place + 1u] = share / 6.0;
        weights[place + 2u] = share / 6.0;
    }
}
