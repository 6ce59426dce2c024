//! The figures at one moment, read from the text that Prometheus gets: the page shows what `/metrics` says.

use std::collections::BTreeMap;

/// All figures of a process, by name and labels.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Line {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

impl Reading {
    /// Reads the OpenMetrics text of [`super::Metrics::text`]; lines that are no figures are passed over.
    pub fn parse(text: &str) -> Self {
        Self { lines: text.lines().filter(|line| !line.starts_with('#')).filter_map(parse_line).collect() }
    }

    /// The sum of all figures of a name whose value of `label` passes; none where there is no such figure.
    pub fn sum(&self, name: &str, label: &str, passes: impl Fn(&str) -> bool) -> Option<f64> {
        let lines = self.lines.iter().filter(|line| line.name == name && passes(line.label(label).unwrap_or_default()));
        lines.map(|line| line.value).reduce(|sum, value| sum + value)
    }

    /// The sum of all figures of a name; 0 where there is none.
    pub fn total(&self, name: &str) -> f64 {
        self.sum(name, "", |_| true).unwrap_or(0.0)
    }

    /// The figures of a name of one role; none where there is no such figure.
    pub fn of_role(&self, name: &str, role: &str) -> Option<f64> {
        self.sum(name, "role", |of| of == role)
    }

    /// The sums of a name by the values of a label.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.name == name) {
            *sums.entry(line.label(label).unwrap_or_default().to_owned()).or_insert(0.0) += line.value;
        }
        sums
    }

    /// A quantile of what the histogram `name` of a role has taken since `before`, by linear interpolation within its
    /// bucket; none where it has taken nothing. Above the last bucket's bound it is that bound.
    pub fn quantile_since(&self, before: &Self, name: &str, role: &str, quantile: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let counts = |reading: &Self| -> Vec<(f64, f64)> {
            let lines = reading.lines.iter().filter(|line| line.name == bucket && line.label("role") == Some(role));
            lines
                .map(|line| {
                    let bound = line.label("le").and_then(|le| le.trim_start_matches('+').parse().ok());
                    (bound.unwrap_or(f64::INFINITY), line.value)
                })
                .collect()
        };
        let earlier = counts(before);
        let taken = counts(self)
            .into_iter()
            .enumerate()
            .map(|(at, (bound, count))| (bound, count - earlier.get(at).map_or(0.0, |(_, count)| *count)));
        let taken: Vec<(f64, f64)> = taken.collect();
        let all = taken.last().map_or(0.0, |(_, count)| *count);
        if all <= 0.0 {
            return None;
        }
        let (rank, mut low, mut below) = (quantile * all, 0.0, 0.0);
        for (bound, count) in taken {
            if bound.is_infinite() {
                break;
            }
            if count >= rank {
                return Some(low + (bound - low) * (rank - below) / (count - below).max(1.0));
            }
            (low, below) = (bound, count);
        }
        Some(low)
    }
}

/// `name{label="value",…} 1.5`; no name or label here has a quote, a comma or a brace.
fn parse_line(line: &str) -> Option<Line> {
    let (what, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let (name, labels) = what.split_once('{').unwrap_or((what, ""));
    let labels = labels.trim_end_matches('}').split(',').filter_map(|pair| {
        let (label, value) = pair.split_once('=')?;
        Some((label.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some(Line { name: name.into(), labels: labels.collect(), value })
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn a_reading_is_what_was_counted() {
        let metrics = Metrics::new();
        let (router, engine) = (metrics.stage("router"), metrics.stage("engine"));
        router.polled(5);
        engine.polled(7);
        engine.dead_letter();
        metrics.lag("events", 0, 11);
        metrics.lag("events", 1, 4);
        metrics.lag("app.by-user", 0, 2);
        let reading = Reading::parse(&metrics.text());
        assert_eq!(reading.of_role("wellspring_records_in_total", "engine"), Some(7.0));
        assert_eq!(reading.total("wellspring_records_in_total"), 12.0);
        assert_eq!(reading.of_role("wellspring_records_in_total", "learner"), None);
        assert_eq!(reading.total("wellspring_dead_letters_total"), 1.0);
        let lag = reading.by("wellspring_lag", "topic");
        assert_eq!((lag["events"], lag["app.by-user"]), (15.0, 2.0));
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let metrics = Metrics::new();
        let stage = metrics.stage("engine");
        let reading = || Reading::parse(&metrics.text());
        let name = "wellspring_batch_rows";
        (0..100).for_each(|_| stage.rows(4000));
        let before = reading();
        assert_eq!(before.quantile_since(&before, name, "engine", 0.5), None);
        (0..98).for_each(|_| stage.rows(3));
        (0..2).for_each(|_| stage.rows(60));
        let after = reading();
        // Buckets end at 1, 4, 16, 64.
        let median = after.quantile_since(&before, name, "engine", 0.5).unwrap();
        let last = after.quantile_since(&before, name, "engine", 0.99).unwrap();
        assert!((1.0..=4.0).contains(&median) && (16.0..=64.0).contains(&last), "{median} {last}");
        assert!(after.quantile_since(&Reading::default(), name, "engine", 0.9).unwrap() > 1024.0);
        stage.rows(1 << 30);
        let bound = reading().quantile_since(&after, name, "engine", 0.5).unwrap();
        assert_eq!(bound, 4_f64.powi(10), "the last bound, where it is beyond");
    }
}
