// y = f(x) + addend, slope = f'(x). One lane per number.
// In front of this file: shared/grid.wgsl, shared/lane.wgsl, shared/functions.wgsl.

struct Params {
    len: u32,
    // As in `Function`.
    kind: u32,
    has_addend: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> addend: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> slope: array<f32>;

// (f(x), f'(x))
fn value_and_slope(x: f32) -> vec2<f32> {
    switch params.kind {
        case 0u: {
            let t = hyperbolic_tangent(x);
            return vec2<f32>(t, 1.0 - t * t);
        }
        case 1u: {
            let s = sigmoid(x);
            return vec2<f32>(s, s * (1.0 - s));
        }
        case 2u: {
            let s = sigmoid(x);
            return vec2<f32>(x * s, s + x * s * (1.0 - s));
        }
        case 3u: {
            let root = 0.7978845608;
            let t = hyperbolic_tangent(root * (x + 0.044715 * x * x * x));
            let inner = root * (1.0 + 3.0 * 0.044715 * x * x);
            return vec2<f32>(0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner);
        }
        case 5u: {
            return vec2<f32>(max(x, 0.0), select(0.0, 1.0, x > 0.0));
        }
        default: {
            return vec2<f32>(softplus(x), sigmoid(x));
        }
    }
}

@compute @workgroup_size(64)
fn unary(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane_index(workgroup, lane);
    if (place >= params.len) {
        return;
    }
    let both = value_and_slope(x[place]);
    var sum = both.x;
    if (params.has_addend != 0u) {
        sum += addend[place];
    }
    y[place] = sum;
    slope[place] = both.y;
}
