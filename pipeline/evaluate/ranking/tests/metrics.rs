//! Metrics against their definitions.

use proptest::prelude::*;

use crate::evaluate::ranking::metrics::{auc, auc_interval, gauc, log_loss};

/// All pairs.
fn naive_auc(labels: &[bool], scores: &[f32]) -> Option<f64> {
    let (mut right, mut pairs) = (0.0, 0.0);
    for (a, _) in labels.iter().enumerate().filter(|(_, label)| **label) {
        for (b, _) in labels.iter().enumerate().filter(|(_, label)| !**label) {
            pairs += 1.0;
            right += if scores[a] > scores[b] {
                1.0
            } else if scores[a] == scores[b] {
                0.5
            } else {
                0.0
            };
        }
    }
    (pairs > 0.0).then(|| right / pairs)
}

proptest! {
    #[test]
    fn auc_is_the_share_of_pairs(examples in prop::collection::vec((any::<bool>(), 0..6_u8), 0..60)) {
        let (labels, scores): (Vec<bool>, Vec<f32>) = examples.iter().map(|(label, score)| (*label, f32::from(*score))).unzip();
        match (auc(&labels, &scores), naive_auc(&labels, &scores)) {
            (Some(auc), Some(naive)) => prop_assert!((auc - naive).abs() < 1e-12),
            (auc, naive) => prop_assert_eq!(auc, naive),
        }
    }

    #[test]
    fn gauc_is_the_mean_of_users(examples in prop::collection::vec((0..5_u32, any::<bool>(), 0..6_u8), 0..80)) {
        let users: Vec<u32> = examples.iter().map(|(user, ..)| *user).collect();
        let labels: Vec<bool> = examples.iter().map(|(_, label, _)| *label).collect();
        let scores: Vec<f32> = examples.iter().map(|(.., score)| f32::from(*score)).collect();
        let (mut sum, mut weight) = (0.0, 0.0);
        for user in 0..5 {
            let of = |place: &usize| users[*place] == user;
            let places: Vec<usize> = (0..users.len()).filter(of).collect();
            let labels: Vec<bool> = places.iter().map(|place| labels[*place]).collect();
            let scores: Vec<f32> = places.iter().map(|place| scores[*place]).collect();
            if let Some(auc) = naive_auc(&labels, &scores) {
                sum += auc * places.len() as f64;
                weight += places.len() as f64;
            }
        }
        match gauc(&users, &labels, &scores) {
            Some(gauc) => prop_assert!((gauc - sum / weight).abs() < 1e-12),
            None => prop_assert_eq!(weight, 0.0),
        }
    }
}

#[test]
fn log_loss_by_hand() {
    let loss = log_loss(&[true, false, true], &[0.5, 0.25, 1.0]);
    assert!((loss - (2_f64.ln() - 0.75_f64.ln() - (1.0 - 1e-7_f64).ln()) / 3.0).abs() < 1e-9);
    assert!(log_loss(&[true], &[0.0]).is_finite());
}

#[test]
fn intervals_hold_the_figure_and_are_those_of_users() {
    // A hundred users of ten examples: scores are right nine times of ten.
    let users: Vec<u32> = (0..1000).map(|i| i / 10).collect();
    let labels: Vec<bool> = (0..1000).map(|i| i % 3 == 0).collect();
    let scores: Vec<f32> = (0..1000).map(|i| f32::from(u8::from((i % 3 == 0) != (i % 10 == 7)))).collect();
    let [low, high] = auc_interval(&users, &labels, &scores).unwrap();
    let auc = auc(&labels, &scores).unwrap();
    assert!(low < auc && auc < high && high - low < 0.05, "{low} {auc} {high}");
    assert_eq!(auc_interval(&users, &labels, &[0.5; 1000]), Some([0.5, 0.5]));
    assert_eq!(auc_interval(&users, &[true; 1000], &scores), None);
}
