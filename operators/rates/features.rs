//! What a model is told of a feature that the request brought: a number for each candidate (its place in the list, its
//! price).
//!
//! Nobody can know whether a number means something by its value, by its order of magnitude, or only beside the others
//! of its request. So a model is told all of it.

/// Inputs that one feature becomes.
pub const FORMS: usize = 4;

/// Writes the forms of one feature of a request: of candidate i at `out[i * stride + offset..][..FORMS]`,
///
/// 1. sign(x) ln(1 + |x|),
/// 2. the same, less its mean over the request,
/// 3. the share of the request's candidates with a smaller x (of equals, half of the others),
/// 4. 1 / (1 + |x|).
///
/// A value that is not finite is taken for zero.
pub fn feature_forms(values: &[f32], offset: usize, stride: usize, out: &mut [f32]) {
    assert!(values.is_empty() || (values.len() - 1) * stride + offset + FORMS <= out.len(), "forms without a place");
    let finite = |x: f32| if x.is_finite() { x } else { 0.0 };
    let logarithm = |x: f32| f64::from(x).abs().ln_1p() * f64::from(x).signum();
    let mut order: Vec<f32> = values.iter().map(|&x| finite(x)).collect();
    let n = order.len() as f64;
    let mean = order.iter().map(|&x| logarithm(x)).sum::<f64>() / n.max(1.0);
    order.sort_unstable_by(f32::total_cmp);
    for (i, &x) in values.iter().enumerate() {
        let x = finite(x);
        let smaller = order.partition_point(|&other| other < x);
        let equal = order.partition_point(|&other| other <= x) - smaller;
        let rank = (smaller as f64 + 0.5 * (equal as f64 - 1.0)) / n;
        let forms: [f64; FORMS] = [logarithm(x), logarithm(x) - mean, rank, 1.0 / (1.0 + f64::from(x).abs())];
        out[i * stride + offset..][..FORMS].copy_from_slice(&forms.map(|form| form as f32));
    }
}
