// Target attention of one query over the rows it asks. One workgroup per query: 64 rows at a time, lanes share out the
// rows, then the columns; the largest score so far and the sums are carried along.
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
@group(0) @binding(1) var<storage, read> query: array<f32>;        // (queries, d)
@group(0) @binding(2) var<storage, read> rows: array<f32>;         // (rows, d + value + 1): key, values, bias
@group(0) @binding(3) var<storage, read> ranges: array<vec2<u32>>; // (queries): first row or pair, how many
@group(0) @binding(4) var<storage, read> links: array<vec2<u32>>;  // (pairs): row, bits of the similarity
@group(0) @binding(5) var<storage, read> coefficients: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;      // (queries, value)
@group(0) @binding(7) var<storage, read_write> scales: array<f32>; // (queries, 3): largest score, 1 / sum, and place for a third

var<workgroup> scores: array<f32, 64>;
var<workgroup> places: array<u32, 64>;
var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn target_attention(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
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
    var most = -3.4e38;
    var sum = 0.0;
    var softened: array<f32, 4>;
    var plain: array<f32, 4>;
    for (var first = 0u; first < range.y; first += 64u) {
        let here = min(range.y - first, 64u);
        scores[lane] = -3.4e38;
        if (lane < here) {
            var row = range.x + first + lane;
            var similarity = 0.0;
            if (params.has_links != 0u) {
                let link = links[row];
                row = link.x;
                similarity = bitcast<f32>(link.y);
            }
            var product = 0.0;
            for (var k = 0u; k < params.d; k++) {
                product += query[i * params.d + k] * rows[row * width + k];
            }
            scores[lane] = pair_score(product * bitcast<f32>(params.scale), similarity, c) + rows[(row + 1u) * width - 1u];
            places[lane] = row;
        }
        parts[lane] = scores[lane];
        workgroupBarrier();
        for (var half = 32u; half > 0u; half >>= 1u) {
            if (lane < half) {
                parts[lane] = max(parts[lane], parts[lane + half]);
            }
            workgroupBarrier();
        }
        let before = most;
        most = max(most, parts[0]);
        // 0 for the first rows, whatever the least number.
        let keep = select(exp(before - most), 0.0, first == 0u);
        workgroupBarrier();
        scores[lane] = select(0.0, exp(scores[lane] - most), lane < here);
        parts[lane] = scores[lane];
        workgroupBarrier();
        for (var half = 32u; half > 0u; half >>= 1u) {
            if (lane < half) {
                parts[lane] += parts[lane + half];
            }
            workgroupBarrier();
        }
        sum = sum * keep + parts[0];
        for (var part = 0u; part < 4u; part++) {
            let column = lane + part * 64u;
            if (column < params.value) {
                softened[part] *= keep;
                for (var n = 0u; n < here; n++) {
                    let value = rows[places[n] * width + params.d + column];
                    softened[part] += scores[n] * value;
                    plain[part] += value;
                }
            }
        }
        workgroupBarrier();
    }
    // Zero only where nothing is asked.
    var inverse = 0.0;
    if (sum > 0.0) {
        inverse = 1.0 / sum;
    }
    for (var part = 0u; part < 4u; part++) {
        let column = lane + part * 64u;
        if (column < params.value) {
            y[i * params.value + column] = softened[part] * inverse + bitcast<f32>(params.floor) * plain[part];
        }
    }
    if (lane == 0u) {
        scales[i * 3u] = most;
        scales[i * 3u + 1u] = inverse;
    }
}
