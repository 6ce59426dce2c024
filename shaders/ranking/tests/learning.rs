//! What is to be learned is learned: the parts of the model tell what they are there to tell, on users whose likes are
//! known.

use super::world::{below, direction};
use crate::Device;
use crate::random::{generator, uniform};
use crate::ranking::{Config, Examples, LearningRates, Long, Model, TIERS};

const DIM: usize = 16;
const TOPICS: usize = 30;
const NEWEST: usize = 10;
const HISTORY: usize = 60;

fn config(long: Long) -> Config {
    Config { long, dim: DIM, inputs: 1, items: TOPICS + 1, short: NEWEST, hidden: [32, 16], ..Config::default() }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Users who click on what they behaved towards long ago; of late they did something else. Of what an item is worth by
/// itself, and of an input, a part.
fn world(requests: usize, seed: u64) -> Examples {
    let mut random = generator(99, 0);
    let topics: Vec<Vec<f32>> = (0..TOPICS).map(|_| direction(&mut random, DIM)).collect();
    let mut random = generator(seed, 1);
    let mut examples = Examples {
        behavior_offsets: vec![0],
        candidate_offsets: vec![0],
        found_offsets: vec![0],
        ..Examples::default()
    };
    for _ in 0..requests {
        let liked: Vec<usize> = (0..3).map(|_| below(&mut random, TOPICS)).collect();
        let first = examples.behavior_ages.len();
        for age in 0..HISTORY {
            let of_late = age < NEWEST || uniform(&mut random) < 0.5;
            let topic = if of_late { below(&mut random, TOPICS) } else { liked[below(&mut random, 3)] };
            examples.behavior_keys.extend(&topics[topic]);
            examples.behavior_actions.push(0);
            examples.behavior_ages.push(age as u32);
        }
        for _ in 0..10 {
            let topic =
                if uniform(&mut random) < 0.5 { liked[below(&mut random, 3)] } else { below(&mut random, TOPICS) };
            let key = &topics[topic];
            let input = uniform(&mut random);
            let p = 0.1 + 0.5 * f64::from(u8::from(liked.contains(&topic))) + 0.2 * input + 0.2 * (topic % 2) as f64;
            examples.candidate_keys.extend(key);
            examples.candidate_rows.push(topic as u32 + 1);
            examples.candidate_categories.push(0);
            examples.inputs.push((1000.0 + 20.0 * input) as f32);
            examples.labels.push(f32::from(u8::from(uniform(&mut random) < p)));
            let mut by_similarity: Vec<(f32, usize)> = (0..HISTORY)
                .map(|place| (dot(&examples.behavior_keys[(first + place) * DIM..][..DIM], key), place))
                .collect();
            let read: Vec<f32> = (0..DIM)
                .map(|k| {
                    let near = by_similarity.iter().filter(|(similarity, _)| *similarity > 0.9);
                    near.map(|(_, place)| examples.behavior_keys[(first + place) * DIM + k]).sum::<f32>() / 10.0
                })
                .collect();
            examples.reads.extend(read);
            by_similarity.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut tiers = [0u8; 2 * TIERS];
            for &(similarity, place) in &by_similarity[..20] {
                examples.found_behaviors.push(place as u32);
                examples.found_similarities.push(similarity);
                tiers[((similarity / 0.1).ceil() as i32 + 10).min(21) as usize] += 1;
            }
            examples.tiers.extend(tiers);
            examples.found_offsets.push(examples.found_behaviors.len() as u32);
        }
        examples.behavior_offsets.push(examples.behavior_ages.len() as u32);
        examples.candidate_offsets.push(examples.candidate_rows.len() as u32);
    }
    examples
}

/// How often a clicked candidate stands before one that was not.
fn auc(scores: &[f32], labels: &[f32]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut pairs) = (0.0, 0.0);
    for place in order {
        if labels[place] == 0.0 {
            below += 1.0;
        } else {
            pairs += below;
        }
    }
    let clicked = labels.iter().filter(|&&label| label == 1.0).count() as f64;
    pairs / (clicked * (labels.len() as f64 - clicked))
}

/// On users that it has not seen.
fn learned(config: Config) -> f64 {
    let mut model = Model::new(&Device::Cpu, config).unwrap();
    let mut losses = Vec::new();
    for step in 0..120 {
        losses.push(model.step(&world(30, step), &LearningRates::plain(4e-3)).unwrap().loss);
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[100..]) < mean(&losses[..20]), "{losses:?}");
    let test = world(200, 1000);
    auc(&model.score(&test).unwrap(), &test.labels)
}

#[test]
fn every_way_to_know_the_long_interest_finds_what_the_newest_behaviors_do_not_tell() {
    let short = learned(config(Long::None));
    for long in [Long::All, Long::Hard, Long::Sdim, Long::Muse] {
        let found = learned(config(long));
        println!("{long:?}: {found:.3}, newest behaviors alone {short:.3}");
        assert!(found > short + 0.05, "{long:?}: {found}, {short} without");
    }
}

#[test]
fn items_are_known_by_their_rows_and_inputs_on_whatever_scale() {
    let all = learned(config(Long::None));
    // Keys tell topics apart, too: without them, rows alone.
    let without_inputs = |requests, seed| {
        let mut examples = world(requests, seed);
        examples.inputs.iter_mut().for_each(|input| *input = 1000.0);
        examples
    };
    let mut model = Model::new(&Device::Cpu, config(Long::None)).unwrap();
    for step in 0..120 {
        model.step(&without_inputs(30, step), &LearningRates::plain(4e-3)).unwrap();
    }
    let test = without_inputs(200, 1000);
    let blind = auc(&model.score(&test).unwrap(), &test.labels);
    println!("{all:.3}, without inputs {blind:.3}");
    assert!(blind > 0.55 && all > blind + 0.005, "{all} {blind}");
}

#[test]
fn rows_that_shrink_stay_small() {
    let length = |row_decay: f64| {
        let mut model = Model::new(&Device::Cpu, config(Long::None)).unwrap();
        for step in 0..40 {
            let rates = LearningRates { row_decay, ..LearningRates::plain(4e-3) };
            model.step(&world(10, step), &rates).unwrap();
        }
        model.items.embedding.values.iter().map(|x| x * x).sum::<f32>()
    };
    let (free, shrunk) = (length(0.0), length(20.0));
    assert!(shrunk < 0.7 * free, "{shrunk} {free}");
}
