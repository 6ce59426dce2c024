//! What is printed: JSON for programs, tables for people.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::log::{Log, Part};
use super::metrics;
use super::untrained::Scored;

/// Least history of each group of activity.
const HISTORY: [usize; 5] = [0, 10, 50, 200, 1000];
/// Least behaviors with an item before the end of training, of each group of rarity.
const RARITY: [usize; 5] = [0, 1, 5, 20, 100];

/// How well models rank the test part of one log.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Candidates of all parts: training, validation, test.
    pub examples: [usize; 3],
    /// Share of clicks in the test part.
    pub click_rate: f64,
    /// Where the vectors of items come from.
    pub vectors: &'static str,
    /// Models by name, in the order added.
    #[serde(serialize_with = "as_map")]
    pub models: Vec<(String, Row)>,
    /// The test part by length of the user's history.
    pub activity: Vec<Group>,
    /// The test part by behaviors with the item before the end of training.
    pub rarity: Vec<Group>,
    #[serde(skip)]
    test: Test,
}

/// One model's line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Area under the ROC curve.
    pub auc: f64,
    /// The same of each user alone, weighted by his examples; none where no user has both labels.
    pub gauc: Option<f64>,
    /// Mean −log probability, in nats.
    pub log_loss: f64,
    /// The 95 % interval of the AUC, by bootstrap over users.
    pub auc_ci95: [f64; 2],
    /// Scoring 1,000 candidates, in ms: counters, interest and model as the row has them.
    pub ms_per_1000: f64,
}

/// A group of the test part.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Least of the figure that it is a group of.
    pub least: usize,
    /// Its examples.
    pub examples: usize,
    /// AUC by model; none where all labels are one.
    #[serde(serialize_with = "as_map")]
    pub auc: Vec<(String, Option<f64>)>,
    #[serde(skip)]
    places: Vec<usize>,
}

/// The examples that are reported.
#[derive(Clone, Debug)]
struct Test {
    places: Vec<usize>,
    users: Vec<u32>,
    labels: Vec<bool>,
}

impl Report {
    /// No model yet.
    pub fn new(log: &Log, vectors: &'static str) -> Self {
        let places: Vec<usize> = log.of_part(Part::Test).flat_map(|request| request.candidates.clone()).collect();
        let users = log.of_part(Part::Test).flat_map(|request| request.candidates.clone().map(|_| request.user));
        let labels: Vec<bool> = places.iter().map(|place| log.labels[*place]).collect();
        let test = Test { users: users.collect(), labels, places };
        let size = |part| log.of_part(part).map(|request| request.candidates.len()).sum();
        let clicks = test.labels.iter().filter(|label| **label).count();
        let history = log.of_part(Part::Test).flat_map(|request| request.candidates.clone().map(|_| request.behaviors));
        let until = log.trained_until_ms();
        let mut behaviors = vec![0; log.items.names.len()];
        for behavior in log.behaviors.iter().filter(|behavior| behavior.time_ms < until) {
            behaviors[behavior.item as usize] += 1;
        }
        let rarity = test.places.iter().map(|place| behaviors[log.candidates[*place] as usize]);
        Self {
            examples: [Part::Train, Part::Validation, Part::Test].map(size),
            click_rate: clicks as f64 / test.labels.len().max(1) as f64,
            vectors,
            models: Vec::new(),
            activity: groups(&HISTORY, history),
            rarity: groups(&RARITY, rarity),
            test,
        }
    }

    /// Adds a model by its probabilities of all candidates of the log.
    pub fn add(&mut self, name: &str, scored: &Scored) {
        let Test { places, users, labels } = &self.test;
        let scores: Vec<f32> = places.iter().map(|place| scored.probabilities[*place]).collect();
        let row = Row {
            auc: metrics::auc(labels, &scores).expect("a test part has both labels"),
            gauc: metrics::gauc(users, labels, &scores),
            log_loss: metrics::log_loss(labels, &scores),
            auc_ci95: metrics::auc_interval(users, labels, &scores).unwrap_or([0.0, 1.0]),
            ms_per_1000: scored.seconds * 1e6,
        };
        self.models.push((name.to_owned(), row));
        for group in self.activity.iter_mut().chain(&mut self.rarity) {
            let labels: Vec<bool> = group.places.iter().map(|place| labels[*place]).collect();
            let scores: Vec<f32> = group.places.iter().map(|place| scores[*place]).collect();
            group.auc.push((name.to_owned(), metrics::auc(&labels, &scores)));
        }
    }
}

/// Groups of the examples by a figure of each; those without an example are left out.
fn groups(least: &[usize], figures: impl Iterator<Item = usize>) -> Vec<Group> {
    let group = |least: &usize| Group { least: *least, examples: 0, auc: Vec::new(), places: Vec::new() };
    let mut groups: Vec<Group> = least.iter().map(group).collect();
    for (place, figure) in figures.enumerate() {
        let group = &mut groups[least.partition_point(|least| *least <= figure) - 1];
        group.examples += 1;
        group.places.push(place);
    }
    groups.retain(|group| group.examples > 0);
    groups
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
        let [trained, chosen, tested] = self.examples;
        writeln!(
            f,
            "{tested} of {} examples tested, after {trained} of training and {chosen} of validation; {:.1} % clicked; \
             vectors of items: {}",
            trained + chosen + tested,
            100.0 * self.click_rate,
            self.vectors
        )?;
        let width = self.models.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("model".len());
        writeln!(
            f,
            "{:width$}  {:>6}  {:^15}  {:>6}  {:>8}  {:>11}",
            "model", "AUC", "95 % interval", "GAUC", "log-loss", "ms per 1000"
        )?;
        for (name, row) in &self.models {
            let Row { auc, gauc, log_loss, auc_ci95: [low, high], ms_per_1000 } = row;
            let interval = format!("{low:.3} … {high:.3}");
            let gauc = gauc.map_or("–".into(), |gauc| format!("{gauc:.3}"));
            writeln!(f, "{name:width$}  {auc:>6.3}  {interval:^15}  {gauc:>6}  {log_loss:>8.3}  {ms_per_1000:>11.2}")?;
        }
        self.groups(f, width, "AUC by length of the history", &self.activity)?;
        self.groups(f, width, "AUC by behaviors with the item in training", &self.rarity)
    }
}

impl Report {
    fn groups(&self, f: &mut fmt::Formatter<'_>, width: usize, title: &str, groups: &[Group]) -> fmt::Result {
        writeln!(f, "\n{title}")?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, cells: Vec<String>| {
            let cells: Vec<String> = cells.into_iter().map(|cell| format!("{cell:>8}")).collect();
            writeln!(f, "{name:width$} {}", cells.join(" "))
        };
        line(f, "from", groups.iter().map(|group| group.least.to_string()).collect())?;
        line(f, "examples", groups.iter().map(|group| group.examples.to_string()).collect())?;
        for (at, (name, _)) in self.models.iter().enumerate() {
            let auc = |group: &Group| group.auc[at].1.map_or("–".into(), |auc| format!("{auc:.3}"));
            line(f, name, groups.iter().map(auc).collect())?;
        }
        Ok(())
    }
}
