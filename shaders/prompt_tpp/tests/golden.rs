//! The reference of the specification, in f64: losses, intensities, choices and gradients.

use std::sync::Arc;

use serde_json::Value;

use crate::ops::Cpu;
use crate::prompt_tpp::batch::Making;
use crate::prompt_tpp::{Batch, Config, Goal, NEVER_MS, Network};

const TIMES: [f64; 12] = [10.0, 10.4, 11.1, 11.3, 12.6, 12.9, 5.0, 6.5, 6.6, 7.4, 7.5, 9.0];
const TYPES: [u32; 12] = [0, 2, 1, 1, 0, 2, 2, 2, 0, 1, 2, 0];

fn config(self_token: bool) -> Config {
    Config {
        types: 3,
        width: 4,
        time_width: 4,
        pool: 4,
        chosen: 2,
        prompt_rows: 2,
        self_token,
        forecasts: false,
        intensity: true,
        samples: [4, 4],
        unit_ms: 1000.0,
        ..Config::canonical()
    }
}

/// Name in the reference, and whether its matrix is the transpose of ours.
fn reference_name(name: &str) -> (String, bool) {
    let known = match name {
        "embedding" => ("emb", false),
        "intensity.weight" => ("Wint", true),
        "intensity.bias" => ("bint", false),
        "intensity.log_scale" => ("logtau", false),
        _ => {
            let parts: Vec<&str> = name.split('.').collect();
            let at = format!("h{}.l{}", &parts[0][4..], &parts[1][5..]);
            let short = &parts[2][..1];
            return match parts[3] {
                "weight" => (format!("{at}.W{short}"), true),
                "bias" => (format!("{at}.b{short}"), false),
                "prompts" => (format!("{at}.prompt_{short}"), false),
                "keys" => (format!("{at}.key_{short}"), false),
                other => panic!("{other}"),
            };
        }
    };
    (known.0.to_owned(), known.1)
}

fn close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-11 * expected.abs().max(1e-3), "{what}: {found}, expected {expected}");
}

#[test]
fn reference_is_met_to_eleven_digits() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    for (form, self_token) in [("one_plus", false), ("self_token", true)] {
        check(&golden[form], &config(self_token));
    }
}

fn check(golden: &Value, config: &Config) {
    let (tensors, _) = config.tensors();
    let network = Network::record(config, &tensors, Goal::Learn);
    // Times of the reference are decimals; as whole ms they are the same numbers.
    let times_ms: Vec<i64> = TIMES.iter().map(|t| (t * 1000.0f64).round() as i64).collect();
    let batch = Batch {
        offsets: &[0, 6, 12],
        types: &TYPES,
        times_ms: &times_ms,
        context: &[3, 3],
        first_target: &[3, 3],
        open_until_ms: &[NEVER_MS; 2],
    };
    batch.check(3).unwrap();
    let penalties = vec![vec![0.0; 4]; config.pools()];
    let position = &mut || 0.5;
    let mut making =
        Making::<f64> { config, goal: Goal::Learn, penalties: &penalties, position, samples: 4, grid: None };
    let feed = making.feed(&network.tape, &batch);
    // The reference fills its tensors in the order of its own list.
    let order = ["Wq", "bq", "Wk", "bk", "Wv", "bv", "prompt_k", "key_k", "prompt_v", "key_v"];
    let mut names = vec!["emb".to_owned()];
    for (head, layer) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        names.extend(order.iter().map(|name| format!("h{head}.l{layer}.{name}")));
    }
    names.extend(["Wint", "bint", "logtau"].map(str::to_owned));
    let mut parameters = vec![0.0; tensors.len()];
    let turned = |place: usize, rows: usize, columns: usize, turn: bool| {
        if turn { place % columns * rows + place / columns } else { place }
    };
    for tensor in tensors.iter() {
        let (name, turn) = reference_name(&tensor.name);
        let n = names.iter().position(|known| *known == name).unwrap();
        for (place, value) in parameters[tensor.range()].iter_mut().enumerate() {
            let e = turned(place, tensor.rows, tensor.columns, turn);
            *value = 0.25 * (1.3 * n as f64 + 0.37 * e as f64 + 0.1).sin();
        }
    }
    let mut gradient = vec![0.0; tensors.len()];
    let mut cpu = Cpu::<f64>::new(Arc::new(network.tape));
    let run = cpu.run(&parameters, &feed, Some(&mut gradient));
    let places = &network.places;
    let distance: f64 = places.distances.iter().map(|&slot| run.losses[slot]).sum();
    let all: f64 = run.losses.iter().sum();
    close(distance / config.match_weight, &golden["match"], "match");
    close((all - distance) * 6.0, &golden["nll_sum"], "nll");
    close(all, &golden["loss"], "loss");
    let intensities = &run.outputs[places.intensities.unwrap()];
    let terms = &run.outputs[places.intensity_term.unwrap()];
    for target in 0..6 {
        let (b, n) = (target / 3, target % 3);
        for k in 0..3 {
            close(intensities[target * 15 + k], &golden["lambda_at_event"][b][n][k], "lambda");
        }
        close(-terms[target * 5], &golden["event_ll"][b][n], "event");
        let gap = TIMES[b * 6 + 3 + n] - TIMES[b * 6 + 2 + n];
        let mean = terms[target * 5 + 1..target * 5 + 5].iter().sum::<f64>() / 4.0;
        close(mean * gap, &golden["compensator"][b][n], "compensator");
    }
    for (pool, chosen) in run.ids.iter().enumerate() {
        let name = format!("h{}.l{}.{}", pool / 4, pool / 2 % 2, ["k", "v"][pool % 2]);
        let expected: Vec<Vec<u32>> = serde_json::from_value(golden["selected"][&name].clone()).unwrap();
        assert_eq!(*chosen, expected.concat(), "{name}");
    }
    for tensor in tensors.iter() {
        let (name, turn) = reference_name(&tensor.name);
        let (mut size, mut mix) = (0.0, 0.0);
        for (place, g) in gradient[tensor.range()].iter().enumerate() {
            size += g.abs();
            mix += g * (0.11 * turned(place, tensor.rows, tensor.columns, turn) as f64).cos();
        }
        close(size, &golden["grad_checksums"][&name][0], &name);
        close(mix, &golden["grad_checksums"][&name][1], &name);
    }
}
