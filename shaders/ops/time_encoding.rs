//! Sines and cosines of a time at frequencies that fall geometrically (spec 2.2). Done on the CPU, in f64 as far as
//! the angle goes: a time may be large where its gaps are small.

use super::vectorized::vectorized;

/// `width` columns of row i of `rows` (times, all), from `start` on: sin(w_m t), cos(w_m t) for m = 0, 1, ...;
/// w_m = base^(-2m / width).
pub(crate) fn time_encoding<T: super::Real>(
    times: &[f64],
    width: usize,
    rows: &mut [T],
    (start, all): (usize, usize),
    base: f64,
) {
    let frequencies: Vec<f64> = (0..width / 2).map(|m| base.powf(-2.0 * m as f64 / width as f64)).collect();
    encode(times, &frequencies, rows, start, all);
}

vectorized! {
    fn encode<T, I>(times: &[f64], frequencies: &[f64], rows: &mut [T], start: usize, all: usize) {
        for (&time, row) in times.iter().zip(rows.chunks_exact_mut(all)) {
            for (&frequency, pair) in frequencies.iter().zip(row[start..].chunks_exact_mut(2)) {
                (pair[0], pair[1]) = T::sin_cos::<I>(time * frequency);
            }
        }
    }
}
