//! What goes wrong around a running service on a real Kafka, by kind; here: one broker that goes away, and TLS.

/// Processes that answer candidates, killed.
mod answers;
/// A learner that is killed.
mod learner;
/// The network between a process and its brokers, cut.
mod network;
/// A connection that a test can cut.
mod proxy;
/// Three brokers, of which some are killed.
mod quorum;
/// Missing rights.
mod rights;
/// Processes restarted one after the other, and how long each partition stands still.
mod rolling;
/// Topics that are missing, deleted, too small, or grow.
mod topics;
/// Transactions that run out of time.
mod transactions;

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::broker::{Node, unique};
use crate::path::VIEWS;
use crate::service_kafka::{World, lines_and_outcome};

#[test]
fn a_broker_that_is_killed_and_comes_back_costs_nothing_but_time() {
    let mut node = Node::new("");
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("outage"), VIEWS);
    world.brokers = node.address();
    world.create_topics();
    let (lines, expected) = lines_and_outcome(31, 3000);
    let _services = [world.serve("a"), world.serve("b")];
    world.send_to("events", &lines[..1500]);
    // In the middle of the work.
    std::thread::sleep(Duration::from_millis(700));
    node.kill();
    std::thread::sleep(Duration::from_secs(3));
    node.start_again();
    world.send_to("events", &lines[1500..]);
    world.check(&expected);
}

const PASSWORD: &str = "a-password-that-nobody-may-read";

/// A listener with TLS and passwords beside the plain one; the port is in the settings.
fn secured(dir: &tempfile::TempDir) -> (Node, String, String) {
    let (store, authority) = (dir.path().join("broker.p12"), dir.path().join("ca.pem"));
    let keytool = |arguments: &[&str]| {
        let status = Command::new("keytool")
            .args(arguments)
            .args(["-alias", "broker", "-storepass", "store-secret", "-keystore", store.to_str().unwrap()])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("keytool comes with Java").success(), "{arguments:?}");
    };
    let name = ["-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1"];
    keytool(&[&["-genkeypair", "-keyalg", "RSA", "-storetype", "PKCS12"][..], &name].concat());
    keytool(&["-exportcert", "-rfc", "-file", authority.to_str().unwrap()]);
    let ports: Vec<u16> = (0..3)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .map(|held| held.local_addr().unwrap().port())
        .collect();
    let [plain, controller, secure] = ports[..] else { unreachable!() };
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let node = Node::new(&format!(
        "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SECURE://127.0.0.1:{secure}
controller.quorum.voters=1@127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
ssl.keystore.location={}
ssl.keystore.password=store-secret
sasl.enabled.mechanisms=PLAIN
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config={login} required user_wellspring=\"{PASSWORD}\";
",
        store.display()
    ));
    (node, format!("127.0.0.1:{secure}"), authority.to_str().unwrap().into())
}

#[test]
fn tls_and_passwords_are_used_and_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, address, authority) = secured(&dir);
    let mut world = World::new(&dir, unique("secure"), VIEWS);
    world.brokers = address;
    let properties = [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", &authority),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "wellspring"),
        ("sasl.password", PASSWORD),
    ];
    world.properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    world.create_topics();
    let (lines, expected) = lines_and_outcome(33, 600);
    let service = world.serve("a");
    world.send_to("events", &lines);
    world.check(&expected);
    service.stop();

    // What is wrong is said; secrets are not.
    let wrong = "another-password-that-nobody-may-read";
    let said = |key: &str, value: &str| {
        let mut command = world.command(&["serve"], "b");
        command.arg("--set").arg(format!("kafka.properties.{key}={value}")).args(["--set", "log.level=debug"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{key}={value}");
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
    };
    for (text, what) in [
        (said("sasl.password", wrong), "kafka.properties.sasl"),
        (said("ssl.ca.location", "/nowhere.pem"), "ssl.ca.location"),
        (said("security.protocol", "plaintext"), "kafka.properties.security.protocol"),
    ] {
        assert!(text.contains(what), "{what} is not in {text}");
        assert!(!text.contains(PASSWORD) && !text.contains(wrong), "a secret is told: {text}");
    }
}
