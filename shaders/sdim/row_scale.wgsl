// What makes a row's length 1, for the rows of one table that are asked for; the formula is in mod.rs. One workgroup per
// row.
// In front of this file: shared/grid.wgsl, shared/wide.wgsl.

const LANES: u32 = 64u;

struct Params {
    asked: u32,
    // the table's first row on its page
    first: u32,
    dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> asked: array<u32>;  // rows of the table
@group(0) @binding(2) var<storage, read> table: array<i32>;  // (slots, rows, dim)
@group(0) @binding(3) var<storage, read> counts: array<u32>; // (slots, rows)
// (asked) half the shift, the inverse root; 0 for an empty row
@group(0) @binding(4) var<storage, read_write> scales: array<vec2<u32>>;

var<workgroup> sums: array<vec2<u32>, LANES>;

@compute @workgroup_size(64)
fn row_scale(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = grid_index(workgroup);
    if (index >= params.asked) {
        return;
    }
    let row = params.first + asked[index];
    var sum = vec2<u32>(0u, 0u);
    for (var column = lane; column < params.dim; column += LANES) {
        let magnitude = bitcast<u32>(abs(table[row * params.dim + column]));
        sum = wide_add(sum, wide_mul(magnitude, magnitude));
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride >>= 1u) {
        if (lane < stride) {
            sums[lane] = wide_add(sums[lane], sums[lane + stride]);
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        var scale = vec2<u32>(0u, 0u);
        let square = sums[0];
        if (counts[row] != 0u && (square.x | square.y) != 0u) {
            let shift = wide_leading_zeros(square) & 62u;
            scale = vec2<u32>(shift / 2u, wide_inverse(wide_square_root(wide_shift_left(square, shift))));
        }
        scales[index] = scale;
    }
}
