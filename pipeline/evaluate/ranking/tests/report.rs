//! What is printed.

use super::world::{options, world};
use crate::evaluate::ranking::{evaluate, rows};

#[test]
fn the_report_is_json_and_a_table() {
    let log = world(30, 60, 5, 2);
    let report = evaluate(&log, &shaders::Device::Cpu, &options(&["popularity", "blend"])).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    let names: Vec<&String> = json["models"].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 2);
    for name in ["popularity", "blend"] {
        let row = &json["models"][name];
        for figure in ["auc", "gauc", "log_loss", "ms_per_1000"] {
            assert!(row[figure].is_f64(), "{figure} of {name}: {row}");
        }
        let [low, high] = [0, 1].map(|end| row["auc_ci95"][end].as_f64().unwrap());
        assert!(low <= row["auc"].as_f64().unwrap() && row["auc"].as_f64().unwrap() <= high);
    }
    let [train, validation, test] = [0, 1, 2].map(|part| json["examples"][part].as_u64().unwrap());
    assert_eq!(train + validation + test, 30 * 5 * 8);
    for groups in ["activity", "rarity"] {
        let examples = json[groups].as_array().unwrap().iter().map(|group| group["examples"].as_u64().unwrap());
        assert_eq!(examples.sum::<u64>(), test, "every example is in one group");
    }
    let table = report.to_string();
    for part in ["examples tested", "AUC by length of the history", "AUC by behaviors", "popularity", "blend"] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
}

#[test]
fn rows_have_names_of_their_own() {
    let mut names: Vec<&str> = rows().collect();
    assert_eq!(names.len(), 11);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 11);
}
