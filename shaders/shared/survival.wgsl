// (ln Q(x), phi(x) / Q(x)) of the standard normal distribution; see ops/normal.rs.
const HALF_LOG_TAU: f32 = 0.9189385332;

fn log_survival(x: f32) -> vec2<f32> {
    if (x > 2.0) {
        var fraction = x;
        for (var n = 60.0; n > 0.0; n -= 1.0) {
            fraction = x + n / fraction;
        }
        return vec2<f32>(-0.5 * x * x - HALF_LOG_TAU - log(fraction), fraction);
    }
    let near = max(x, -9.0);
    let density = exp(-0.5 * near * near - HALF_LOG_TAU);
    var term = near;
    var sum = near;
    for (var n = 3.0; n < 200.0; n += 2.0) {
        term *= near * near / n;
        sum += term;
    }
    let survival = 0.5 - density * sum;
    return vec2<f32>(log(survival), exp(max(-0.5 * x * x, -80.0) - HALF_LOG_TAU) / survival);
}
