// Partial sums over chunks of indexes: of each piece of the table, the gradients of the rows that named it. One lane
// per chunk and number of the table. In front of this file: shared/grid.wgsl, shared/lane.wgsl.

struct Params {
    ids: u32,
    width: u32,
    // Numbers of the table.
    len: u32,
    chunk: u32,
    chunks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;            // (ids, width)
@group(0) @binding(2) var<storage, read> ids: array<u32>;            // (ids)
@group(0) @binding(3) var<storage, read_write> partials: array<f32>; // (chunks, len)

@compute @workgroup_size(64)
fn gather_gradient(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let chunk = place / params.len;
    if (chunk >= params.chunks) {
        return;
    }
    let piece = place % params.len / params.width;
    let column = place % params.len % params.width;
    var sum = 0.0;
    let end = min((chunk + 1u) * params.chunk, params.ids);
    for (var i = chunk * params.chunk; i < end; i++) {
        if (ids[i] == piece) {
            sum += d_y[i * params.width + column];
        }
    }
    partials[place] = sum;
}
