//! How answers to candidates do: each model's probabilities beside the trivial ones, on the feedback that came after them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use super::Label;
use crate::evaluate::ranking::metrics::{auc, log_loss};
use crate::rank::Given;
use crate::rank::judge::Judged;

/// Figures are of so many labeled candidates, the newest.
pub const WINDOW: usize = 4096;
/// Points of a curve that are kept at most.
pub const POINTS_MAX: usize = 512;
/// Labeled candidates between two points, at first.
const STRIDE: u64 = 256;

/// How a model did on the newest labeled candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Labeled candidates that it had answered since the start.
    pub labeled: u64,
    /// Mean −log probability of the labels, nats: the model's and the trivial one's.
    pub log_loss: [f64; 2],
    /// Area under the ROC curve: the model's and the trivial one's; none where all labels are one.
    pub auc: [Option<f64>; 2],
}

type Ratio = Family<Label, Gauge<f64, AtomicU64>>;

/// What is known of answers; told per transaction, never per event.
#[derive(Default)]
pub struct Answers {
    told: Mutex<BTreeMap<&'static str, Told>>,
    requests: Counter,
    candidates: Counter,
    labeled: Family<Label, Counter>,
    /// Of the models, and of the observed rate beside each.
    log_loss: [Ratio; 2],
    auc: [Ratio; 2],
}

struct Told {
    window: VecDeque<Judged>,
    labeled: u64,
    points: Vec<Point>,
    stride: u64,
}

impl Default for Told {
    fn default() -> Self {
        Self { window: VecDeque::with_capacity(WINDOW), labeled: 0, points: Vec::new(), stride: STRIDE }
    }
}

impl Told {
    fn take(&mut self, judged: Judged) {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(judged);
        self.labeled += 1;
        if !self.labeled.is_multiple_of(self.stride) {
            return;
        }
        self.points.push(self.now());
        if self.points.len() == POINTS_MAX {
            // Every other one stays: those of twice the stride.
            self.stride *= 2;
            self.points.retain(|point| point.labeled.is_multiple_of(self.stride));
        }
    }

    fn now(&self) -> Point {
        let labels: Vec<bool> = self.window.iter().map(|judged| judged.label).collect();
        let of = |score: fn(&Judged) -> f32| -> Vec<f32> { self.window.iter().map(score).collect() };
        let scores = [of(|judged| judged.p), of(|judged| judged.rate)];
        Point {
            labeled: self.labeled,
            log_loss: scores.each_ref().map(|scores| log_loss(&labels, scores)),
            auc: scores.each_ref().map(|scores| auc(&labels, scores)),
        }
    }

    fn json(&self) -> Value {
        let now = self.now();
        let column = |of: fn(&Point) -> Option<f64>| -> Vec<Option<f64>> { self.points.iter().map(of).collect() };
        json!({
            "labeled": now.labeled,
            "log_loss": now.log_loss[0],
            "rate_log_loss": now.log_loss[1],
            "auc": now.auc[0],
            "rate_auc": now.auc[1],
            "points": {
                "labeled": self.points.iter().map(|point| point.labeled).collect::<Vec<_>>(),
                "log_loss": column(|point| Some(point.log_loss[0])),
                "rate_log_loss": column(|point| Some(point.log_loss[1])),
                "auc": column(|point| point.auc[0]),
                "rate_auc": column(|point| point.auc[1]),
            },
        })
    }
}

impl Answers {
    fn told(&self) -> MutexGuard<'_, BTreeMap<&'static str, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("requests_answered", "Requests answered", self.requests.clone());
        registry.register("candidates_answered", "Candidates of answered requests", self.candidates.clone());
        let help = "Candidates answered by a model whose label was told afterwards";
        registry.register("labeled_answers", help, self.labeled.clone());
        for (gauge, name) in self.log_loss.iter().zip(["answer_log_loss", "answer_rate_log_loss"]) {
            registry.register(name, "Log-loss of answers on the newest labeled candidates, nats", gauge.clone());
        }
        for (gauge, name) in self.auc.iter().zip(["answer_auc", "answer_rate_auc"]) {
            registry.register(name, "AUC of answers on the newest labeled candidates", gauge.clone());
        }
    }

    /// Takes an answer that is committed.
    pub(super) fn given(&self, given: &Given) {
        self.requests.inc();
        self.candidates.inc_by(given.candidates as u64);
    }

    /// Takes how a model's answers did on candidates that were labeled; the newest point, where there is a new one.
    pub fn record(&self, model: &'static str, judged: &[Judged]) -> Option<Point> {
        let label = [("model", model)];
        self.labeled.get_or_create(&label).inc_by(judged.len() as u64);
        let mut told = self.told();
        let told = told.entry(model).or_default();
        let before = told.labeled;
        judged.iter().for_each(|judged| told.take(*judged));
        let point = *told.points.last().filter(|point| point.labeled > before)?;
        for (gauge, log_loss) in self.log_loss.iter().zip(point.log_loss) {
            gauge.get_or_create(&label).set(log_loss);
        }
        for (gauge, auc) in self.auc.iter().zip(point.auc) {
            gauge.get_or_create(&label).set(auc.unwrap_or(f64::NAN));
        }
        Some(point)
    }

    /// All of it by model, as `GET /api/answers` gives it.
    pub fn json(&self) -> Value {
        let told = self.told();
        let models = told.iter().map(|(model, told)| ((*model).to_owned(), told.json()));
        json!({ "window": WINDOW, "models": models.collect::<Map<_, _>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model that knows, beside a rate that is always the same.
    fn judged(n: u64) -> Judged {
        let label = n.is_multiple_of(4);
        Judged { p: if label { 0.8 } else { 0.1 }, rate: 0.25, label }
    }

    #[test]
    fn figures_are_those_of_the_newest() {
        let answers = Answers::default();
        let wrong = |n: u64| Judged { p: 1.0 - judged(n).p, ..judged(n) };
        let first: Vec<Judged> = (0..255).map(wrong).collect();
        assert_eq!(answers.record("sdim", &first), None, "too few for a point");
        let point = answers.record("sdim", &[wrong(255)]).unwrap();
        assert_eq!((point.labeled, point.auc), (256, [Some(0.0), Some(0.5)]));
        let rest: Vec<Judged> = (0..WINDOW as u64).map(judged).collect();
        let point = answers.record("sdim", &rest).unwrap();
        assert_eq!((point.labeled, point.auc), (256 + WINDOW as u64, [Some(1.0), Some(0.5)]), "what was is gone");
        let nats = |taken: f64, left: f64| -(taken.ln() + 3.0 * left.ln()) / 4.0;
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(near(point.log_loss[0], nats(0.8, 0.9)) && near(point.log_loss[1], nats(0.25, 0.75)), "{point:?}");
        answers.record("muse", &[judged(0)]);
        let told = answers.json();
        assert_eq!((&told["models"]["muse"]["labeled"], &told["models"]["muse"]["auc"]), (&json!(1), &Value::Null));
        assert_eq!(told["models"]["sdim"]["points"]["labeled"].as_array().unwrap().len(), 17);
        assert_eq!((&told["models"]["sdim"]["auc"], &told["window"]), (&json!(1.0), &json!(WINDOW)));
    }

    #[test]
    fn a_curve_is_bounded() {
        let answers = Answers::default();
        let some: Vec<Judged> = (0..STRIDE).map(judged).collect();
        for _ in 0..3 * POINTS_MAX {
            answers.record("sdim", &some);
        }
        let told = answers.told();
        let Told { points, window, stride, .. } = &told["sdim"];
        assert!((POINTS_MAX / 2..POINTS_MAX).contains(&points.len()) && window.len() == WINDOW);
        assert!(points.windows(2).all(|pair| pair[1].labeled - pair[0].labeled == *stride), "{stride}");
    }
}
