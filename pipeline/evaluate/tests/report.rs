//! The report is read by programs and by people.

use super::worlds;
use crate::evaluate::baselines::all;
use crate::evaluate::matrix::Matrix;
use crate::evaluate::{MatrixReport, Report, Score, Scores, prequential};

#[test]
fn json_has_these_fields_and_no_others() {
    let stream = worlds::stream(&worlds::poisson(), 2000);
    let score = Score { gap_nats: 1.0, kind_nats: 0.5, hit: true, log10_error: 0.25 };
    let scores = Scores { positions: vec![1000, 1001], users: vec![0, 1], each: vec![score; 2] };
    let mut report = Report::new(&stream);
    report.add("zebra", &scores);
    report.add("ant", &scores);
    let row = r#"{"nll_nats":1.5,"nll_ci95":[1.5,1.5],"accuracy":1.0,"mae_log10":0.25}"#;
    let expected = format!(
        r#"{{"events":2000,"scored":2,"unit_ms":{},"models":{{"zebra":{row},"ant":{row}}}}}"#,
        serde_json::to_string(&stream.unit_ms()).unwrap()
    );
    assert_eq!(serde_json::to_string(&report).unwrap(), expected);
}

#[test]
fn the_table_has_a_line_for_every_model() {
    let stream = worlds::stream(&worlds::poisson(), 3000);
    let mut report = Report::new(&stream);
    let mut all_scores = Vec::new();
    for mut model in all() {
        let scores = prequential(&stream, model.as_mut()).unwrap();
        report.add(model.name(), &scores);
        all_scores.push(scores);
    }
    report.compare(("user", &all_scores[2]), ("constant", &all_scores[0]));
    let names: Vec<&str> = report.models.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["constant", "bigram", "user", "blend", "hawkes"]);
    let table = report.to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("1500 of 3000 events scored"), "{table}");
    assert_eq!(lines.len(), 8, "{table}");
    assert!(lines[7].starts_with("user − constant: +0."), "a log-normal is no exponential: {table}");
    for (line, (name, row)) in lines[2..7].iter().zip(&report.models) {
        assert!(line.starts_with(name) && line.contains(&format!("{:.3}", row.nll_nats)), "{table}");
        assert!(row.nll_ci95[0] < row.nll_nats && row.nll_nats < row.nll_ci95[1]);
    }
}

#[test]
fn a_matrix_is_reported_with_its_figures() {
    let stream = worlds::stream(&worlds::poisson(), 2000);
    let matrix = Matrix { initial: vec![3.0, 3.0], after: vec![vec![1.0, 2.5], vec![1.5, 1.0]] };
    let mut report = MatrixReport::new(&stream, 2);
    report.add("ant", matrix);
    let json = serde_json::to_string(&report).unwrap();
    let rows = r#""initial":[3.0,3.0],"after":[[1.0,2.5],[1.5,1.0]]"#;
    let figures = r#""average":1.25,"forgetting":0.5,"forward_transfer":0.5"#;
    assert!(json.starts_with(r#"{"events":2000,"tasks":2,"unit_ms":"#), "{json}");
    assert!(json.ends_with(&format!(r#","models":{{"ant":{{{rows},{figures}}}}}}}"#)), "{json}");
    let text = report.to_string();
    assert!(text.contains("ant: average 1.250, forgetting 0.500, forward transfer 0.500"), "{text}");
    assert!(text.ends_with("     after 2    1.500    1.000\n"), "{text}");
}
