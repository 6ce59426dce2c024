//! What stock clients of another language read: windows, tables, dead letters, tensors.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::{brokers, unique};
use crate::service_kafka::World;

/// Python with confluent-kafka, numpy and safetensors; `make test` makes one.
pub fn python() -> String {
    std::env::var("WELLSPRING_TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

const VIEW: &str = "CREATE VIEW minutes AS SELECT user_id, count(*) AS n, sum(value) AS total FROM events
    GROUP BY user_id, tumble(INTERVAL '1 minute');";

#[test]
fn stock_clients_read_the_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&dir, unique("outside"), VIEW);
    world.create_topics();
    let event = |user: &str, time: i64, item: &str| {
        format!(r#"{{"user_id":"{user}","type":"buy","time":{time},"item_id":"{item}","value":0.5}}"#).into_bytes()
    };
    let mut lines = vec![event("ada", 0, "i1"), event("ada", 1, "i2"), event("bob", 59_999, "i1"), b"{\"no".to_vec()];
    // Far beyond any disorder, on every source partition.
    lines.extend((0..3).map(|n| event(&format!("end{n}"), 1_900_000_000_000 + n, "i3")));
    let items: Vec<Vec<u8>> = (0..4)
        .map(|n| {
            format!(r#"{{"item_id":"i{n}","vector":[{},0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5]}}"#, n as f64 / 8.0).into()
        })
        .collect();
    world.send_to("items", &items);
    let _service = world.serve("a");
    world.send_to("events", &lines[..4]);
    world.send_to("events", &lines[4..]);

    // The model as a file, of a run with the same settings.
    let (input, output) = (dir.path().join("events.jsonl"), dir.path().join("out"));
    std::fs::write(&input, event("ada", 0, "i1")).unwrap();
    let source = format!("events={}", input.display());
    let run = ["run", "--input", &source, "--output", output.to_str().unwrap(), "--set", "sdim.items=hashed"];
    assert!(world.command(&run, "run").stdout(std::process::Stdio::null()).status().unwrap().success());

    let started = Instant::now();
    loop {
        let read = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/read_topics.py"))
            .args([brokers(), &world.topic(""), &world.app, "minutes", "16"])
            .arg(output.join("models/sdim.safetensors"))
            .output()
            .expect("python3, or the interpreter of WELLSPRING_TEST_PYTHON");
        let told: Result<Value, _> = serde_json::from_slice(&read.stdout);
        let problem = match told {
            Ok(told) if is_all(&told) => return,
            Ok(told) => told.to_string(),
            Err(_) => String::from_utf8_lossy(&read.stderr).into_owned(),
        };
        assert!(started.elapsed() < Duration::from_secs(60), "{problem}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn is_all(told: &Value) -> bool {
    let dead = &told["dead"];
    told["windows"]
        == json!([
            {"user_id": "ada", "window_start": 0, "window_end": 60000, "n": 2, "total": 1.0},
            {"user_id": "bob", "window_start": 0, "window_end": 60000, "n": 1, "total": 0.5},
        ])
        && told["users"] == json!(["ada", "bob", "end0", "end1", "end2"])
        && told["norms_off"].as_f64().unwrap() < 2e-3
        && told["rows"].as_u64().unwrap() > 0
        && told["dim"] == 16
        && dead.as_array().unwrap().len() == 1
        && dead[0]["value"] == "{\"no"
        && dead[0]["headers"]["wellspring.topic"].as_str().unwrap().ends_with("events")
        && !dead[0]["headers"]["wellspring.error"].as_str().unwrap().is_empty()
        && told["model_records"].as_u64().unwrap() >= 2
        && told["tensors"]["hash"] == json!([48, 16])
}
