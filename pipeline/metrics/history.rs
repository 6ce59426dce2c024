//! The last ten minutes of the figures, a sample a second: a page that is opened late shows the past.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::reading::Reading;

/// Time between samples, in ms.
pub const INTERVAL_MS: u64 = 1000;
/// Samples that are kept at most.
pub const SAMPLES_MAX: usize = 600;
/// Quantiles are of what came in so many intervals: one alone holds too few transactions.
const QUANTILE_INTERVALS: usize = 10;

/// One sample: the columns of [`COLUMNS`] at a time, in ms since 1970.
struct Sample {
    time_ms: i64,
    figures: [Option<f64>; COLUMNS.len()],
}

/// What a figure is made of: the reading now, the one before with the seconds since, and one some intervals ago.
struct Since<'a> {
    now: &'a Reading,
    before: &'a Reading,
    seconds: f64,
    long_before: &'a Reading,
}

impl Since<'_> {
    fn rate(&self, of: impl Fn(&Reading) -> Option<f64>) -> Option<f64> {
        let now = of(self.now)?;
        Some((now - of(self.before).unwrap_or(0.0)).max(0.0) / self.seconds)
    }

    fn rate_of(&self, name: &str) -> Option<f64> {
        self.rate(|reading| Some(reading.total(name)))
    }

    fn latency_ms(&self, role: &str, quantile: f64) -> Option<f64> {
        self.quantile_ms("wellspring_event_to_commit_seconds", role, quantile)
    }

    fn answer_ms(&self, quantile: f64) -> Option<f64> {
        self.quantile_ms("wellspring_request_to_answer_seconds", "engine", quantile)
    }

    fn quantile_ms(&self, name: &str, role: &str, quantile: f64) -> Option<f64> {
        self.now.quantile_since(self.long_before, name, role, quantile).map(|seconds| seconds * 1000.0)
    }

    fn lag(&self, is_by_user: bool) -> Option<f64> {
        self.now.sum("wellspring_lag", "topic", |topic| topic.ends_with(".by-user") == is_by_user)
    }

    fn records_out(reading: &Reading) -> Option<f64> {
        reading.sum("wellspring_records_out_total", "topic", |topic| topic != "by-user")
    }
}

type Figure = fn(&Since<'_>) -> Option<f64>;

/// The names of the figures, units last, and how they are read.
const COLUMNS: [(&str, Figure); 20] = [
    ("router_records_in_per_s", |since| since.rate(|now| now.of_role("wellspring_records_in_total", "router"))),
    ("engine_rows_folded_per_s", |since| since.rate_of("wellspring_rows_folded_total")),
    ("records_out_per_s", |since| since.rate(Since::records_out)),
    ("input_lag_records", |since| since.lag(false)),
    ("by_user_lag_records", |since| since.lag(true)),
    ("router_event_to_commit_p50_ms", |since| since.latency_ms("router", 0.5)),
    ("router_event_to_commit_p99_ms", |since| since.latency_ms("router", 0.99)),
    ("engine_event_to_commit_p50_ms", |since| since.latency_ms("engine", 0.5)),
    ("engine_event_to_commit_p99_ms", |since| since.latency_ms("engine", 0.99)),
    ("dead_letters_per_s", |since| since.rate_of("wellspring_dead_letters_total")),
    ("late_rows_per_s", |since| since.rate_of("wellspring_late_total")),
    ("duplicates_per_s", |since| since.rate_of("wellspring_duplicates_total")),
    ("errors_per_s", |since| since.rate_of("wellspring_errors_total")),
    ("users", |since| Some(since.now.total("wellspring_users"))),
    ("users_in_memory", |since| Some(since.now.total("wellspring_users_resident"))),
    ("state_bytes", |since| Some(since.now.total("wellspring_state_bytes"))),
    ("requests_per_s", |since| since.rate_of("wellspring_requests_answered_total")),
    ("candidates_per_s", |since| since.rate_of("wellspring_candidates_answered_total")),
    ("request_to_answer_p50_ms", |since| since.answer_ms(0.5)),
    ("request_to_answer_p99_ms", |since| since.answer_ms(0.99)),
];

/// A bounded ring of samples.
#[derive(Default)]
pub struct History {
    samples: VecDeque<Sample>,
    /// The newest last.
    readings: VecDeque<(i64, Reading)>,
}

impl History {
    /// Takes the figures at `time_ms` (a clock that never goes back).
    pub fn take(&mut self, time_ms: i64, now: Reading) {
        if let (Some((before_ms, before)), Some((_, long_before))) = (self.readings.back(), self.readings.front()) {
            let seconds = ((time_ms - before_ms) as f64 / 1000.0).max(1e-3);
            let since = Since { now: &now, before, seconds, long_before };
            if self.samples.len() == SAMPLES_MAX {
                self.samples.pop_front();
            }
            self.samples.push_back(Sample { time_ms, figures: COLUMNS.map(|(_, figure)| figure(&since)) });
        }
        if self.readings.len() == QUANTILE_INTERVALS {
            self.readings.pop_front();
        }
        self.readings.push_back((time_ms, now));
    }

    /// The last reading.
    pub fn last(&self) -> Option<&Reading> {
        self.readings.back().map(|(_, reading)| reading)
    }

    /// The newest sample by name; empty before the second reading.
    pub fn now(&self) -> Map<String, Value> {
        let Some(sample) = self.samples.back() else { return Map::new() };
        COLUMNS.iter().zip(sample.figures).map(|((name, _), figure)| (name.to_string(), figure.into())).collect()
    }

    /// The samples after `since_ms`, by column, oldest first; null where there was nothing to say.
    pub fn columns(&self, since_ms: i64) -> Value {
        let from = self.samples.partition_point(|sample| sample.time_ms <= since_ms);
        let samples = || self.samples.range(from..);
        let mut columns = Map::new();
        columns.insert("interval_ms".into(), INTERVAL_MS.into());
        columns.insert("time_ms".into(), samples().map(|sample| sample.time_ms).collect::<Vec<_>>().into());
        for (at, (name, _)) in COLUMNS.iter().enumerate() {
            columns.insert((*name).into(), json!(samples().map(|sample| sample.figures[at]).collect::<Vec<_>>()));
        }
        columns.into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn the_ring_is_bounded_and_holds_rates() {
        let metrics = Metrics::new();
        let stage = metrics.stage("router");
        let mut history = History::default();
        assert!(history.now().is_empty() && history.last().is_none());
        let seconds = SAMPLES_MAX as i64 + 50;
        for second in 0..=seconds {
            stage.polled(20);
            history.take(second * 1000, Reading::parse(&metrics.text()));
        }
        let columns = history.columns(i64::MIN);
        let times: Vec<i64> = serde_json::from_value(columns["time_ms"].clone()).unwrap();
        assert_eq!((times.len(), times[0], times[SAMPLES_MAX - 1]), (SAMPLES_MAX, 51_000, seconds * 1000));
        let rates: Vec<f64> = serde_json::from_value(columns["router_records_in_per_s"].clone()).unwrap();
        assert!(rates.len() == SAMPLES_MAX && rates.iter().all(|rate| *rate == 20.0), "{rates:?}");
        assert_eq!(history.columns((seconds - 2) * 1000)["time_ms"], json!([(seconds - 1) * 1000, seconds * 1000]));
        assert_eq!(history.now()["router_records_in_per_s"], json!(20.0));
        assert_eq!(history.now()["engine_event_to_commit_p99_ms"], Value::Null, "nothing was committed");
        assert_eq!(history.readings.len(), QUANTILE_INTERVALS);
    }
}
