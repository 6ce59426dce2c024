//! Inputs of `run` and `replay`: every kind of file, SQL over them, and the order over several.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use pipeline::source::{Input, InputTopic, Merge, SourceError, peek};
use serde_json::{Value, json};
use tempfile::TempDir;

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => {
            // Two members, as concatenated files have them.
            let (head, tail) = bytes.split_at(bytes.len() / 2);
            for part in [head, tail] {
                let mut gz = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
                gz.write_all(part).unwrap();
                gz.finish().unwrap();
            }
        }
        "zst" => file.write_all(&zstd::encode_all(bytes, 1).unwrap()).unwrap(),
        _ => file.write_all(bytes).unwrap(),
    }
    path
}

type Row = (InputTopic, i32, Vec<u8>);

fn read(arguments: &[String]) -> Result<Vec<Row>, SourceError> {
    let mut merge = Merge::open(&Input::parse_all(arguments)?)?;
    let mut rows = Vec::new();
    while let Some(record) = merge.next()? {
        rows.push((record.topic, record.partition, record.value.to_vec()));
    }
    Ok(rows)
}

fn events(source: impl std::fmt::Display) -> Result<Vec<Vec<u8>>, SourceError> {
    Ok(read(&[format!("events={source}")])?.into_iter().map(|(_, _, bytes)| bytes).collect())
}

fn values(source: impl std::fmt::Display) -> Vec<Value> {
    events(source).unwrap().iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
}

fn failure(source: impl std::fmt::Display) -> String {
    events(source).unwrap_err().to_string()
}

#[test]
fn lines_pass_byte_for_byte_bad_ones_included() {
    let dir = TempDir::new().unwrap();
    let long = vec![b'x'; 700_000];
    let records: Vec<&[u8]> = vec![b"{\"a\": 1}", b"not json", b"\xff\xfe", b"{}\r", b" ", &long, b"{\"last\":1}"];
    let mut text = records.join(&b"\n"[..]);
    text.extend_from_slice(b"\n\n\n{\"after\":2}");
    let mut expected: Vec<Vec<u8>> = records.iter().map(|record| record.to_vec()).collect();
    expected.push(b"{\"after\":2}".to_vec());
    for name in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "A.JSONL"] {
        assert_eq!(events(write(&dir, name, &text).display()).unwrap(), expected, "{name}");
    }
    assert!(events(write(&dir, "empty.jsonl", b"").display()).unwrap().is_empty());
    assert!(events(write(&dir, "newlines.jsonl", b"\n\n").display()).unwrap().is_empty());
}

/// Cut anywhere by chunks, lines stay whole and in order.
#[test]
fn many_lines_keep_their_order_over_chunks() {
    let dir = TempDir::new().unwrap();
    let lines: Vec<String> = (0..40_000).map(|i| format!("{{\"i\":{i},\"pad\":\"{}\"}}", "p".repeat(i % 97))).collect();
    let path = write(&dir, "many.jsonl.gz", lines.join("\n").as_bytes());
    let got = events(path.display()).unwrap();
    assert_eq!(got.len(), lines.len());
    assert!(got.iter().zip(&lines).all(|(a, b)| a == b.as_bytes()));
}

#[test]
fn json_is_one_array_or_values_one_after_another() {
    let dir = TempDir::new().unwrap();
    let expected = [json!({"a": "]},{", "b": ["x", {"y": "\\\""}]}), json!({"a": 2}), json!(7), json!("s")];
    let [one, two, three, four] = expected.each_ref().map(|value| serde_json::to_string_pretty(value).unwrap());
    for (name, text) in [
        ("array.json", format!("\u{feff} [{one},\n{two} , {three},{four}]\n")),
        ("stream.json.gz", format!("{one}{two}\n{three} {four}")),
        ("lines.json.zst", expected.each_ref().map(|value| value.to_string()).join("\n")),
    ] {
        assert_eq!(values(write(&dir, name, text.as_bytes()).display()), expected, "{name}");
    }
    let cut = write(&dir, "cut.json", b"[{\"a\":1},{\"a\":");
    assert_eq!(events(cut.display()).unwrap(), [b"{\"a\":1}".to_vec(), b"{\"a\":".to_vec()]);
    let big: Vec<Value> = (0..30_000).map(|i| json!({"i": i, "list": [i, [i]], "text": "some words"})).collect();
    let big_path = write(&dir, "big.json.gz", serde_json::to_string(&big).unwrap().as_bytes());
    assert_eq!(values(big_path.display()), big);
}

const CSV: &str = "CustomerId,type,time,value,note\nu1,buy,1000,2.5,\"a \"\"q\"\"\"\n7,view,2000,,\n";

fn csv_rows() -> [Value; 2] {
    [
        json!({"CustomerId": "u1", "type": "buy", "time": 1000, "value": 2.5, "note": "a \"q\""}),
        json!({"CustomerId": "7", "type": "view", "time": 2000}),
    ]
}

#[test]
fn rows_of_csv_become_json_nulls_left_out() {
    let dir = TempDir::new().unwrap();
    for name in ["t.csv", "t.csv.gz", "t.csv.zst"] {
        let path = write(&dir, name, CSV.as_bytes());
        assert_eq!(values(path.display()), csv_rows(), "{name}");
        let sql =
            format!("SELECT CustomerId AS user_id, COUNT(*) AS n FROM '{}' GROUP BY 1 ORDER BY 1", path.display());
        assert_eq!(values(sql), [json!({"user_id": "7", "n": 1}), json!({"user_id": "u1", "n": 1})], "{name}");
    }
    // An integer stays one, also where a later row is no number.
    let late = format!("id\n{}x\n", "1\n".repeat(5000));
    let got = values(write(&dir, "late.csv", late.as_bytes()).display());
    assert_eq!((got.len(), &got[0], &got[5000]), (5001, &json!({"id": "1"}), &json!({"id": "x"})));
}

#[test]
fn parquet_keeps_its_types_and_its_order() {
    let dir = TempDir::new().unwrap();
    let batch = RecordBatch::try_from_iter([
        ("user_id", Arc::new(Int64Array::from(vec![3, i64::MAX])) as ArrayRef),
        ("value", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN)])) as ArrayRef),
        ("time", Arc::new(TimestampMillisecondArray::from(vec![1_500_000_000_123, 1_500_000_000_000])) as ArrayRef),
        ("type", Arc::new(StringArray::from(vec!["a\nb", "c"])) as ArrayRef),
    ])
    .unwrap();
    let path = dir.path().join("t.parquet");
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let got = values(path.display());
    assert_eq!(got[0], json!({"user_id": 3, "value": 0.1, "time": "2017-07-14T02:40:00.123Z", "type": "a\nb"}));
    assert_eq!(got[1]["user_id"], json!(i64::MAX));
    assert!(got[1].get("value").is_none_or(Value::is_null), "{}", got[1]);
    assert_eq!(peek::time_ms(&events(path.display()).unwrap()[0]), Some(1_500_000_000_123));
    let joined = format!(
        "WITH t AS (SELECT * FROM '{0}') SELECT t.user_id, [t.value, 2.0] AS vector, 1.50::DECIMAL(5,2) AS d \
         FROM t JOIN '{0}' AS o USING (user_id) WHERE t.user_id = 3",
        path.display()
    );
    assert_eq!(values(joined), [json!({"user_id": 3, "vector": [0.1, 2.0], "d": 1.5})]);
}

#[test]
fn sql_reads_every_format() {
    let dir = TempDir::new().unwrap();
    let lines = "{\"id\":1,\"v\":[1.5,2]}\n{\"id\":2}\n";
    for (name, text) in [
        ("t.jsonl", lines),
        ("t.jsonl.gz", lines),
        ("t.jsonl.zst", lines),
        ("lines.json", lines),
        ("array.json", "[{\"id\":1,\"v\":[1.5,2]},\n{\"id\":2}]"),
        ("array.json.gz", "[{\"id\":1,\"v\":[1.5,2]},\n{\"id\":2}]"),
    ] {
        let path = write(&dir, name, text.as_bytes());
        let sql = format!("select id as item_id, v as vector from '{}' order by id desc", path.display());
        assert_eq!(values(sql), [json!({"item_id": 2}), json!({"item_id": 1, "vector": [1.5, 2.0]})], "{name}");
    }
}

#[test]
fn what_is_wrong_with_a_source_is_said_with_its_place() {
    let dir = TempDir::new().unwrap();
    let says = |text: String, parts: &[&str]| {
        parts.iter().for_each(|part| assert!(text.contains(part), "`{text}` does not say `{part}`"));
    };
    says(failure("missing.jsonl"), &["--input events=missing.jsonl", "No such file", "working directory"]);
    says(failure("SELECT 1 AS x FROM 'missing.csv'"), &["missing.csv", "No such file"]);
    says(failure("SELECT * FROM taobao"), &["FROM taobao", "in quotes"]);
    says(failure("SELECT * FROM taobao.csv"), &["in quotes"]);
    says(failure("SELECT nothing"), &["nothing"]);
    let csv = write(&dir, "t.csv", CSV.as_bytes());
    says(failure(format!("SELECT missing FROM '{}'", csv.display())), &["missing", "SELECT"]);
    says(failure("events.txt"), &["events.txt", ".jsonl"]);
    let target = dir.path().join("o.csv");
    says(failure(format!("WITH a AS (SELECT 1) INSERT INTO '{}' SELECT 1", csv.display())), &["--input"]);
    assert!(!target.exists());
    let torn = write(&dir, "torn.jsonl.gz", b"{\"a\":1}\n".repeat(100).as_slice());
    let bytes = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &bytes[..bytes.len() - 9]).unwrap();
    says(failure(torn.display()), &["torn.jsonl.gz", "correct the file"]);
    for (argument, part) in [("events", "TOPIC=SOURCE"), ("clicks=a.jsonl", "unknown topic `clicks`")] {
        let error = Input::parse_all(&[argument.into()]).unwrap_err();
        assert!(error.usage);
        says(
            error.to_string(),
            &[part, "events, items, candidates, feedback and forget"][..if part == "TOPIC=SOURCE" { 1 } else { 2 }],
        );
    }
}

fn order(dir: &TempDir, files: &[(&str, &str)]) -> Vec<String> {
    let arguments: Vec<String> = files
        .iter()
        .enumerate()
        .map(|(i, (topic, lines))| {
            let text = lines.split(' ').collect::<Vec<_>>().join("\n");
            format!("{topic}={}", write(dir, &format!("{i}.jsonl"), text.as_bytes()).display())
        })
        .collect();
    let rows = read(&arguments).unwrap();
    rows.iter().map(|(t, p, bytes)| format!("{}{p}:{}", &t.name()[..1], String::from_utf8_lossy(bytes))).collect()
}

#[test]
fn items_come_first_then_always_the_oldest_next_record() {
    let dir = TempDir::new().unwrap();
    let t = |ms: i64, tag: &str| format!("{{\"time\":{ms},\"x\":\"{tag}\"}}");
    let a = [t(5, "a"), t(3, "a"), "bad".into(), t(9, "a")];
    let b = [t(4, "b"), t(5, "b"), "{\"time\":null}".into(), t(5, "b2")];
    let files = [("events", a.join(" ")), ("items", "i j".into()), ("events", b.join(" ")), ("items", "k".into())];
    let got = order(&dir, &files.each_ref().map(|(topic, text)| (*topic, text.as_str())));
    let e = |partition: usize, text: &String| format!("e{partition}:{text}");
    // b(4) is older than a(5); the tie at 5 goes to the first input; an undated head does not wait.
    let expected = [
        "i0:i".into(),
        "i0:j".into(),
        "i1:k".into(),
        e(1, &b[0]),
        e(0, &a[0]),
        e(0, &a[1]),
        e(0, &a[2]),
        e(1, &b[1]),
        e(1, &b[2]),
        e(1, &b[3]),
        e(0, &a[3]),
    ];
    assert_eq!(got, expected);
}

#[test]
fn times_and_keys_are_read_as_the_service_reads_them() {
    for (text, time) in [
        ("{\"time\":12}", Some(12)),
        ("{\"time\":\"1970-01-01T00:00:01.0005Z\"}", Some(1001)),
        ("{\"time\":\"1970-01-01T02:00:00+02:00\"}", Some(0)),
        ("{\"time\":1.5}", None),
        ("{\"time\":\"yesterday\"}", None),
        ("{\"time\":99999999999999999999}", None),
        ("{}", None),
        ("[1]", None),
    ] {
        assert_eq!(peek::time_ms(text.as_bytes()), time, "{text}");
    }
    let key = |topic, text: &str| peek::key(topic, text.as_bytes()).map(|key| String::from_utf8(key).unwrap());
    assert_eq!(key(InputTopic::Events, "{\"user_id\":\"a\\u00e9\",\"item_id\":1}").as_deref(), Some("a\u{e9}"));
    assert_eq!(key(InputTopic::Events, "{\"user_id\":-7}").as_deref(), Some("-7"));
    assert_eq!(key(InputTopic::Items, "{\"user_id\":-7,\"item_id\":\"i\"}").as_deref(), Some("i"));
    for text in ["{\"user_id\":1.5}", "{\"user_id\":true}", "{\"user_id\":null}", "{}", "x"] {
        assert_eq!(key(InputTopic::Events, text), None, "{text}");
    }
}

/// The design's own example, over the file it was written for.
#[test]
fn the_example_of_the_documentation_runs_where_its_data_is() {
    let Some(data) = std::env::var_os("WELLSPRING_DATA") else { return };
    let path = Path::new(&data).join("tpp/taobao.csv.gz");
    let sql = format!(
        "SELECT seq AS user_id, type_event AS type, CAST(time_since_start * 1e7 AS BIGINT) AS time \
         FROM '{}' ORDER BY time",
        path.display()
    );
    let rows = values(sql);
    assert_eq!(rows.len(), 81_661);
    let time = |row: &Value| row["time"].as_i64().unwrap();
    assert!(rows.windows(2).all(|pair| time(&pair[0]) <= time(&pair[1])));
}
