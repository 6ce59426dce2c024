// How well a pair of a query and a row fits, from query . key and the pair's own similarity divided by the temperature
// (spec muse 2.4). Coefficients: b1, b2, b3, temperature.
fn pair_score(product: f32, similarity: f32, coefficients: vec4<f32>) -> f32 {
    let m = similarity / coefficients.w;
    return coefficients.x * product + coefficients.y * m + coefficients.z * product * m;
}
