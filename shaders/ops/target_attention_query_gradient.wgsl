// The gradient of one query of target attention, and the parts of its pairs in the gradient of the coefficients. One
// workgroup per query: 64 rows at a time, lanes share out the rows, then the columns.
// In front of this file: shared/grid.wgsl, shared/pair.wgsl.

struct Params {
    queries: u32,
    d: u32,
    // Columns of all values.
    value: u32,
    has_links: u32,
    // How many there are: 0, 3 or 4.
    coefficients: u32,
    // The bits of floats.
    scale: u32,
    floor: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;         // (queries, d + value): query, d_y
@group(0) @binding(2) var<storage, read> rows: array<f32>;          // (rows, d + value + 1): key, values, bias
@group(0) @binding(3) var<storage, read> ranges: array<vec2<u32>>;  // (queries): first row or pair, how many
@group(0) @binding(4) var<storage, read> links: array<vec2<u32>>;   // (pairs): row, bits of the similarity
@group(0) @binding(5) var<storage, read> coefficients: array<f32>;
@group(0) @binding(6) var<storage, read_write> scales: array<f32>;  // (queries, 3): largest score, 1 / sum, mean of d_weight
@group(0) @binding(7) var<storage, read_write> d_query: array<f32>; // (queries, d)
@group(0) @binding(8) var<storage, read_write> d_pairs: array<f32>; // (pairs, coefficients)

var<workgroup> d_products: array<f32, 64>;
var<workgroup> places: array<u32, 64>;
var<workgroup> parts: array<f32, 64>;

struct Pair {
    row: u32,
    product: f32,
    similarity: f32,
    weight: f32,
    d_weight: f32,
}

fn pair(i: u32, place: u32, c: vec4<f32>) -> Pair {
    let width = params.d + params.value + 1u;
    var found = Pair(place, 0.0, 0.0, 0.0, 0.0);
    if (params.has_links != 0u) {
        let link = links[place];
        found.row = link.x;
        found.similarity = bitcast<f32>(link.y);
    }
    for (var k = 0u; k < params.d; k++) {
        found.product += query[i * (params.d + params.value) + k] * rows[found.row * width + k];
    }
    found.product *= bitcast<f32>(params.scale);
    for (var k = params.d; k < params.d + params.value; k++) {
        found.d_weight += query[i * (params.d + params.value) + k] * rows[found.row * width + k];
    }
    let score = pair_score(found.product, found.similarity, c) + rows[(found.row + 1u) * width - 1u];
    found.weight = exp(score - scales[i * 3u]) * scales[i * 3u + 1u];
    return found;
}

@compute @workgroup_size(64)
fn target_attention_query_gradient(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = grid_index(workgroup);
    if (i >= params.queries) {
        return;
    }
    let range = ranges[i];
    let width = params.d + params.value + 1u;
    var c = vec4<f32>(1.0, 0.0, 0.0, 1.0);
    for (var n = 0u; n < params.coefficients; n++) {
        c[n] = coefficients[n];
    }
    var along = 0.0;
    for (var n = lane; n < range.y; n += 64u) {
        let found = pair(i, range.x + n, c);
        along += found.weight * found.d_weight;
    }
    parts[lane] = along;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
        workgroupBarrier();
    }
    along = parts[0];
    var sums: array<f32, 4>;
    for (var first = 0u; first < range.y; first += 64u) {
        let here = min(range.y - first, 64u);
        if (lane < here) {
            let place = range.x + first + lane;
            let found = pair(i, place, c);
            let d_score = found.weight * (found.d_weight - along);
            let m = found.similarity / c.w;
            d_products[lane] = d_score * (c.x + c.z * m) * bitcast<f32>(params.scale);
            places[lane] = found.row;
            let of_coefficients = vec4<f32>(
                d_score * found.product,
                d_score * m,
                d_score * found.product * m,
                -d_score * (c.y + c.z * found.product) * m / c.w,
            );
            for (var n = 0u; n < params.coefficients; n++) {
                d_pairs[place * params.coefficients + n] = of_coefficients[n];
            }
        }
        workgroupBarrier();
        for (var part = 0u; part < 4u; part++) {
            let column = lane + part * 64u;
            if (column < params.d) {
                for (var n = 0u; n < here; n++) {
                    sums[part] += d_products[n] * rows[places[n] * width + column];
                }
            }
        }
        workgroupBarrier();
    }
    for (var part = 0u; part < 4u; part++) {
        let column = lane + part * 64u;
        if (column < params.d) {
            d_query[i * params.d + column] = sums[part];
        }
    }
    if (lane == 0u) {
        scales[i * 3u + 2u] = along;
    }
}
