//! What the page shows of learning: the curve, the version in force, how the prompt pool is used.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::curve::{Curve, Scored};

/// Prompts of a pool that are shown.
const PROMPTS_MAX: usize = 1024;

/// What is known of learning; told per transaction or per version, never per event.
#[derive(Default)]
pub struct Learning(Mutex<Told>);

#[derive(Default)]
struct Told {
    /// Why there are no forecasts.
    silent: Option<String>,
    curve: Curve,
    version: Option<u64>,
    /// How often each prompt was chosen, and the version that it was counted under.
    pool: Option<(Vec<u64>, u64)>,
    baseline: Option<String>,
}

impl Learning {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says why there are no forecasts, in words for whoever looks at the page.
    pub fn silent(&self, why: impl Into<String>) {
        self.told().silent = Some(why.into());
    }

    /// Takes how forecasts did on events; `baseline` is the name of the best trivial one.
    pub fn record(&self, scored: &Scored, baseline: &str) {
        let mut told = self.told();
        told.curve.add(scored);
        if told.baseline.as_deref() != Some(baseline) {
            told.baseline = Some(baseline.into());
        }
    }

    /// Notes what begins with the events at `time_ms` (of events): a regime, where the stream's truth is known.
    pub fn mark(&self, time_ms: i64, label: impl Into<String>) {
        self.told().curve.mark(time_ms, label.into());
    }

    /// The version that forecasts are made with from now on.
    pub fn adopted(&self, version: u64) {
        self.told().version = Some(version);
    }

    /// How often each prompt was chosen so far, under `version`.
    pub fn pool_usage(&self, chosen: &[u64], version: u64) {
        self.told().pool = Some((chosen[..chosen.len().min(PROMPTS_MAX)].to_vec(), version));
    }

    /// All of it, as `GET /api/learning` gives it.
    pub fn json(&self) -> Value {
        let told = self.told();
        let points: Vec<(&Scored, _)> =
            told.curve.points().filter_map(|point| point.means().map(|means| (point, means))).collect();
        let mut events = 0;
        let upto: Vec<u64> = points
            .iter()
            .map(|(point, _)| {
                events += point.events;
                events
            })
            .collect();
        let means = |of: fn((f64, f64, Option<f64>)) -> Option<f64>| -> Vec<Option<f64>> {
            points.iter().map(|(_, means)| of(*means)).collect()
        };
        let reason = match (&told.silent, events) {
            (Some(why), 0) => Some(format!("no forecasts yet: {why}")),
            (None, 0) => {
                Some("no forecasts yet: the first network is fitted after prompt_tpp.warm_up_events events".into())
            }
            _ => None,
        };
        let marks = told.curve.marks().map(|(time_ms, label)| json!({"time_ms": time_ms, "label": label}));
        json!({
            "reason": reason,
            "version": told.version,
            "scored_events": events,
            "baseline": told.baseline,
            "points": {
                "scored_events": upto,
                "time_ms": points.iter().map(|(point, _)| point.time_ms).collect::<Vec<_>>(),
                "model_nats": means(|(model, _, _)| Some(model)),
                "baseline_nats": means(|(_, baseline, _)| Some(baseline)),
                "truth_nats": means(|(_, _, truth)| truth),
            },
            "marks": marks.collect::<Vec<_>>(),
            "pool": told.pool.as_ref().map(|(chosen, version)| json!({"version": version, "chosen": chosen})),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_told_why_it_is_empty_then_what_there_is() {
        let learning = Learning::default();
        learning.silent("prompt_tpp.enabled=false");
        assert_eq!(learning.json()["reason"], "no forecasts yet: prompt_tpp.enabled=false");
        learning.record(
            &Scored { events: 100, model_nats: 250.0, baseline_nats: 300.0, truth: (50, 100.0), time_ms: 7 },
            "blend",
        );
        learning.record(&Scored::one(4.0, 5.0, None, 9), "blend");
        learning.mark(8, "regime B");
        learning.adopted(3);
        learning.pool_usage(&[5, 0, 2], 3);
        let told = learning.json();
        assert_eq!(told["reason"], Value::Null);
        assert_eq!(told["points"]["scored_events"], json!([100, 101]));
        assert_eq!(told["points"]["time_ms"], json!([7, 9]));
        assert_eq!(told["points"]["model_nats"], json!([2.5, 4.0]));
        assert_eq!(told["points"]["baseline_nats"], json!([3.0, 5.0]));
        assert_eq!(told["points"]["truth_nats"], json!([2.0, null]));
        assert_eq!((&told["version"], &told["baseline"]), (&json!(3), &json!("blend")));
        assert_eq!(told["pool"], json!({"version": 3, "chosen": [5, 0, 2]}));
        assert_eq!(told["marks"], json!([{"time_ms": 8, "label": "regime B"}]));
    }
}
