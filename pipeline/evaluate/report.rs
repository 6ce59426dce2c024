//! What `evaluate` prints: JSON for programs, tables for people.

use super::bootstrap::Interval;
use super::matrix::Matrix;
use super::{Score, Scores, Stream, bootstrap};
use crate::forecast::window::Seen;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::fmt;

/// How well models forecast one stream: the prequential protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Events of the stream.
    pub events: usize,
    /// Events that forecasts were scored by.
    pub scored: usize,
    /// The unit of densities, in ms.
    pub unit_ms: f64,
    /// Models by name, in the order added.
    #[serde(serialize_with = "as_map")]
    pub models: Vec<(String, Row)>,
    /// What the networks saw of users, as settings, where there were some: what did best on the validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    /// What one model's NLL is more than another's: names and paired difference. For people only.
    #[serde(skip)]
    pub differences: Vec<(String, String, Interval)>,
}

/// One model's line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Mean −log density of gap and type, in nats per event and unit.
    pub nll_nats: f64,
    /// Its 95 % interval, by bootstrap over users.
    pub nll_ci95: [f64; 2],
    /// The part of the gap. For people only, as the next.
    #[serde(skip)]
    pub gap_nats: f64,
    /// The part of the type.
    #[serde(skip)]
    pub kind_nats: f64,
    /// Share of events whose type was the most probable one.
    pub accuracy: f64,
    /// Mean |log10(gap + 1) − log10(median + 1)|, in ms.
    pub mae_log10: f64,
}

impl Report {
    /// No model yet.
    pub fn new(stream: &Stream) -> Self {
        Self {
            events: stream.len(),
            scored: 0,
            unit_ms: stream.unit_ms(),
            models: Vec::new(),
            settings: None,
            differences: Vec::new(),
        }
    }

    /// What the networks saw of users.
    pub fn settle(&mut self, seen: Seen) {
        self.settings = Some(json!({"prompt_tpp.window_events": seen.cut.events, "prompt_tpp.clock": seen.clock}));
    }

    /// Adds a model by its scores, which are of the same events as those of the models before.
    pub fn add(&mut self, name: &str, scores: &Scores) {
        assert!(
            self.models.is_empty() || self.scored == scores.each.len(),
            "`{name}` was scored on {} events, the models before it on {}",
            scores.each.len(),
            self.scored
        );
        self.scored = scores.each.len();
        let nats = bootstrap::mean(&scores.users, &scores.figures(Score::nats));
        let row = Row {
            nll_nats: nats.mean,
            nll_ci95: [nats.low, nats.high],
            gap_nats: scores.mean(|score| score.gap_nats),
            kind_nats: scores.mean(|score| score.kind_nats),
            accuracy: scores.mean(|score| f64::from(u8::from(score.hit))),
            mae_log10: scores.mean(|score| score.log10_error),
        };
        self.models.push((name.to_owned(), row));
    }

    /// Adds the paired difference of two models: below 0 where the first forecasts better.
    pub fn compare(&mut self, (a, a_scores): (&str, &Scores), (b, b_scores): (&str, &Scores)) {
        let difference = bootstrap::difference(a_scores, b_scores, Score::nats);
        self.differences.push((a.to_owned(), b.to_owned(), difference));
    }
}

fn as_map<R: Serialize, S: Serializer>(models: &[(String, R)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(models.len()))?;
    for (name, row) in models {
        map.serialize_entry(name, row)?;
    }
    map.end()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, scored, unit_ms, .. } = self;
        writeln!(f, "{scored} of {events} events scored; nats per event and per {unit_ms} ms, lower is better")?;
        let width = self.models.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("model".len());
        writeln!(
            f,
            "{:width$}  {:>7}  {:^16}  {:>7}  {:>7}  {:>8}  {:>9}",
            "model", "NLL", "95 % interval", "gap", "type", "accuracy", "MAE log10"
        )?;
        for (name, row) in &self.models {
            let Row { nll_nats, nll_ci95: [low, high], gap_nats, kind_nats, accuracy, mae_log10 } = row;
            let interval = format!("{low:.3} … {high:.3}");
            let percent = format!("{:.1} %", 100.0 * accuracy);
            write!(f, "{name:width$}  {nll_nats:>7.3}  {interval:^16}  {gap_nats:>7.3}  {kind_nats:>7.3}")?;
            writeln!(f, "  {percent:>8}  {mae_log10:>9.3}")?;
        }
        for (setting, value) in self.settings.iter().filter_map(Value::as_object).flatten() {
            writeln!(f, "the networks did best with {setting} = {value}")?;
        }
        for (a, b, Interval { mean, low, high }) in &self.differences {
            writeln!(f, "{a} − {b}: {mean:+.3} ({low:+.3} … {high:+.3})")?;
        }
        Ok(())
    }
}

/// What models keep of task after task of one stream: the matrix protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatrixReport {
    /// Events of the stream.
    pub events: usize,
    /// Tasks it is cut into.
    pub tasks: usize,
    /// The unit of densities, in ms.
    pub unit_ms: f64,
    /// Models by name, in the order added.
    #[serde(serialize_with = "as_map")]
    pub models: Vec<(String, MatrixRow)>,
}

/// One model's matrix and its figures, in nats per event and unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatrixRow {
    /// The matrix itself.
    #[serde(flatten)]
    pub matrix: Matrix,
    /// [`Matrix::average`].
    pub average: f64,
    /// [`Matrix::forgetting`].
    pub forgetting: Option<f64>,
    /// [`Matrix::forward_transfer`].
    pub forward_transfer: Option<f64>,
}

impl MatrixReport {
    /// No model yet.
    pub fn new(stream: &Stream, tasks: usize) -> Self {
        Self { events: stream.len(), tasks, unit_ms: stream.unit_ms(), models: Vec::new() }
    }

    /// Adds a model by its matrix.
    pub fn add(&mut self, name: &str, matrix: Matrix) {
        assert_eq!(matrix.after.len(), self.tasks, "`{name}` was taken through other tasks than the report is of");
        let (average, forgetting) = (matrix.average(), matrix.forgetting());
        let row = MatrixRow { average, forgetting, forward_transfer: matrix.forward_transfer(), matrix };
        self.models.push((name.to_owned(), row));
    }
}

impl fmt::Display for MatrixReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, tasks, unit_ms, .. } = self;
        writeln!(f, "{events} events in {tasks} tasks; nats per event and per {unit_ms} ms, lower is better")?;
        for (name, row) in &self.models {
            writeln!(f, "\n{name}: average {:.3}{}", row.average, row.changes())?;
            let line = |f: &mut fmt::Formatter<'_>, after: &str, tests: &[f64]| {
                let tests: Vec<String> = tests.iter().map(|nats| format!("{nats:>8.3}")).collect();
                writeln!(f, "{after:>12} {}", tests.join(" "))
            };
            line(f, "before any", &row.matrix.initial)?;
            for (task, tests) in row.matrix.after.iter().enumerate() {
                line(f, &format!("after {}", task + 1), tests)?;
            }
        }
        Ok(())
    }
}

impl MatrixRow {
    fn changes(&self) -> String {
        let (Some(forgetting), Some(transfer)) = (self.forgetting, self.forward_transfer) else { return String::new() };
        format!(", forgetting {forgetting:.3}, forward transfer {transfer:.3}")
    }
}
