// Scales table rows to length 1 and writes them as f16, in integers throughout, so that every device gives the same
// bits; the formula is in mod.rs. One workgroup per (published table, row).
// In front of this file: shared/grid.wgsl, shared/wide.wgsl.

const LANES: u32 = 64u;

struct Params {
    tables: u32,
    // the first table of this dispatch in `published`
    first: u32,
    // rows of a table: groups * buckets
    rows: u32,
    dim: u32,
    // u32 words of an output row: two f16 each
    words: u32,
}

struct Published {
    // within the page
    slot: u32,
    // place in the output
    position: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> published: array<Published>;
@group(0) @binding(2) var<storage, read> table: array<i32>;          // (slots, rows, dim)
@group(0) @binding(3) var<storage, read> counts: array<u32>;         // (slots, rows)
@group(0) @binding(4) var<storage, read_write> tables: array<u32>;   // (positions, rows, words)

var<workgroup> sums: array<vec2<u32>, LANES>;
// (half the shift, the inverse root); inverse 0 for an empty row
var<workgroup> scale: vec2<u32>;

// fraction * 2^-24, at most 1, to the nearest f16, ties to even.
fn to_f16(fraction: u32) -> u32 {
    if (fraction < 2048u) {
        return fraction;
    }
    let shift = 21u - countLeadingZeros(fraction);
    let kept = fraction >> shift;
    let rest = fraction & ((1u << shift) - 1u);
    let half = (1u << shift) >> 1u;
    let up = shift > 0u && (rest > half || (rest == half && (kept & 1u) == 1u));
    return (shift << 10u) + kept + select(0u, 1u, up);
}

fn normalized(sum: i32) -> u32 {
    let magnitude = bitcast<u32>(abs(sum)) << scale.x;
    let fraction = (wide_mul(magnitude, scale.y).y + 64u) >> 7u;
    return to_f16(fraction) | select(0u, 0x8000u, sum < 0);
}

@compute @workgroup_size(64)
fn normalize(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = grid_index(workgroup);
    if (index >= params.tables * params.rows) {
        return;
    }
    let target_table = published[params.first + index / params.rows];
    let row = target_table.slot * params.rows + index % params.rows;
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
        scale = vec2<u32>(0u, 0u);
        let square = sums[0];
        if (counts[row] != 0u && (square.x | square.y) != 0u) {
            let shift = wide_leading_zeros(square) & 62u;
            scale = vec2<u32>(shift / 2u, wide_inverse(wide_square_root(wide_shift_left(square, shift))));
        }
    }
    workgroupBarrier();
    let place = (target_table.position * params.rows + index % params.rows) * params.words;
    for (var word = lane; word < params.words; word += LANES) {
        if (scale.y == 0u) {
            tables[place + word] = 0u;
            continue;
        }
        let column = word * 2u;
        var packed = normalized(table[row * params.dim + column]);
        if (column + 1u < params.dim) {
            packed |= normalized(table[row * params.dim + column + 1u]) << 16u;
        }
        tables[place + word] = packed;
    }
}
