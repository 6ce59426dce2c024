// -ln of the density of a gap under a mixture, or of the probability that it is longer; where `gradient` says so, not
// this but its gradient by the parameters. One lane per row.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl, shared/survival.wgsl.

const COMPONENTS_MAX: u32 = 16u;
const LOG_DEVIATION_MAX: f32 = 3.0;

struct Params {
    rows: u32,
    components: u32,
    // As the bits of an f32.
    floor: u32,
    gradient: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<f32>; // (rows, 3, components)
@group(0) @binding(2) var<storage, read> gaps: array<f32>;       // (rows)
@group(0) @binding(3) var<storage, read> kinds: array<u32>;      // (rows)
@group(0) @binding(4) var<storage, read> d_y: array<f32>;        // (rows)
// (rows), or the gradient (rows, 3, components), added to
@group(0) @binding(5) var<storage, read_write> results: array<f32>;

@compute @workgroup_size(64)
fn mixture(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = lane_index(workgroup, lane);
    if (row >= params.rows) {
        return;
    }
    let components = params.components;
    let start = row * 3u * components;
    let lowest = bitcast<f32>(params.floor);
    var most_logit = parameters[start];
    for (var m = 1u; m < components; m++) {
        most_logit = max(most_logit, parameters[start + m]);
    }
    var shares: array<f32, COMPONENTS_MAX>;
    var logs: array<f32, COMPONENTS_MAX>;
    var by_mean: array<f32, COMPONENTS_MAX>;
    var by_deviation: array<f32, COMPONENTS_MAX>;
    var all = 0.0;
    var most = -3.4e38;
    for (var m = 0u; m < components; m++) {
        shares[m] = exp(parameters[start + m] - most_logit);
        all += shares[m];
        let log_deviation = parameters[start + 2u * components + m];
        let above = exp(min(log_deviation, LOG_DEVIATION_MAX));
        let deviation = lowest + above;
        let z = (gaps[row] - parameters[start + components + m]) / deviation;
        let slope = select(above, 0.0, log_deviation > LOG_DEVIATION_MAX) / deviation;
        if (kinds[row] == 0u) {
            logs[m] = -0.5 * z * z - log(deviation) - HALF_LOG_TAU;
            by_mean[m] = z / deviation;
            by_deviation[m] = (z * z - 1.0) * slope;
        } else {
            let both = log_survival(z);
            logs[m] = both.x;
            by_mean[m] = both.y / deviation;
            by_deviation[m] = both.y * z * slope;
        }
        most = max(most, logs[m]);
    }
    var total = 0.0;
    for (var m = 0u; m < components; m++) {
        shares[m] /= all;
        logs[m] = shares[m] * exp(logs[m] - most);
        total += logs[m];
    }
    if (params.gradient == 0u) {
        results[row] = -(most + log(total));
        return;
    }
    for (var m = 0u; m < components; m++) {
        let r = logs[m] / total;
        results[start + m] -= d_y[row] * (r - shares[m]);
        results[start + components + m] -= d_y[row] * r * by_mean[m];
        results[start + 2u * components + m] -= d_y[row] * r * by_deviation[m];
    }
}
