//! What a model is told of a candidate, by hand.

use crate::rates::{Candidate, INPUTS, Limits, Rates, UserRates};

fn inputs(rates: &Rates, user: &UserRates, candidate: Candidate) -> Vec<(&'static str, f32)> {
    let mut out = Vec::new();
    rates.inputs(user, &candidate, &mut out);
    INPUTS.into_iter().zip(out).collect()
}

fn of(inputs: &[(&'static str, f32)], name: &str) -> f64 {
    f64::from(inputs.iter().find(|(of, _)| *of == name).expect("an input of this name").1)
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-5, "{a} is not {b}");
}

#[test]
fn inputs_are_what_they_are_named() {
    let mut rates = Rates::new(Limits::default());
    let (mut ada, mut bob) = (UserRates::default(), UserRates::default());
    for item in [1, 2, 1, 2, 1, 3] {
        rates.behavior(&mut ada, Some(item));
    }
    rates.behavior(&mut bob, Some(1));
    for _ in 0..4 {
        rates.shown(&mut ada, 2);
    }
    rates.clicked(&mut ada, 2);
    let seen = Candidate { item: 2, last_seen: Some(2), cosine_max: 0.5, cosine_mean: -0.25 };
    let told = inputs(&rates, &bob, seen);
    near(of(&told, "popularity"), 3_f64.ln());
    near(of(&told, "clicks"), 2_f64.ln());
    near(of(&told, "shown"), 5_f64.ln());
    // All: 1 of 4 clicked, so (1 + 1) / (4 + 2).
    near(of(&told, "item_rate"), ((1.0 + 20.0 / 3.0) / (3.0 + 20.0 * 2.0 / 3.0_f64)).ln());
    near(of(&told, "user_rate"), (0.5_f64).ln());
    // After item 1 came 2, 2, 3; item 2 has 2 of 7 behaviors, 3 items are known.
    near(of(&told, "transition"), ((2.0 + 5.0 * 2.5 / 8.5) / 8.0_f64).ln());
    near(of(&told, "repeat"), 1.0);
    near(of(&told, "repeat_age"), 1.0 / 3.0);
    near(of(&told, "history"), 2_f64.ln() / 4.0);
    near(of(&told, "cosine_max"), 0.5);
    near(of(&told, "cosine_mean"), -0.25);
    near(of(&inputs(&rates, &ada, seen), "user_rate"), ((1.0 + 5.0 / 3.0) / (3.0 + 10.0 / 3.0_f64)).ln());
}

#[test]
fn nothing_known_is_finite() {
    let rates = Rates::new(Limits::default());
    let told = inputs(&rates, &UserRates::default(), Candidate { item: 9, ..Candidate::default() });
    assert!(told.iter().all(|(_, input)| input.is_finite()), "{told:?}");
    near(of(&told, "repeat") + of(&told, "repeat_age") + of(&told, "item_rate"), 0.0);
}
