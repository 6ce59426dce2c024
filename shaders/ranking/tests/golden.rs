//! The released and the paper's form of SA-TA and SimTier to the digits of the specification (spec muse 9).

use std::sync::Arc;

use crate::Device;
use crate::ops::{Cpu, Operation};
use crate::ranking::batch::Making;
use crate::ranking::{Config, Examples, Goal, Long, Model, Network, SaTa, TIERS};

/// `w(tag)` of the specification: (4, 4).
fn weight(tag: usize) -> Vec<f32> {
    (0..16).map(|n| ((7 * (n / 4) + 3 * (n % 4) + 5 * tag) % 11) as f32).map(|w| (w - 5.0) / 10.0).collect()
}

/// The candidate, and e1, e2, e6 with their similarities; e6 is the newest.
fn examples() -> Examples {
    let mut tiers = vec![0; 2 * TIERS];
    // Of R = [1, 0.9727, 0.8669], and of all six, the missing one at 0.
    (tiers[19], tiers[20]) = (1, 2);
    (tiers[TIERS], tiers[TIERS + 10], tiers[TIERS + 19], tiers[TIERS + 20]) = (1, 2, 1, 2);
    Examples {
        behavior_offsets: vec![0, 3],
        candidate_offsets: vec![0, 1],
        behavior_keys: [[1.0, -0.5, 0.5, 0.25], [0.25, 0.5, -0.5, 1.0], [0.5, -0.25, 1.0, 0.5]].concat(),
        behavior_actions: vec![0; 3],
        behavior_ages: vec![0, 4, 5],
        candidate_keys: vec![0.5, -0.25, 1.0, 0.75],
        candidate_rows: vec![0],
        candidate_categories: vec![0],
        found_offsets: vec![0, 3],
        found_behaviors: vec![2, 1, 0],
        found_similarities: vec![1.0, 0.972_737_1, 0.866_932_5],
        tiers,
        ..Examples::default()
    }
}

/// The model of the specification with its weights, run in f64: what attention and SimTier hand to the tower.
fn interests(sa_ta: SaTa, coefficients: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let config = Config {
        long: Long::Muse,
        dim: 4,
        sa_ta,
        item_width: 0,
        category_width: 0,
        action_width: 0,
        short: 0,
        ..Config::default()
    };
    let mut model = Model::new(&Device::Cpu, config.clone()).unwrap();
    let mut set = |name: &str, values: &[f32]| {
        let range = model.tensors.get(name).unwrap().range();
        model.parameters[range].copy_from_slice(values);
    };
    for (tag, name) in (1..).zip(["long.query.weight", "long.key.weight", "long.value.weight"]) {
        set(name, &weight(tag));
    }
    set("long.coefficients", coefficients);
    set("tiers.weight", &(0..2 * TIERS).map(|n| 0.05 * (n % TIERS) as f32).collect::<Vec<f32>>());
    let mut tape = Network::record(&config, &model.tensors, Goal::Score);
    // The tower's input: attention, its product with the candidate, 2 similarities, tiers, the candidate.
    let mut concats = tape.operations.iter().rev().filter_map(|operation| match operation {
        Operation::Concat(concat) => Some(concat.y),
        _ => None,
    });
    let input = concats.next().expect("the tower's input");
    let place = tape.output(input);
    let mut making = Making {
        config: &config,
        items: &model.items.embedding,
        categories: &model.categories.embedding,
        standard: &model.standard,
        random: None,
    };
    let feed = making.feed::<f64>(&tape, &examples());
    let parameters: Vec<f64> = model.parameters.iter().map(|&x| f64::from(x)).collect();
    let mut run = Cpu::new(Arc::new(tape)).run(&parameters, &feed, None);
    let input = run.outputs.swap_remove(place);
    (input[..4].to_vec(), input[10..10 + 2 * TIERS].to_vec())
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
    assert!(near, "{found:?}, expected {expected:?}");
}

#[test]
fn sa_ta_of_the_paper() {
    let (attention, _) = interests(SaTa::Paper, &[1.0, 1.0, 1.0]);
    close(&attention, &[-0.078_297_55, 0.349_404_21, 0.416_402_09, -0.434_276_28]);
    let (plain, _) = interests(SaTa::Paper, &[1.0, 0.0, 0.0]);
    close(&plain, &[-0.068_867_39, 0.356_074_28, 0.417_700_57, -0.440_798_04]);
}

#[test]
fn sa_ta_of_the_released_code() {
    let (attention, _) = interests(SaTa::Released, &[1.0, 1.0, 1.0, 0.1]);
    close(&attention, &[-0.027_906_99, 0.210_886_45, 0.392_288_04, -0.113_964_69]);
}

#[test]
fn sim_tier() {
    let (_, tiers) = interests(SaTa::Released, &[1.0, 1.0, 1.0, 0.1]);
    let mut expected = vec![0.0; 2 * TIERS];
    (expected[19], expected[20]) = (0.658_489_822, 1.098_612_289);
    let (one, two) = (2f64.ln(), 3f64.ln());
    for (bin, count) in [(10, two), (19, one), (20, two)] {
        expected[TIERS + bin] = count * 0.05 * bin as f64;
    }
    close(&tiers, &expected);
}
