//! `evaluate sdim` and `evaluate muse` as scripts call them.

use std::fmt::Write;
use std::process::Command;

use serde_json::Value;

use crate::streams::Dice;

/// Users of two groups, each with items of its own; four of five clicks stay in the group.
fn write(dir: &std::path::Path) {
    let (mut events, mut candidates, mut feedback) = (String::new(), String::new(), String::new());
    let mut dice = Dice(3);
    for time in 0..6000 {
        let user = dice.below(60);
        let item = |dice: &mut Dice, own: bool| 2 * dice.below(20) + if own { user % 2 } else { (user + 1) % 2 };
        let own = item(&mut dice, true);
        writeln!(events, r#"{{"user_id":{user},"type":"view","time":{time},"item_id":{own}}}"#).unwrap();
        if time % 4 == 0 {
            let items = [true, false, true, false].map(|own| item(&mut dice, own));
            let ids = items.map(|item| item.to_string()).join(",");
            writeln!(
                candidates,
                r#"{{"request_id":{time},"user_id":{user},"time":{time},"item_ids":[{ids}],"features":{{"place":[1,2,3,4]}}}}"#
            )
            .unwrap();
            for item in items {
                let likes = item % 2 == user % 2;
                if dice.below(5) < if likes { 4 } else { 1 } {
                    let feedback = &mut feedback;
                    let id = format!(r#""request_id":{time},"user_id":{user}"#);
                    writeln!(feedback, r#"{{{id},"time":{time},"item_id":{item},"label":1}}"#).unwrap();
                }
            }
        }
    }
    for (topic, lines) in [("events", events), ("candidates", candidates), ("feedback", feedback)] {
        std::fs::write(dir.join(format!("{topic}.jsonl")), lines).unwrap();
    }
}

fn evaluate(dir: &std::path::Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
    command.current_dir(dir).args(["evaluate"]).args(arguments).args(["--set", "device=cpu"]);
    for topic in ["events", "candidates", "feedback"] {
        command.args(["--input", &format!("{topic}={topic}.jsonl")]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_report_tells_all_rows() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let report: Value = serde_json::from_slice(&evaluate(dir.path(), &["muse", "--json", "--epochs", "2"])).unwrap();
    assert_eq!(report["vectors"], "co-occurrence", "nobody brings vectors");
    let models = report["models"].as_object().unwrap();
    let names = "popularity transition repeat content_cosine blend mean_pooling target_attention_50 target_attention_all \
                 sim_hard sdim muse";
    for name in names.split_whitespace() {
        let row = &models[name];
        for figure in ["auc", "gauc", "log_loss", "ms_per_1000"] {
            assert!(row[figure].as_f64().is_some_and(f64::is_finite), "{figure} of {name}: {row}");
        }
        assert!(row["auc_ci95"][0].as_f64() < row["auc_ci95"][1].as_f64(), "{name}: {row}");
    }
    let auc = |name: &str| models[name]["auc"].as_f64().unwrap();
    for name in ["content_cosine", "blend", "sdim", "muse"] {
        assert!(auc(name) > 0.7 && auc(name) > auc("popularity") + 0.1, "{name} knows the groups: {report}");
    }
}

#[test]
fn rows_are_chosen_and_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let arguments = ["sdim", "--json", "--rows", "blend,sdim", "--set", "sdim.bits=96", "--set", "sdim.group_bits=6"];
    let [first, second] = [0, 1].map(|_| {
        let report: Value = serde_json::from_slice(&evaluate(dir.path(), &arguments)).unwrap();
        let models = report["models"].as_object().unwrap();
        assert_eq!(models.len(), 2);
        models.iter().map(|(name, row)| (name.clone(), row["auc"].clone(), row["log_loss"].clone())).collect::<Vec<_>>()
    });
    assert_eq!(first, second, "equal records, equal bits");
    let table = String::from_utf8(evaluate(dir.path(), &["sdim", "--rows", "popularity"])).unwrap();
    assert!(table.contains("AUC by length of the history") && table.contains("popularity"), "{table}");
}
