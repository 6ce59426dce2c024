// x / 3 and thirteen bumps e^(-2 (x - c)^2). One lane per number of the result.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl.

const BUMPS: u32 = 14u;

struct Params {
    rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // (rows)
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // (rows, BUMPS)

@compute @workgroup_size(64)
fn bumps(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    let row = place / BUMPS;
    if (row >= params.rows) {
        return;
    }
    let n = place % BUMPS;
    let off = clamp(x[row], -3.5, 3.5) - (0.5 * f32(n) - 3.5);
    y[place] = select(exp(-2.0 * off * off), x[row] / 3.0, n == 0u);
}
