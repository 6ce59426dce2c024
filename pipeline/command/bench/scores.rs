//! `bench scores`: what scoring 1,000 candidates of one user costs, part by part, on one thread.
//!
//! Times are CPU times of the thread, so that neighbors on the machine do not count; memory's speed they do share, and the
//! copy's line says what it is.

use serde::Serialize;
use shaders::bench::{Amount, Case, cases, on_one_thread};

use super::Bench;
use crate::command::Failure;
use crate::metrics::thread_cpu;

/// Candidates of the request.
const CANDIDATES: usize = 1000;
/// CPU time given to a case, in s.
const TIME_S: f64 = 0.6;
/// Runs of a case, at least and at most.
const RUNS: std::ops::Range<usize> = 7..200;

/// The figures of one case.
#[derive(Debug, Serialize)]
struct Figures {
    name: &'static str,
    /// Events of the user's history.
    length: usize,
    candidates: usize,
    /// The median of all runs.
    ms: f64,
    least_ms: f64,
    runs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_second: Option<f64>,
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// Where the machine has not so much memory, or no thread.
    pub(super) fn scores(&self) -> Result<(), Failure> {
        let all = on_one_thread(|| self.time_all()).map_err(Failure::failed)??;
        if self.json {
            println!("{}", serde_json::json!({ "candidates": CANDIDATES, "threads": 1, "rows": all }));
        }
        Ok(())
    }

    fn time_all(&self) -> Result<Vec<Figures>, Failure> {
        let mut all = Vec::new();
        for case in cases(CANDIDATES) {
            let figures = time(case.map_err(Failure::failed)?).map_err(Failure::failed)?;
            if !self.json {
                print(&figures);
            }
            all.push(figures);
        }
        Ok(all)
    }
}

fn time(mut case: Case) -> Result<Figures, shaders::Error> {
    (case.run)()?;
    let (mut times, started) = (Vec::new(), thread_cpu());
    while times.len() < RUNS.end && (times.len() < RUNS.start || (thread_cpu() - started).as_secs_f64() < TIME_S) {
        let before = thread_cpu();
        (case.run)()?;
        times.push((thread_cpu() - before).as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let (ms, runs) = (times[times.len() / 2], times.len());
    let (bytes, events) = match case.amount {
        Some(Amount::Bytes(bytes)) => (Some(bytes), None),
        Some(Amount::Events(events)) => (None, Some(events)),
        None => (None, None),
    };
    let per_second = |amount: usize| amount as f64 / ms * 1e3;
    Ok(Figures {
        name: case.name,
        length: case.length,
        candidates: case.candidates,
        ms,
        least_ms: times[0],
        runs,
        bytes_per_second: bytes.map(per_second),
        events_per_second: events.map(per_second),
    })
}

fn print(figures: &Figures) {
    let Figures { name, length, candidates, ms, least_ms, .. } = figures;
    let rate = match (figures.bytes_per_second, figures.events_per_second) {
        (Some(bytes), _) => format!(", {:.2} GB/s of history", bytes / 1e9),
        (_, Some(events)) => format!(", {events:.0} events/s"),
        _ => String::new(),
    };
    println!("{name:<26} {length:>8} events {candidates:>5} candidates {ms:>9.3} ms (least {least_ms:.3}){rate}");
}
