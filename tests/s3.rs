//! Snapshots in a store that speaks S3: a server of its own, from the Python packages of the tests.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pipeline::log::embedded::EmbeddedSettings;
use pipeline::snapshot::bucket::Bucket;
use pipeline::snapshot::objects::Objects;

use crate::one::{One, log};
use crate::outside::python;

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tells this process where the server is, as the environment would: the bucket reads it there.
fn environment() -> &'static str {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    ENDPOINT.get_or_init(|| {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        format!("http://127.0.0.1:{port}")
    })
}

fn start() -> Server {
    let port = environment().rsplit(':').next().unwrap().to_string();
    let mut command = Command::new(python());
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port]);
    let server = Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let started = Instant::now();
    let code =
        format!("import urllib.request as u; u.urlopen(u.Request('{}/bucket', method='PUT')).read()", environment());
    while !Command::new(python()).args(["-c", &code]).stderr(Stdio::null()).status().unwrap().success() {
        assert!(started.elapsed() < Duration::from_secs(30), "no S3 server: is moto[server] installed?");
        std::thread::sleep(Duration::from_millis(200));
    }
    server
}

const VIEWS: &str = "CREATE VIEW ever AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();";

/// Run by the test below in a process of its own, whose environment names the server.
#[test]
#[ignore = "the other test of this file runs it"]
fn alone() {
    let bucket = Arc::new(Bucket::open("s3://bucket/some/folder").unwrap());
    assert_eq!(bucket.get("app/none").unwrap(), None);
    assert!(bucket.create("app/one", b"first".to_vec()).unwrap());
    assert!(!bucket.create("app/one", b"second".to_vec()).unwrap(), "never over another");
    assert_eq!(bucket.get("app/one").unwrap().unwrap(), b"first");
    assert_eq!(bucket.list("app").unwrap(), ["app/one"]);
    bucket.remove("app/one").unwrap();
    bucket.remove("app/one").unwrap();
    assert!(bucket.list("app").unwrap().is_empty());

    let (broker, topics) = log(VIEWS, 1, EmbeddedSettings { trims: false, ..EmbeddedSettings::default() });
    let begin = || One::start(&broker, &topics, VIEWS, Some(Arc::clone(&bucket) as _), |_| {}).unwrap();
    let mut one = begin();
    for n in 0..20 {
        one.feed(0, &format!(r#"{{"user_id":"ada","type":"a","time":{n}}}"#));
        one.settle().unwrap();
    }
    one.stop().unwrap();
    let partition = schemas::partition::partition_of(b"ada", 2);
    let names = bucket.list(&format!("app/{partition:05}")).unwrap();
    assert_eq!(names.iter().filter(|name| name.ends_with(".json")).count(), 3, "{names:?}");
    let mut one = begin();
    one.said();
    one.feed(0, r#"{"user_id":"ada","type":"a","time":99}"#);
    one.settle().unwrap();
    assert_eq!(one.said().last().unwrap().1["n"], 21);
}

#[test]
fn snapshots_live_in_a_bucket() {
    let _server = start();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "s3::alone", "--nocapture"])
        .env("AWS_ENDPOINT", environment())
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
