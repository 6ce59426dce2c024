//! The service as a process of its own, watched from outside: its figures by HTTP, its cost by /proc.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::command::Failure;
use crate::config::Config;

/// How long it may take to do what waits.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(600);
const START_MAX: Duration = Duration::from_secs(60);

/// A running `serve`; killed when it is dropped.
pub struct Child {
    process: std::process::Child,
    port: u16,
}

/// What it has cost so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Rows folded.
    pub folded: u64,
    /// CPU time, user and system.
    pub cpu: Duration,
    /// The most memory it ever held.
    pub peak_bytes: u64,
}

impl Child {
    /// Starts this binary with the settings; its lines go to a file in `folder`.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start(config: &Config, folder: &Path) -> Result<Self, Failure> {
        let failed =
            |what: &str, error: std::io::Error| Failure::failed(format!("{what}: {error}; starting the service"));
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.map_err(|error| failed("a port", error))?.port();
        let own = std::env::current_exe().map_err(|error| failed("this program", error))?;
        let lines = std::fs::File::create(folder.join("service.log")).map_err(|error| failed("its log", error))?;
        let mut command = Command::new(own);
        command.arg("serve").stdout(Stdio::null()).stderr(lines);
        for (key, value) in settings(config, port) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let process = command.spawn().map_err(|error| failed("this program", error))?;
        let mut child = Self { process, port };
        let until = Instant::now() + START_MAX;
        while child.get("/readyz").is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")) {
            let ended = child.process.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > until {
                let said = std::fs::read_to_string(folder.join("service.log")).unwrap_or_default();
                return Err(Failure::failed(format!("the service does not come up: {}", said.trim())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(child)
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn figure(&self, name: &str) -> Result<u64, Failure> {
        let gone = || Failure::failed("the service has ended while it was measured");
        let answer = self.get("/metrics").ok_or_else(gone)?;
        let lines = answer.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(lines.sum::<f64>() as u64)
    }

    /// Snapshots written so far.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn snapshots(&self) -> Result<u64, Failure> {
        self.figure("wellspring_snapshots_total")
    }

    /// What it has cost so far.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn usage(&mut self) -> Result<Usage, Failure> {
        let folded = self.figure("wellspring_rows_folded_total")?;
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.process.id());
            std::fs::read_to_string(&path)
                .map_err(|error| Failure::failed(format!("{path}: {error}; this needs Linux")))
        };
        // proc(5): user and system time are fields 14 and 15, the second is the name in parentheses.
        let stat = read("stat")?;
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = read("status")?;
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        Ok(Usage {
            folded,
            cpu: Duration::from_millis(ticks * 1000 / ticks_per_second()),
            peak_bytes: peak.unwrap_or(0u64) << 10,
        })
    }

    /// Waits until so many rows are folded; gives what that has cost.
    ///
    /// # Errors
    /// Where they are not, or it is stopped.
    pub fn wait_for_rows(&mut self, rows: u64, stop: &AtomicBool) -> Result<Usage, Failure> {
        let until = Instant::now() + CATCH_UP_MAX;
        loop {
            let usage = self.usage()?;
            if usage.folded >= rows {
                return Ok(usage);
            }
            if Instant::now() > until || stop.load(Ordering::Relaxed) {
                return Err(Failure::failed(format!("stopped at {} of {rows} events", usage.folded)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it, as a machine that fails would.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

fn ticks_per_second() -> u64 {
    #[expect(unsafe_code, reason = "sysconf(3) has no safe form in the standard library")]
    // SAFETY: it takes no pointers.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

/// The settings that differ between the ways, and those that the bench stands on.
fn settings(config: &Config, port: u16) -> Vec<(String, String)> {
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    let tree = serde_json::to_value(config).expect("settings become JSON");
    let keys = [
        "/app",
        "/instance",
        "/partitions",
        "/route",
        "/topics/prefix",
        "/topics/partitions",
        "/views/file",
        "/views/emit",
        "/engine/commit_interval_ms",
        "/engine/workers",
        "/engine/batch_rows",
        "/device",
        "/history/max_events",
        "/candidates/enabled",
        "/candidates/batch_samples",
        "/candidates/version_steps",
        "/candidates/version_interval_ms",
        "/candidates/sample_percent",
        "/sdim/enabled",
        "/sdim/dim",
        "/muse/enabled",
        "/kafka/brokers",
        "/state/snapshots",
        "/state/snapshot_interval_ms",
        "/state/memory_limit",
    ];
    let named = keys.iter().filter_map(|key| {
        let value = tree.pointer(key).filter(|value| !value.is_null())?;
        Some((key[1..].replace('/', "."), text(value.clone())))
    });
    let properties =
        config.kafka.properties.iter().map(|(key, value)| (format!("kafka.properties.{key}"), value.clone()));
    let page = ("http.listen".to_owned(), format!("127.0.0.1:{port}"));
    named.chain(properties).chain([page]).collect()
}
