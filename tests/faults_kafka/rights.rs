//! A cluster that lets nobody do what was not granted: what is missing is named, with the resource and the operation.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Stdio;

use crate::broker::{Node, unique};
use crate::path::VIEWS;
use crate::service_kafka::{World, lines_and_outcome};

/// Each of them may do everything but one thing, the first all of it.
const USERS: [&str; 6] = ["complete", "no_input", "no_output", "no_log", "no_id", "no_group"];

/// A listener for users with passwords beside the plain one, whose clients may do everything.
fn guarded() -> (Node, [String; 2]) {
    let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = held.iter().map(|held| held.local_addr().unwrap().port()).collect();
    drop(held);
    let [plain, controller, guarded] = ports[..] else { unreachable!() };
    let users: String = USERS.iter().map(|user| format!(" user_{user}=\"secret\"")).collect();
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let node = Node::new(&format!(
        "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},GUARDED://127.0.0.1:{guarded}
controller.quorum.voters=1@127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},GUARDED://127.0.0.1:{guarded}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.guarded.sasl.enabled.mechanisms=PLAIN
listener.name.guarded.plain.sasl.jaas.config={login} required{users};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"
    ));
    (node, [plain, guarded].map(|port| format!("127.0.0.1:{port}")))
}

/// `kafka-acls.sh`.
fn acls(node: &Node, brokers: &str, arguments: &[&str]) {
    let mut tool = node.tool("org.apache.kafka.tools.AclCommand");
    tool.args(["--bootstrap-server", brokers, "--add"]).args(arguments);
    assert!(tool.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success(), "{arguments:?}");
}

#[test]
fn what_one_is_not_allowed_is_named() {
    let (node, [plain, guarded]) = guarded();
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("rights"), VIEWS);
    world.brokers = plain.clone();
    world.create_topics();
    let app = world.app.clone();
    let principals: Vec<[String; 2]> =
        USERS.iter().map(|user| ["--allow-principal".into(), format!("User:{user}")]).collect();
    let principals: Vec<&str> = principals.as_flattened().iter().map(String::as_str).collect();
    let all = ["--topic", &app, "--group", &app, "--transactional-id", &app, "--resource-pattern-type", "prefixed"];
    let operations = ["--operation", "Read", "--operation", "Write", "--operation", "Describe"];
    // Exactly what the README asks for: in one go, then again what each lacks.
    acls(&node, &plain, &[&all[..2], &all[6..], &operations, &["--operation", "Delete"], &principals].concat());
    acls(&node, &plain, &[&all[2..4], &all[6..], &operations[..2], &principals].concat());
    acls(&node, &plain, &[&all[4..], &operations[2..], &principals].concat());
    let (events, ever, by_user) = (world.topic("events"), world.topic("features.ever"), world.topic("by-user"));
    let (router, id) = (format!("{app}.router"), format!("{app}.engine.no_id.1"));
    let denials = [
        ("no_input", "--topic", &events, "Read"),
        ("no_output", "--topic", &ever, "Write"),
        ("no_log", "--topic", &by_user, "Describe"),
        ("no_id", "--transactional-id", &id, "Write"),
        ("no_group", "--group", &router, "Read"),
    ];
    for (user, kind, name, operation) in denials {
        acls(&node, &plain, &["--deny-principal", &format!("User:{user}"), kind, name, "--operation", operation]);
    }

    let (lines, expected) = lines_and_outcome(41, 600);
    world.send_to("events", &lines);
    let login = |user: &str| {
        let pairs = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN"), ("sasl.password", "secret")];
        let pairs = pairs.into_iter().chain([("sasl.username", user)]);
        pairs.map(|(key, value)| (key.into(), value.into())).collect::<BTreeMap<String, String>>()
    };
    world.brokers = guarded;
    for (user, _, name, operation) in denials {
        world.properties = login(user);
        let last = world.serve(user).fails();
        println!("{user}: {last}");
        assert!(last.contains(name.as_str()) && last.contains(operation), "{user}: {last}");
        assert!(last.contains("not allowed") && last.contains("grant"), "{user}: {last}");
    }
    world.properties = login("complete");
    let mut service = world.serve("complete");
    service.wait_for("state begins");
    world.check(&expected);

    // A right that is taken away from the running service.
    acls(&node, &plain, &["--deny-principal", "User:complete", "--topic", &events, "--operation", "Read"]);
    let last = service.fails();
    println!("taken away: {last}");
    assert!(last.contains(&events) && last.contains("Read") && last.contains("grant"), "{last}");
}
