//! Measurements: milliseconds of one thread for a request of 1,000 candidates, the least of many.

use std::time::Instant;

use super::world::examples;
use crate::Device;
use crate::random::{generator, uniform};
use crate::ranking::{Config, Examples, LearningRates, Long, Model};

/// A request with so many behaviors, for each candidate 50 of them found.
fn request(config: &Config, behaviors: usize, candidates: usize) -> Examples {
    let mut examples = examples(config, &[(behaviors, candidates)], 1);
    let mut random = generator(2, 0);
    let found = 50.min(behaviors);
    examples.found_offsets = (0..=candidates).map(|n| (n * found) as u32).collect();
    let place = |_| (uniform(&mut random) * behaviors as f64) as u32;
    examples.found_behaviors = (0..candidates * found).map(place).collect();
    examples.found_similarities = (0..candidates * found).map(|n| (n % 50) as f32 * 0.02).collect();
    examples
}

fn least_ms(mut run: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64() * 1e3);
    }
    least
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let whole = Config { inputs: 20, items: 1000, categories: 40, actions: 4, ..Config::default() };
    let bare = Config { short: 0, item_width: 0, category_width: 0, inputs: 0, hidden: [1, 1], ..whole.clone() };
    let score = |config: &Config, behaviors: usize| {
        let mut model = Model::new(&Device::Cpu, config.clone()).unwrap();
        let examples = request(config, behaviors, 1000);
        pool.install(|| least_ms(|| drop(model.score(&examples).unwrap())))
    };
    let nothing = score(&bare, 64);
    println!("without any part: {nothing:.2} ms");
    println!("tower of {} inputs: {:.2} ms", 290, score(&Config { dim: 270, inputs: 20, ..bare.clone() }, 64).max(0.0));
    let narrow = Config { dim: 270, inputs: 20, ..bare.clone() };
    println!("the same with 128 and 64: {:.2} ms", score(&Config { hidden: [128, 64], ..narrow }, 64));
    println!("newest 50: {:.2} ms", score(&Config { short: 50, ..bare.clone() }, 64) - nothing);
    for behaviors in [64, 256, 1024, 4096, 16384] {
        for long in [Long::Hard, Long::Muse, Long::Sdim, Long::All] {
            let part = score(&Config { long, ..bare.clone() }, behaviors) - nothing;
            let all = score(&Config { long, ..whole.clone() }, behaviors);
            println!("{behaviors} {long:?}: {part:.2} ms, with everything {all:.2} ms");
        }
    }
    let sizes: Vec<(usize, usize)> = vec![(1000, 12); 43];
    for long in [Long::None, Long::Sdim, Long::Muse, Long::All] {
        let config = Config { long, ..whole.clone() };
        let mut model = Model::new(&Device::Cpu, config.clone()).unwrap();
        let batch = examples(&config, &sizes, 3);
        let step =
            pool.install(|| least_ms(|| assert!(model.step(&batch, &LearningRates::default()).unwrap().applied)));
        println!("step of 516 candidates, 1,000 behaviors each, {long:?}: {step:.2} ms");
    }
}
