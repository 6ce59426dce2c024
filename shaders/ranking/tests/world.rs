//! Examples of every form: random, or of users whose interests are known.

use rand_chacha::ChaCha8Rng;

use crate::random::{gaussian, generator, uniform};
use crate::ranking::{Config, Examples, Long, SaTa, TIERS};

/// Every form of a model, small.
pub fn configs() -> Vec<Config> {
    let of = |long| Config { long, ..small() };
    let mut all: Vec<Config> = [Long::None, Long::Mean, Long::All, Long::Hard, Long::Sdim, Long::Muse].map(of).to_vec();
    all.push(Config { sa_ta: SaTa::Paper, ..of(Long::Muse) });
    all.push(Config { item_width: 0, category_width: 0, action_width: 0, inputs: 0, ..of(Long::Muse) });
    all.push(Config { short: 0, dropout: 0.0, ..of(Long::All) });
    all
}

pub fn small() -> Config {
    Config {
        dim: 5,
        inputs: 2,
        items: 9,
        categories: 4,
        actions: 3,
        item_width: 4,
        category_width: 3,
        action_width: 2,
        short: 3,
        hidden: [6, 5],
        ..Config::default()
    }
}

pub fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    (uniform(random) * limit as f64) as usize
}

/// A random vector of length 1.
pub fn direction(random: &mut ChaCha8Rng, dim: usize) -> Vec<f32> {
    let x: Vec<f64> = (0..dim).map(|_| gaussian(random)).collect();
    let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
    x.iter().map(|x| (x / length) as f32).collect()
}

/// Requests of so many behaviors and candidates each; some keys are zero.
pub fn examples(config: &Config, sizes: &[(usize, usize)], seed: u64) -> Examples {
    let mut random = generator(seed, 0);
    let mut examples = Examples {
        behavior_offsets: vec![0],
        candidate_offsets: vec![0],
        found_offsets: vec![0],
        ..Examples::default()
    };
    let key = |random: &mut ChaCha8Rng| {
        let key = direction(random, config.dim);
        if uniform(random) < 0.1 { vec![0.0; config.dim] } else { key }
    };
    for &(behaviors, candidates) in sizes {
        for age in 0..behaviors {
            examples.behavior_keys.extend(key(&mut random));
            examples.behavior_actions.push(below(&mut random, config.actions) as u32);
            examples.behavior_ages.push(age as u32);
        }
        for _ in 0..candidates {
            examples.candidate_keys.extend(key(&mut random));
            examples.candidate_rows.push(below(&mut random, config.items) as u32);
            examples.candidate_categories.push(below(&mut random, config.categories) as u32);
            examples.inputs.extend((0..config.inputs).map(|n| (3.0 * n as f64 + 2.0 * gaussian(&mut random)) as f32));
            examples.labels.push(f32::from(u8::from(uniform(&mut random) < 0.3)));
            examples.reads.extend(direction(&mut random, config.dim));
            for _ in 0..below(&mut random, 4).min(behaviors) {
                examples.found_behaviors.push(below(&mut random, behaviors) as u32);
                examples.found_similarities.push(uniform(&mut random) as f32);
            }
            examples.found_offsets.push(examples.found_behaviors.len() as u32);
            examples.tiers.extend((0..2 * TIERS).map(|_| below(&mut random, 6) as u8));
        }
        examples.behavior_offsets.push(examples.behavior_actions.len() as u32);
        examples.candidate_offsets.push(examples.candidate_rows.len() as u32);
    }
    examples
}

/// Some of the candidates of one request of `examples`, with all of its behaviors.
pub fn part(config: &Config, examples: &Examples, request: usize, candidates: std::ops::Range<usize>) -> Examples {
    let behaviors = examples.behaviors_of(request);
    let first = examples.candidates_of(request).start;
    let candidates = first + candidates.start..first + candidates.end;
    let found = &examples.found_offsets[candidates.start..=candidates.end];
    let found_range = found[0] as usize..found[found.len() - 1] as usize;
    let rows = |values: &[f32], width: usize| values[candidates.start * width..candidates.end * width].to_vec();
    let d = config.dim;
    Examples {
        behavior_offsets: vec![0, behaviors.len() as u32],
        candidate_offsets: vec![0, candidates.len() as u32],
        behavior_keys: examples.behavior_keys[behaviors.start * d..behaviors.end * d].to_vec(),
        behavior_actions: examples.behavior_actions[behaviors.clone()].to_vec(),
        behavior_ages: examples.behavior_ages[behaviors].to_vec(),
        candidate_keys: rows(&examples.candidate_keys, d),
        candidate_rows: examples.candidate_rows[candidates.clone()].to_vec(),
        candidate_categories: examples.candidate_categories[candidates.clone()].to_vec(),
        inputs: rows(&examples.inputs, config.inputs),
        labels: rows(&examples.labels, 1),
        reads: rows(&examples.reads, d),
        found_offsets: found.iter().map(|offset| offset - found[0]).collect(),
        found_behaviors: examples.found_behaviors[found_range.clone()].to_vec(),
        found_similarities: examples.found_similarities[found_range].to_vec(),
        tiers: examples.tiers[candidates.start * 2 * TIERS..candidates.end * 2 * TIERS].to_vec(),
    }
}
