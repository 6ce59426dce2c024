//! Logistic regression on data whose weights are known.

use super::world::Dice;
use crate::evaluate::ranking::logistic::Logistic;

#[test]
fn weights_are_found_again() {
    let mut dice = Dice::new(5);
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..20_000 {
        let (x, y) = (dice.below(1000) as f32 / 500.0 - 1.0, dice.below(1000) as f32 / 500.0 - 1.0);
        let p = 1.0 / (1.0 + f64::from(-(0.5 + 2.0 * x - y)).exp());
        inputs.extend([x, y, 7.0]);
        labels.push((dice.below(1 << 30) as f64) < p * f64::from(1 << 30));
    }
    let fit = Logistic::fit(&inputs, 3, &labels, &vec![true; labels.len()]);
    for (x, y, z) in [(0.0, 0.0, 0.5), (1.0, 0.0, 2.5), (0.0, 1.0, -0.5_f64), (-1.0, 1.0, -2.5)] {
        let p = f64::from(fit.probability(&[x, y, 7.0]));
        assert!(((p / (1.0 - p)).ln() - z).abs() < 0.1, "at {x}, {y}: {p}");
    }
}

#[test]
fn only_the_chosen_count_and_what_is_perfect_is_finite() {
    let inputs = [1.0, 2.0, 3.0, 4.0, 100.0];
    let fit = Logistic::fit(&inputs, 1, &[false, false, true, true, false], &[true, true, true, true, false]);
    let p: Vec<f32> = inputs.iter().map(|x| fit.probability(&[*x])).collect();
    assert!(p.iter().all(|p| p.is_finite()) && p.is_sorted() && p[1] < 0.1 && p[2] > 0.9, "{p:?}");
    let falling = Logistic::fit(&[4.0, 3.0, 2.0, 1.0], 1, &[false, false, true, true], &[true; 4]);
    assert!(falling.probability(&[1.0]) > falling.probability(&[4.0]));
    let rising = falling.rising();
    assert!(rising.probability(&[1.0]) < rising.probability(&[4.0]), "a score keeps its order");
}
