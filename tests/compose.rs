//! What is shipped for containers sets what there is to set.

use pipeline::config::load::load_from;
use pipeline::config::{Config, Device};

/// The variables of the compose file: its lines `- NAME=VALUE`.
fn variables(text: &str, prefix: &str) -> Vec<(String, String)> {
    let entries = text.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once('='));
    let ours = entries.filter(|(name, _)| name.starts_with(prefix));
    ours.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn compose() -> String {
    std::fs::read_to_string("docker-compose.yml").unwrap()
}

#[test]
fn every_variable_of_the_compose_file_is_a_setting() {
    let ours = variables(&compose(), "WELLSPRING_");
    assert!(ours.len() >= 8, "{ours:?}");
    assert_eq!(
        ours.len(),
        compose().matches("WELLSPRING_").count(),
        "a variable stands in another form than `- NAME=VALUE`"
    );
    let config = load_from(Some("wellspring.toml".as_ref()), ours.into_iter(), &[]).unwrap();
    assert_ne!(config.kafka, Config::default().kafka);
    assert_eq!((config.device, config.partitions), (Device::Cpu, Some(8)));
    assert!(config.views_sql().unwrap().is_some());
}

/// The service connects to the listener that the broker advertises inside the network, and its page is published.
#[test]
fn the_compose_file_connects_the_service_to_its_broker() {
    let kafka = variables(&compose(), "KAFKA_");
    let value = |name: &str| kafka.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
    let config = load_from(None, variables(&compose(), "WELLSPRING_").into_iter(), &[]).unwrap();
    let inside = format!("INSIDE://{}", config.kafka.brokers);
    assert!(value("KAFKA_ADVERTISED_LISTENERS").split(',').any(|listener| listener == inside));
    let port = config.http_listen().unwrap().rsplit_once(':').unwrap().1.to_string();
    assert!(compose().contains(&format!("127.0.0.1:{port}:{port}")));
    assert!(config.http_listen().unwrap().starts_with("0.0.0.0:"), "published ports lead to every address");
}
