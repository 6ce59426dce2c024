// What a user's table says of candidates: the sum over groups of the rows that a candidate asks for, each of length 1 in
// units of 2^-24. The host divides by their number, so that every device gives the same bits. One workgroup per
// candidate, a lane owning every 64th column.
// In front of this file: shared/grid.wgsl, shared/wide.wgsl.

const LANES: u32 = 64u;

struct Params {
    candidates: u32,
    // the table's first row on its page
    first: u32,
    groups: u32,
    dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<u32>;          // (candidates, groups) places in asked
@group(0) @binding(2) var<storage, read> asked: array<u32>;         // rows of the table
@group(0) @binding(3) var<storage, read> table: array<i32>;         // (slots, rows, dim)
@group(0) @binding(4) var<storage, read> scales: array<vec2<u32>>;  // (asked)
@group(0) @binding(5) var<storage, read_write> sums: array<i32>;    // (candidates, dim)

@compute @workgroup_size(64)
fn bucket_read(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let candidate = grid_index(workgroup);
    if (candidate >= params.candidates) {
        return;
    }
    for (var column = lane; column < params.dim; column += LANES) {
        var sum = 0;
        for (var group = 0u; group < params.groups; group++) {
            let place = rows[candidate * params.groups + group];
            let scale = scales[place];
            if (scale.y != 0u) {
                let value = table[(params.first + asked[place]) * params.dim + column];
                let magnitude = bitcast<u32>(abs(value)) << scale.x;
                let units = bitcast<i32>((wide_mul(magnitude, scale.y).y + 64u) >> 7u);
                sum += select(units, -units, value < 0);
            }
        }
        sums[candidate * params.dim + column] = sum;
    }
}
