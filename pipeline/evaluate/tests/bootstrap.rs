//! Intervals hold what they promise, and see that a user's events hang together.

use crate::evaluate::bootstrap::{difference, mean};
use crate::evaluate::{Score, Scores};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const USERS: u32 = 60;
const EVENTS: u32 = 10;

/// Values of mean 0: half of the variance is the user's own.
fn sample(seed: u64) -> (Vec<u32>, Vec<f64>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5;
    let (mut users, mut values) = (Vec::new(), Vec::new());
    for user in 0..USERS {
        let own = draw();
        for _ in 0..EVENTS {
            users.push(user);
            values.push(own + draw());
        }
    }
    (users, values)
}

#[test]
fn an_interval_covers_the_mean_as_often_as_it_says() {
    let covered = (0..300)
        .filter(|seed| {
            let (users, values) = sample(*seed);
            let interval = mean(&users, &values);
            assert!(interval.low < interval.mean && interval.mean < interval.high);
            interval.low < 0.0 && 0.0 < interval.high
        })
        .count();
    // 95 % of 300 is 285, with a standard deviation of 3.8.
    assert!((270..=297).contains(&covered), "{covered} of 300 intervals cover the mean");
}

#[test]
fn an_interval_over_users_is_wider_than_one_over_events() {
    let (users, values) = sample(1);
    let alone: Vec<u32> = (0..values.len() as u32).collect();
    let (own, apart) = (mean(&users, &values), mean(&alone, &values));
    assert!(own.high - own.low > 1.5 * (apart.high - apart.low), "{own:?} {apart:?}");
    assert_eq!(own, mean(&users, &values), "one seed, one interval");
}

#[test]
fn a_difference_is_paired() {
    let (users, values) = sample(2);
    let scores = |more: f64| Scores {
        positions: (0..values.len()).collect(),
        users: users.clone(),
        each: values
            .iter()
            .map(|v| Score { gap_nats: v + more, kind_nats: 0.0, hit: false, log10_error: 0.0 })
            .collect(),
    };
    let more = difference(&scores(0.01), &scores(0.0), Score::nats);
    assert!((more.low - 0.01).abs() < 1e-9 && (more.high - 0.01).abs() < 1e-9, "{more:?}");
}
