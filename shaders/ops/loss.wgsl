// sums[slot] = the sum of weights times x, rows with weight 0 left out. One workgroup, its lanes strided, then a tree.

struct Params {
    rows: u32,
    slot: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

var<workgroup> parts: array<f32, 256>;

@compute @workgroup_size(256)
fn loss(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var row = lane; row < params.rows; row += 256u) {
        if (weights[row] != 0.0) {
            sum += weights[row] * x[row];
        }
    }
    parts[lane] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        sums[params.slot] = parts[0];
    }
}
