// Functions that WGSL lacks, or that overflow there.

// WGSL's own may overflow inside for large x.
fn hyperbolic_tangent(x: f32) -> f32 {
    return tanh(clamp(x, -10.0, 10.0));
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}

fn softplus(x: f32) -> f32 {
    // ln(1 + y) = 2 artanh(y / (2 + y)) keeps small y.
    let y = exp(-min(abs(x), 80.0));
    let s = y / (2.0 + y);
    let square = s * s;
    var series = 1.0 / 17.0;
    for (var n = 15.0; n > 0.0; n -= 2.0) {
        series = series * square + 1.0 / n;
    }
    return max(x, 0.0) + 2.0 * s * series;
}
