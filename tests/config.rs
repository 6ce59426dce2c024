//! Settings: three places, one meaning; every mistake is named.

use std::io::Write;
use std::path::Path;

use pipeline::config::load::load_from;
use pipeline::config::settings::{Kind, SETTINGS};
use pipeline::config::{Config, ConfigError, Emit, ItemVectors, Role};
use schemas::event::ColumnType;
use serde_json::Value;

fn sets(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| text.to_string()).collect()
}

fn load(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Config, ConfigError> {
    let mut toml = tempfile::NamedTempFile::new().unwrap();
    toml.write_all(file.as_bytes()).unwrap();
    let variables = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    load_from(Some(toml.path()), variables, &sets(set))
}

fn error(file: &str, environment: &[(&str, &str)], set: &[&str]) -> String {
    load(file, environment, set).unwrap_err().to_string()
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
}

#[test]
fn set_stands_above_the_environment_and_both_above_the_file() {
    let file = "[engine]\nworkers = 2\nbatch_rows = 100\ncommit_interval_ms = 7\n";
    let env = [("WELLSPRING_ENGINE__WORKERS", "3"), ("WELLSPRING_ENGINE__BATCH_ROWS", "200"), ("OTHER", "x")];
    let config = load(file, &env, &["engine.workers=4", "engine.workers=5"]).unwrap();
    assert_eq!((config.engine.workers, config.engine.batch_rows, config.engine.commit_interval_ms), (5, 200, 7));
    assert_eq!(load("", &[], &[]).unwrap(), Config::default());
}

#[test]
fn an_unknown_setting_is_named_with_its_place_and_the_nearest_known() {
    let text = error("[engine]\n\nworker = 2\n", &[], &[]);
    has(&text, &["`engine.worker`", "line 3 of", "did you mean `engine.workers`?"]);
    let text = error("", &[("WELLSPRING_KAFKA__BROKER", "a:1")], &[]);
    has(&text, &["`kafka.broker`", "WELLSPRING_KAFKA__BROKER", "did you mean `kafka.brokers`?"]);
    let text = error("", &[], &["workers=2"]);
    has(&text, &["`workers`", "--set workers=2", "did you mean `engine.workers`?"]);
    has(&error("", &[], &["quite.another=2"]), &["`quite.another`", "wellspring.toml lists"]);
    has(&error("[unheard.of]\nx = 1\n", &[], &[]), &["`unheard`", "line 1"]);
    has(&error("app.name = 1\n", &[], &[]), &["`app`", "`a table`"]);
    has(&error("", &[], &["engine"]), &["--set engine", "KEY=VALUE"]);
    has(&error("engine = 3\n", &[], &[]), &["`engine`"]);
}

#[test]
fn variables_of_the_build_and_of_kubernetes_are_no_settings() {
    let others = ["CACHE", "DATA", "TEST_BROKERS", "SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP"];
    for name in others {
        load("", &[(&format!("WELLSPRING_{name}"), "x")], &[]).unwrap();
    }
}

#[test]
fn the_setting_decides_what_a_text_means() {
    let config = load("", &[], &["app=123", "partitions=2", "sdim.enabled=true", "roles=engine"]).unwrap();
    assert_eq!((config.app.as_str(), config.partitions, config.sdim.enabled), ("123", Some(2), true));
    assert_eq!(config.roles, [Role::Engine]);
    let config = load("", &[], &["roles=router, engine", "views.emit=event", "sdim.items=hashed"]).unwrap();
    assert_eq!((config.roles.len(), config.views.emit, config.sdim.items), (2, Emit::Event, ItemVectors::Hashed));
    let config = load("partitions = 9\n", &[], &["partitions=off", "history.ttl=36h"]).unwrap();
    assert_eq!((config.partitions, config.partitions_kafka(), config.partitions_embedded()), (None, 64, 4));
    assert_eq!(config.history.ttl.unwrap().0.as_secs(), 36 * 3600);
    has(&error("app = 123\n", &[], &[]), &["`app`", "`123`", "1 to 100 of the characters"]);
    has(&error("partitions = \"2\"\n", &[], &[]), &["`partitions`", "a whole number from 1 to 4096"]);
}

#[test]
fn declared_columns_keep_their_order() {
    let file = "[events.columns]\nzebra = \"string\"\namount_band = \"int64\"\n";
    let config =
        load(file, &[], &["events.columns.amount_band=float64", "events.columns={ b = \"boolean\" }"]).unwrap();
    let expected = [("zebra", ColumnType::String), ("amount_band", ColumnType::Float64), ("b", ColumnType::Boolean)];
    let columns: Vec<_> = config.events.columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    assert_eq!(columns, expected);
    assert_eq!(config.event_columns().declared().len(), 3);
    has(&error("", &[], &["events.columns={ value = \"int64\" }"]), &["`value`", "choose another name"]);
    has(&error("", &[], &["events.columns={ x = \"int32\" }"]), &["`events.columns.x`", "int64, float64"]);
    has(&error("", &[], &["events.columns=nonsense"]), &["not TOML"]);
    has(&error("[events]\ncolumns = 3\n", &[], &[]), &["`events.columns`", "a table"]);
}

#[test]
fn dotted_properties_reach_librdkafka_by_their_own_names() {
    let file =
        "[kafka.properties]\n\"socket.timeout.ms\" = 5000\nssl.ca.location = \"/x\"\nlog.connection.close = false\n";
    let env = [("WELLSPRING_KAFKA__PROPERTIES__LINGER__MS", "3")];
    let config = load(file, &env, &["kafka.properties.session.timeout.ms=6000"]).unwrap();
    let expected = [
        ("linger.ms", "3"),
        ("log.connection.close", "false"),
        ("session.timeout.ms", "6000"),
        ("socket.timeout.ms", "5000"),
        ("ssl.ca.location", "/x"),
    ];
    let properties: Vec<_> = config.kafka.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(properties, expected);
}

#[test]
fn properties_that_exactly_once_depends_on_are_refused() {
    let refused = [
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "isolation.level",
        "partition.assignment.strategy",
        "partitioner",
        "retries",
        "transactional.id",
    ];
    for name in refused {
        let argument = format!("kafka.properties.{name}=x");
        let text = error("", &[], &[&argument]);
        has(&text, &[&format!("`kafka.properties.{name}`"), "refused", &format!("--set {argument}")]);
    }
    has(&error("", &[], &["kafka.properties.message.timeout.ms=30001"]), &["message.timeout.ms", "1 to 30000"]);
    let timeouts = ["kafka.properties.message.timeout.ms=60001", "kafka.properties.transaction.timeout.ms=70000"];
    load("", &[], &timeouts).unwrap();
}

/// Every bound, from both sides.
#[test]
fn a_value_out_of_its_range_is_refused_with_what_is_allowed() {
    for setting in SETTINGS {
        let with = |value: &str| load("", &[], &["history.max_events=1048576", &format!("{}={value}", setting.key)]);
        let refused = |value: &str| {
            let text = with(value).unwrap_err().to_string();
            has(&text, &[setting.key, value, &setting.allowed()]);
        };
        match setting.kind {
            Kind::Integer { least, most } => {
                for value in [least, most] {
                    with(&value.to_string()).unwrap();
                }
                for value in [least - 1, most + 1] {
                    refused(&value.to_string());
                }
                refused("1.5");
                refused("many");
            }
            Kind::Choice(_) | Kind::Choices(_) | Kind::Boolean | Kind::Listen => refused("sideways"),
            Kind::Span => ["0s", "5", "-1h", "1y", "100000d"].into_iter().for_each(refused),
            Kind::Name { len_max, .. } => {
                refused("a b");
                refused(&"x".repeat(len_max + 1));
            }
            Kind::Size => ["0B", "5", "-1GiB", "1gib", "1.5GiB"].into_iter().for_each(refused),
            Kind::LogLevel => refused("info,,=x=y"),
            Kind::Names => refused("a,b,a"),
            Kind::Text | Kind::Columns | Kind::Properties => {}
        }
    }
    has(&error("", &[], &["kafka.brokers="]), &["`kafka.brokers`", "not empty"]);
    has(&error("", &[], &["app="]), &["`app`"]);
    let window = ["sdim.enabled=true", "sdim.window=2000"];
    has(&error("", &[], &window), &["sdim.window=2000", "history.max_events=1024"]);
    has(&error("", &[], &["sdim.bits=50"]), &["sdim.bits=50", "sdim.group_bits=3", "96 and 6"]);
    has(&error("", &[], &["sdim.bits=160", "sdim.group_bits=1"]), &["sdim.bits=160", "127"]);
    load("", &[], &["sdim.bits=160", "sdim.group_bits=10"]).unwrap();
}

/// The settings that the check over a real broker passes.
#[test]
fn a_service_of_scripts_is_set_up_by_arguments_alone() {
    let arguments = [
        "app=check-1",
        "topics.prefix=check-1.",
        "kafka.brokers=h:1",
        "partitions=8",
        "views.file=a/views.sql",
        "events.out_of_orderness_ms=21600000",
        "events.dedupe_ids=1024",
        "state.snapshots=file:///tmp/snapshots",
        "state.snapshot_interval_ms=1000",
        "engine.commit_interval_ms=50",
        "engine.workers=2",
        "sdim.enabled=false",
        "kafka.properties.session.timeout.ms=6000",
        "instance=a",
        "http.listen=127.0.0.1:18701",
        "engine.batch_rows=7",
    ];
    let config = load("", &[], &arguments).unwrap();
    assert_eq!(config.topics.prefix, "check-1.");
    assert_eq!(config.http_listen(), Some("127.0.0.1:18701"));
    assert_eq!(load("", &[], &["http.listen=off"]).unwrap().http_listen(), None);
    assert_eq!(load("", &[], &["http.listen="]).unwrap().http_listen(), None);
}

#[test]
fn a_missing_file_is_named() {
    let path = Path::new("no/such/settings.toml");
    has(&load_from(Some(path), std::iter::empty(), &[]).unwrap_err().to_string(), &["no/such/settings.toml"]);
    let config = load("", &[], &["views.file=no/such/views.sql"]).unwrap();
    has(&config.views_sql().unwrap_err().to_string(), &["no/such/views.sql", "views.file"]);
    has(&error("a = = 3\n", &[], &[]), &["not TOML", "line 1"]);
}

/// The shipped file sets nothing unknown, and names every setting with its default.
#[test]
fn the_shipped_file_shows_every_setting() {
    let text = std::fs::read_to_string("wellspring.toml").unwrap();
    let shipped = load(&text, &[], &[]).unwrap();
    assert!(shipped.sdim.enabled && shipped.views_sql().unwrap().is_some());
    // Uncommented, every line `name = value` is a setting at its default.
    let setting = |line: &str| {
        line.starts_with("# ")
            && line[2..].split(" = ").next().is_some_and(|name| !name.contains(' ') && line.contains(" = "))
    };
    let bare: Vec<_> = text.lines().map(|line| if setting(line) { &line[2..] } else { line }).collect();
    let all = load(&bare.join("\n"), &[], &[]).unwrap();
    assert_eq!(all.kafka.properties.len(), 2);
    let mut expected = Config { instance: "host-1".into(), partitions: Some(64), ..Config::default() };
    expected.sdim.enabled = true;
    expected.prompt_tpp.enabled = true;
    expected.candidates.enabled = true;
    expected.muse.enabled = true;
    expected.views.file = Some("features.sql".into());
    expected.events.columns = vec![("amount_band".into(), ColumnType::Int64)];
    expected.kafka.properties = all.kafka.properties.clone();
    assert_eq!(all, expected);
    for key in SETTINGS.iter().map(|setting| setting.key) {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut at = "";
        let found = bare.iter().any(|line| {
            at = line.strip_prefix('[').map_or(at, |rest| rest.trim_end_matches(']'));
            at == table && line.starts_with(&format!("{name} = "))
        });
        assert!(found, "wellspring.toml does not show {key}");
    }
}

/// The list of settings and the struct have the same names.
#[test]
fn every_field_is_a_setting_and_every_setting_a_field() {
    fn walk(value: &Value, key: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(table) if !["kafka.properties"].contains(&key) => {
                for (name, value) in table {
                    walk(value, &if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, found);
                }
            }
            _ => found.push(key.into()),
        }
    }
    let mut fields = Vec::new();
    walk(&serde_json::to_value(Config::default()).unwrap(), "", &mut fields);
    let mut settings: Vec<String> = SETTINGS.iter().map(|setting| setting.key.into()).collect();
    fields.sort();
    settings.sort();
    assert_eq!(fields, settings);
}
