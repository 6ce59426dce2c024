//! `train sdim` and `train muse` as scripts call them, and what a run makes of their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pipeline::metrics::Metrics;
use pipeline::run::run;
use serde_json::{Value, json};

use crate::path::config;
use crate::scores::{Script, Setting, judge, purchases, rankers, tastes};

const TOPICS: [&str; 4] = ["items", "events", "candidates", "feedback"];

/// Writes a script's lines as `<topic>.jsonl`.
fn write(script: &Script, dir: &Path) {
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (topic, line) in &script.0 {
        let file = files.entry(topic).or_default();
        file.extend_from_slice(line);
        file.push(b'\n');
    }
    for (topic, bytes) in files {
        std::fs::write(dir.join(format!("{topic}.jsonl")), bytes).unwrap();
    }
}

fn train(dir: &Path, arguments: &[&str], topics: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
    command.current_dir(dir).arg("train").args(arguments);
    for setting in ["device=cpu", "sdim.dim=8", "candidates.features=place", "candidates.batch_samples=64"] {
        command.args(["--set", setting]);
    }
    for topic in topics {
        command.args(["--input", &format!("{topic}={topic}.jsonl")]);
    }
    command.output().unwrap()
}

/// A trained model, and what was told of it.
fn trained(dir: &Path, model: &str, more: &[&str]) -> (String, Value) {
    let file = format!("{model}.safetensors");
    let output = train(dir, &[&[model, "--output", &file], more].concat(), &TOPICS);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["model"], model);
    (dir.join(file).to_str().unwrap().into(), told)
}

fn settings() -> Vec<Setting> {
    rankers(&[
        ("candidates.enabled", true.into()),
        ("candidates.features", json!(["place"])),
        ("candidates.learn", false.into()),
    ])
}

#[test]
fn what_was_trained_answers_from_the_first_request_on() {
    let (dir, rounds) = (tempfile::tempdir().unwrap(), 300);
    write(&tastes(3, 1500), dir.path());
    let mut settings = settings();
    for (model, start) in [("sdim", "sdim.start"), ("muse", "muse.start")] {
        let (file, told) = trained(dir.path(), model, &[]);
        assert_eq!((told["samples"].as_u64(), told["targets"].as_u64()), (Some(6000), Some(6000)), "{told}");
        assert_eq!((told["items"].as_u64(), told["epochs"].as_u64()), (Some(40), Some(1)), "{told}");
        settings.push((start, file.into()));
    }
    let (answers, dead) = tastes(4, rounds).answers(&settings);
    assert_eq!((answers.len() as u64, dead), (rounds, Vec::new()));
    for (model, version) in [("sdim", 2), ("muse", 1)] {
        let (auc, versions) = judge(&answers, model, 0..rounds);
        assert_eq!(versions, BTreeSet::from([version]), "{model}: nobody learns");
        assert!(auc > 0.85, "{model}: AUC {auc}");
    }
}

#[test]
fn the_same_records_are_the_same_model_and_more_passes_another_one() {
    let dir = tempfile::tempdir().unwrap();
    write(&tastes(5, 200), dir.path());
    let file = |more: &[&str]| {
        // Of several partitions, which sample comes first is a matter of time.
        let (file, told) = trained(dir.path(), "sdim", &[&["--set", "partitions=1"][..], more].concat());
        (std::fs::read(file).unwrap(), told["targets"].as_u64().unwrap())
    };
    let tensors = |bytes: &[u8]| {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect::<BTreeMap<_, _>>()
    };
    let cuts = ["engine.commit_interval_ms=1", "engine.batch_rows=7"];
    let (first, again) = (file(&[]), file(&["--set", cuts[0], "--set", cuts[1]]));
    assert!(first.1 == again.1 && tensors(&first.0) == tensors(&again.0));
    let twice = file(&["--epochs", "2"]);
    assert_eq!(twice.1, 2 * first.1, "800 candidates a pass");
    assert!(tensors(&first.0) != tensors(&twice.0));
}

#[test]
fn the_same_records_are_the_same_negatives_however_the_work_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let script = purchases(5, 300, 300);
    write(&script, dir.path());
    let learned = |negatives: &str, cuts: &[&str]| {
        let mut arguments = vec!["muse", "--output", "muse.safetensors"];
        let sets = [&["partitions=1", negatives], cuts].concat();
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let output = train(dir.path(), &arguments, &["items", "events", "feedback"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let model = pipeline::model::file::load(&dir.path().join("muse.safetensors")).unwrap();
        (told["targets"].as_u64().unwrap(), model)
    };
    let first = learned("candidates.negatives=3", &[]);
    let cuts: [&[&str]; 2] = [
        &["engine.commit_interval_ms=1", "engine.batch_rows=7"],
        &["engine.workers=2", "engine.commit_interval_ms=3", "state.memory_limit=1000B"],
    ];
    for cut in cuts {
        assert!(learned("candidates.negatives=3", cut) == first, "{cut:?}");
    }
    // The first purchases come while nothing else was named.
    assert!((1190..=1200).contains(&first.0), "{} labeled candidates of 300 purchases", first.0);
    assert_eq!(learned("candidates.negatives=0", &[]).0, 300);
    let few = learned("candidates.negatives=3", &["candidates.recent_items_max=20"]);
    assert!(few.0 > 1000 && few != first, "of fewer items others are drawn");
}

#[test]
fn muse_answers_in_the_form_of_the_paper_too() {
    let (dir, rounds) = (tempfile::tempdir().unwrap(), 300);
    write(&tastes(3, 1500), dir.path());
    let (file, _) = trained(dir.path(), "muse", &["--set", "muse.attention=paper"]);
    let about = pipeline::model::file::load(Path::new(&file)).unwrap().about;
    assert_eq!(about["attention"], "paper");
    let form = [("muse.attention", "paper".into()), ("sdim.enabled", false.into()), ("muse.start", file.into())];
    let (answers, dead) = tastes(4, rounds).answers(&[settings(), form.into()].concat());
    assert_eq!((answers.len() as u64, dead), (rounds, Vec::new()));
    let (auc, _) = judge(&answers, "muse", 0..rounds);
    assert!(auc > 0.85, "AUC {auc}");
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_what_to_set() {
    let dir = tempfile::tempdir().unwrap();
    write(&tastes(6, 60), dir.path());
    let [sdim, muse] = ["sdim", "muse"].map(|model| trained(dir.path(), model, &[]).0);
    let missing = dir.path().join("missing.safetensors").to_str().unwrap().to_string();
    type Case<'a> = (&'a str, &'a str, Option<(&'a str, Value)>, &'a [&'a str]);
    let cases: [Case<'_>; 6] = [
        ("sdim.start", &muse, None, &["model `muse`", "wellspring train sdim"]),
        ("muse.start", &sdim, None, &["model `sdim`", "wellspring train muse"]),
        (
            "muse.start",
            &muse,
            Some(("candidates.features", json!(["price"]))),
            &["place", "price", "set candidates.features"],
        ),
        ("sdim.start", &sdim, Some(("sdim.dim", 4.into())), &["vectors of 8", "sdim.dim"]),
        (
            "muse.start",
            &muse,
            Some(("muse.attention", "paper".into())),
            &["`released`", "muse.attention=paper", "set muse.attention=released"],
        ),
        ("sdim.start", &missing, None, &["missing.safetensors"]),
    ];
    for (start, file, other, parts) in cases {
        let mut settings = settings();
        settings.push((start, file.into()));
        settings.extend(other);
        let config = config(&dir.path().join("none.sql"), &settings);
        let config = pipeline::config::Config { views: Default::default(), ..config };
        let stop = Arc::new(AtomicBool::new(false));
        let out = dir.path().join("out");
        let error = run(config, &mut tastes(7, 20), &out, Metrics::default(), &stop).unwrap_err().to_string();
        for part in [&[start, file][..], parts].concat() {
            assert!(error.contains(part), "`{error}` does not say `{part}`");
        }
    }
}

#[test]
fn a_training_that_cannot_be_says_so_before_its_long_way() {
    let dir = tempfile::tempdir().unwrap();
    write(&tastes(8, 30), dir.path());
    std::fs::write(dir.path().join("feedback.jsonl"), "").unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for (output, epochs, status, parts) in [
        ("m.safetensors", "1", 1, &["no candidate of the inputs has a label", "candidates.sample_percent"][..]),
        ("file/m.safetensors", "1", 1, &["file/m.safetensors", "may it be written to"]),
        ("m.safetensors", "0", 2, &["--epochs"]),
    ] {
        let output = train(dir.path(), &["sdim", "--output", output, "--epochs", epochs], &TOPICS);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{error}");
        parts.iter().for_each(|part| assert!(error.contains(part), "`{error}` does not say `{part}`"));
    }
    assert!(!dir.path().join("m.safetensors").exists(), "nothing is left of what failed");
}
