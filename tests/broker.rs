//! A real Apache Kafka for the tests: the one at `WELLSPRING_TEST_BROKERS`, else one started on loopback for this process.
//!
//! The jars come from Maven once, into `WELLSPRING_CACHE` (default `$XDG_CACHE_HOME/wellspring`). The broker is the child of
//! a small shell that ends it, and removes its data, as soon as this process is gone, however it went.

/// Three brokers.
pub mod cluster;

use pipeline::log::kafka::KafkaBroker;
use pipeline::log::{Broker, TopicSpec};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

const VERSION: &str = "4.3.1";
const NEEDED: &str = "install Java 17 and Maven (Debian: apt-get install openjdk-17-jre-headless maven), or name a \
                      running broker in WELLSPRING_TEST_BROKERS";
const READY_MAX: Duration = Duration::from_secs(120);

/// Kept for the whole process.
static STARTED: OnceLock<Result<(String, Option<Node>), String>> = OnceLock::new();

/// The bootstrap servers; started at the first call.
///
/// # Panics
/// Where there is no broker and none can be started: a test without one has failed.
pub fn brokers() -> &'static str {
    let started = STARTED.get_or_init(|| match env::var("WELLSPRING_TEST_BROKERS") {
        Ok(brokers) => Ok((brokers, None)),
        Err(_) => Node::start("").map(|node| (node.address(), Some(node))),
    });
    match started {
        Ok((brokers, _)) => brokers,
        Err(why) => missing(why),
    }
}

fn missing(why: &str) -> ! {
    panic!("no Kafka to test with: {why}; {NEEDED}")
}

/// A broker of a test's own, which may be killed and started again.
pub struct Node {
    data: PathBuf,
    id: usize,
    /// Of the broker and of the controller.
    ports: [u16; 2],
    /// When its standard input closes, the broker ends.
    guard: Option<Child>,
}

impl Node {
    /// A broker with further settings.
    ///
    /// # Panics
    /// Where none can be started.
    pub fn new(settings: &str) -> Self {
        Self::start(settings).unwrap_or_else(|why| missing(&why))
    }

    fn start(settings: &str) -> Result<Self, String> {
        let ports = free_ports().map_err(|error| said("a free port", error))?;
        let mut node = Self::format(1, ports, settings)?;
        node.run()?;
        node.wait()?;
        Ok(node)
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Ends the broker without a word; what it has written stays.
    pub fn kill(&mut self) {
        fs::write(self.data.join("keep"), "").expect("the broker's data folder");
        self.end();
    }

    /// Starts it again.
    pub fn start_again(&mut self) {
        self.run_again();
        self.wait().unwrap_or_else(|why| missing(&why));
    }

    fn run_again(&mut self) {
        fs::remove_file(self.data.join("keep")).expect("it was killed");
        self.run().unwrap_or_else(|why| missing(&why));
    }

    /// A program that is among the broker's jars.
    pub fn tool(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(self.java(class).unwrap_or_else(|why| missing(&why)));
        command
    }

    fn end(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// The cluster, with librdkafka properties.
pub fn kafka(properties: &[(&str, &str)]) -> KafkaBroker {
    let properties: BTreeMap<String, String> =
        properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    KafkaBroker::new(brokers(), &properties)
}

/// A name that no other test and no other run has.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    format!("{name}-{}-{now}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Makes a topic of a unique name.
pub fn topic(name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let spec = TopicSpec { name: unique(name), partitions, settings };
    kafka(&[]).create(std::slice::from_ref(&spec)).unwrap();
    spec.name
}

fn cache() -> PathBuf {
    let own = env::var_os("WELLSPRING_CACHE").map(PathBuf::from);
    let home = || env::var_os("HOME").map_or_else(env::temp_dir, |home| PathBuf::from(home).join(".cache"));
    own.unwrap_or_else(|| env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("wellspring"))
}

fn said(what: &str, error: io::Error) -> String {
    format!("{what}: {error}")
}

/// Runs a program to its end.
fn run(command: &mut Command) -> Result<(), String> {
    let name = format!("{:?}", command.get_program());
    let output = command.stdin(Stdio::null()).output().map_err(|error| said(&name, error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let tail: Vec<&str> = text.lines().rev().take(15).collect();
    Err(format!("{name} ended with {}:\n{}", output.status, tail.into_iter().rev().collect::<Vec<_>>().join("\n")))
}

/// The folder of the broker's jars.
fn jars() -> Result<PathBuf, String> {
    let folder = cache().join(format!("kafka-{VERSION}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(cache()).map_err(|error| said("the cache folder", error))?;
    // Another process may do the same: whoever is first to rename wins.
    let half = cache().join(unique(".kafka"));
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/pom.xml");
    run(Command::new("mvn")
        .args(["-B", "-q", "-f"])
        .arg(pom)
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", half.display())))?;
    if fs::rename(&half, &folder).is_err() {
        fs::remove_dir_all(&half).map_err(|error| said("the cache folder", error))?;
    }
    Ok(folder)
}

fn free_ports() -> io::Result<[u16; 2]> {
    let held = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([held[0].local_addr()?.port(), held[1].local_addr()?.port()])
}

/// One node that is broker and controller. What differs from Kafka's defaults for speed: transactions that ran out of time
/// are aborted within 1 s (10 s), a group's first division does not wait (3 s), sessions may be as short as 1 s (6 s), those
/// of the newer group protocol are 4 s (45 s), and the internal topics have 4 partitions (50).
fn properties(data: &Path, id: usize, [broker, controller]: [u16; 2]) -> String {
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={id}@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.session.timeout.ms=4000
group.consumer.heartbeat.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
",
        data.join("data").display()
    )
}

const LOGGING: &str = "rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c{1})%n
";

impl Node {
    fn java(&self, class: &str) -> Result<Vec<String>, String> {
        // Quick to start, and small.
        let flags = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"];
        let mut words: Vec<String> = flags.map(String::from).to_vec();
        words.push(format!("{}/*", jars()?.display()));
        words.push(format!("-Dlog4j2.configurationFile={}", self.data.join("log4j2.properties").display()));
        words.push(class.into());
        Ok(words)
    }

    /// A node that does not run yet.
    fn format(id: usize, ports: [u16; 2], settings: &str) -> Result<Self, String> {
        let data = env::temp_dir().join(unique("wellspring-kafka"));
        fs::create_dir_all(&data).map_err(|error| said("the broker's data folder", error))?;
        let node = Self { data, id, ports, guard: None };
        let file = |name: &str, text: &str| {
            fs::write(node.data.join(name), text).map_err(|error| said("the broker's data folder", error))
        };
        // Of a setting that is there twice the last counts.
        file("server.properties", &(properties(&node.data, id, ports) + settings))?;
        file("log4j2.properties", LOGGING)?;
        let cluster = "d2VsbHNwcmluZy10ZXN0cw";
        run(Command::new("java")
            .args(node.java("kafka.tools.StorageTool")?)
            .args(["format", "-t", cluster, "-c"])
            .arg(node.data.join("server.properties")))?;
        Ok(node)
    }

    fn run(&mut self) -> Result<(), String> {
        let log = self.data.join("log");
        let _ = fs::remove_file(&log);
        let guard = Command::new("sh")
            .arg("-c")
            .arg(
                r#"data=$1; shift; java "$@" >"$data/log" 2>&1 </dev/null & pid=$!
                cat >/dev/null; kill -9 $pid; wait $pid; [ -e "$data/keep" ] || rm -rf "$data""#,
            )
            .args(["sh".as_ref(), self.data.as_os_str()])
            .args(self.java("kafka.Kafka")?)
            .arg(self.data.join("server.properties"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt from the keyboard must not reach it before its broker is ended.
            .process_group(0)
            .spawn()
            .map_err(|error| said("sh", error))?;
        self.guard = Some(guard);
        Ok(())
    }

    /// Until it serves.
    fn wait(&self) -> Result<(), String> {
        let log = self.data.join("log");
        let deadline = Instant::now() + READY_MAX;
        loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if text.contains("Kafka Server started") {
                return Ok(());
            }
            if Instant::now() >= deadline || text.contains("Exiting Kafka") {
                let tail: Vec<&str> = text.lines().rev().take(15).collect();
                return Err(format!(
                    "node {} did not start: {}",
                    self.id,
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                ));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
