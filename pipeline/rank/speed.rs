//! How long a change of version holds up who needs it, by how many items have rows.

use std::time::Instant;

use serde_json::json;
use shaders::ranking::{Config, Long, Model as Network};
use shaders::{Device, sdim};

use super::version::{About, Rows, Version, Vocabulary};
use crate::encode::learned;
use crate::model::{Chunks, Model};

fn ms(what: &str, mut act: impl FnMut()) {
    let mut least = f64::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        act();
        least = least.min(started.elapsed().as_secs_f64() * 1e3);
    }
    println!("{what}: {least:.1} ms");
}

#[test]
#[ignore = "a measurement"]
fn making_a_version() {
    for items in [10_000, 100_000, 1_000_000] {
        let (inputs, dim) = (vec!["a".to_string()], 64);
        let config = Config { long: Long::Sdim, items: items + 1, inputs: 1, ..Config::default() };
        let mut vocabulary = Vocabulary::default();
        (0..items).for_each(|n| _ = vocabulary.items.add(&format!("item-{n}"), usize::MAX));
        let mut tensors = Network::new(&Device::Cpu, config).unwrap().weights();
        vocabulary.save(&mut tensors);
        let about = About { inputs, dim, ..About::default() };
        let model = Model { name: "sdim".into(), version: 2, about: json!(about), tensors };
        let mut chunks = Chunks::of("sdim");
        let put = |key: &[u8], value: &[u8]| {
            chunks.put(key, value);
            Ok::<_, ()>(())
        };
        model.records(put).unwrap();
        println!("{items} items, {} MB", model.bytes() >> 20);
        ms("  put together", || drop(chunks.assemble().unwrap()));
        ms("  made", || drop(Version::new(Long::Sdim, &model, &about).unwrap()));
        let mut names = Rows::default();
        (0..items).for_each(|n| _ = names.add(&format!("item-{n}"), usize::MAX));
        let vectors = vec![0.125; items * dim];
        let tensors = learned::tensors(&names, &vectors, dim);
        let form = sdim::Config { dim, slots: 1, bits: 48, group_bits: 3 };
        let mut kernels = sdim::Sdim::new(&Device::Cpu, form, &sdim::hash_matrix(dim)).unwrap();
        ms("  learned vectors: read", || drop(learned::vectors_of(&tensors, dim).unwrap()));
        let mut quantized = Vec::new();
        ms("  quantized", || {
            quantized.clear();
            sdim::quantize(&vectors, &mut quantized);
        });
        ms("  hashed", || drop(kernels.simhash(&quantized).unwrap()));
    }
}
