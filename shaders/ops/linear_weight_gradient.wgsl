// Partial sums of x^T d_y over chunks of rows, and of d_y alone as one more row: the gradients of weights and bias.
// One lane per chunk and element. In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    rows: u32,
    inputs: u32,
    outputs: u32,
    chunk: u32,
    chunks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // (rows, inputs)
@group(0) @binding(2) var<storage, read> d_y: array<f32>;            // (rows, outputs)
@group(0) @binding(3) var<storage, read_write> partials: array<f32>; // (chunks, inputs + 1, outputs)

@compute @workgroup_size(64)
fn linear_weight_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let elements = (params.inputs + 1u) * params.outputs;
    let chunk = place / elements;
    if (chunk >= params.chunks) {
        return;
    }
    let input = place % elements / params.outputs;
    let output = place % params.outputs;
    var sum = 0.0;
    let end = min((chunk + 1u) * params.chunk, params.rows);
    for (var i = chunk * params.chunk; i < end; i++) {
        var factor = 1.0;
        if (input < params.inputs) {
            factor = x[i * params.inputs + input];
        }
        sum += factor * d_y[i * params.outputs + output];
    }
    partials[place] = sum;
}
