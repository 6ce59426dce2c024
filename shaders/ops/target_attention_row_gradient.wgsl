// The gradients of one row's key, values and bias, gathered from the queries that ask it. One workgroup per row: 64
// queries at a time, lanes share out the queries, then the columns.
// In front of this file: shared/grid.wgsl, shared/pair.wgsl.

struct Params {
    rows: u32,
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
@group(0) @binding(1) var<storage, read> query: array<f32>;          // (queries, d + value): query, d_y
@group(0) @binding(2) var<storage, read> rows: array<f32>;           // (rows, d + value + 1): key, values, bias
@group(0) @binding(3) var<storage, read> asked: array<vec2<u32>>;    // (rows): first query or place in `inverse`, how many
@group(0) @binding(4) var<storage, read> inverse: array<vec2<u32>>;  // (pairs): query, pair
@group(0) @binding(5) var<storage, read> links: array<vec2<u32>>;    // (pairs): row, bits of the similarity
@group(0) @binding(6) var<storage, read> coefficients: array<f32>;
@group(0) @binding(7) var<storage, read> scales: array<f32>;         // (queries, 3): largest score, 1 / sum, mean of d_weight
@group(0) @binding(8) var<storage, read_write> d_rows: array<f32>;   // (rows, d + value + 1)

var<workgroup> d_products: array<f32, 64>;
var<workgroup> weights: array<f32, 64>;
var<workgroup> d_scores: array<f32, 64>;
var<workgroup> places: array<u32, 64>;

@compute @workgroup_size(64)
fn target_attention_row_gradient(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = grid_index(workgroup);
    if (j >= params.rows) {
        return;
    }
    let ask = asked[j];
    let of_query = params.d + params.value;
    let width = of_query + 1u;
    var c = vec4<f32>(1.0, 0.0, 0.0, 1.0);
    for (var n = 0u; n < params.coefficients; n++) {
        c[n] = coefficients[n];
    }
    var sums: array<f32, 9>;
    for (var first = 0u; first < ask.y; first += 64u) {
        let here = min(ask.y - first, 64u);
        if (lane < here) {
            var i = ask.x + first + lane;
            var similarity = 0.0;
            if (params.has_links != 0u) {
                let back = inverse[i];
                i = back.x;
                similarity = bitcast<f32>(links[back.y].y);
            }
            var product = 0.0;
            for (var k = 0u; k < params.d; k++) {
                product += query[i * of_query + k] * rows[j * width + k];
            }
            product *= bitcast<f32>(params.scale);
            var d_weight = 0.0;
            for (var k = params.d; k < of_query; k++) {
                d_weight += query[i * of_query + k] * rows[j * width + k];
            }
            let score = pair_score(product, similarity, c) + rows[j * width + of_query];
            let weight = exp(score - scales[i * 3u]) * scales[i * 3u + 1u];
            let d_score = weight * (d_weight - scales[i * 3u + 2u]);
            places[lane] = i;
            weights[lane] = weight + bitcast<f32>(params.floor);
            d_scores[lane] = d_score;
            d_products[lane] = d_score * (c.x + c.z * similarity / c.w) * bitcast<f32>(params.scale);
        }
        workgroupBarrier();
        for (var part = 0u; part < 9u; part++) {
            let column = lane + part * 64u;
            for (var n = 0u; n < here && column < width; n++) {
                if (column < params.d) {
                    sums[part] += d_products[n] * query[places[n] * of_query + column];
                } else if (column < of_query) {
                    sums[part] += weights[n] * query[places[n] * of_query + column];
                } else {
                    sums[part] += d_scores[n];
                }
            }
        }
        workgroupBarrier();
    }
    for (var part = 0u; part < 9u; part++) {
        let column = lane + part * 64u;
        if (column < width) {
            d_rows[j * width + column] = sums[part];
        }
    }
}
