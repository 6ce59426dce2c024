//! Figures of a sample.

/// Mean and variance; zeros of nothing.
pub fn mean_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
}

/// Which of `choices` has the least of `losses`; the first of equals.
pub fn least<T: Copy>(losses: &[f64], choices: &[T]) -> Option<T> {
    assert_eq!(losses.len(), choices.len(), "one loss for each choice");
    let least = losses.iter().zip(choices).min_by(|a, b| a.0.total_cmp(b.0));
    least.map(|(_, choice)| *choice)
}

/// The value below which a share `q` of `sorted` lies, linear between neighbors; none of nothing.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * (sorted.len().checked_sub(1)? as f64);
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(sorted.len() - 1);
    Some(sorted[low] + part * (sorted[high] - sorted[low]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_few() {
        assert_eq!(mean_variance(&[1.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_variance(&[]), (0.0, 0.0));
        assert_eq!(least(&[2.0, 1.0, f64::NAN, 1.0], &['a', 'b', 'c', 'd']), Some('b'));
        assert_eq!(least::<u8>(&[], &[]), None);
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 1.0), Some(4.0));
        assert_eq!(quantile(&[1.0], 0.9), Some(1.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
