//! The forms of a request's features, by hand.

use crate::rates::{FORMS, feature_forms};

#[test]
fn forms_of_a_small_request() {
    let mut out = vec![9.0; 3 * 6];
    feature_forms(&[1.0, -1.0, 1.0], 1, 6, &mut out);
    let ln2 = 2_f32.ln();
    let near = |place: usize, forms: [f32; FORMS]| {
        let told = &out[place * 6 + 1..][..FORMS];
        assert!(told.iter().zip(forms).all(|(a, b)| (a - b).abs() < 1e-6), "{told:?} are not {forms:?}");
    };
    near(0, [ln2, ln2 - ln2 / 3.0, 0.5, 0.5]);
    near(1, [-ln2, -ln2 - ln2 / 3.0, 0.0, 0.5]);
    near(2, [ln2, ln2 - ln2 / 3.0, 0.5, 0.5]);
    assert!([0, 5, 6, 11, 12, 17].iter().all(|&other| out[other] == 9.0), "other inputs stay");
}

#[test]
fn what_is_not_finite_is_zero_and_nothing_is_nothing() {
    let mut out = vec![0.0; 4];
    feature_forms(&[f32::NAN], 0, 4, &mut out);
    assert_eq!(out, [0.0, 0.0, 0.0, 1.0]);
    feature_forms(&[], 0, 4, &mut []);
}
