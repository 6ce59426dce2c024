//! The learning curve: how well forecasts have done since the start, in a bounded number of points.

use std::collections::VecDeque;

/// The declared column of events (Float64) that carries the truth's nats, where a stream's process is known: −log density
/// of the gap since the user's previous event, in seconds, and of the type, given what was known when the gap began.
pub const TRUTH_COLUMN: &str = "truth_nats";
/// Points that are kept at most.
pub const POINTS_MAX: usize = 512;
/// Events of a point, at first.
const POINT_EVENTS: u64 = 64;
/// Marks that are kept at most.
const MARKS_MAX: usize = 64;

/// How forecasts did on some events: each is scored under the forecast that was in force when the user's previous event
/// had just been folded (issue time). Nats are −log density of gap and type together, the gap in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scored {
    /// How many events.
    pub events: u64,
    /// Sum over them, of the model.
    pub model_nats: f64,
    /// Sum over them, of the best trivial baseline.
    pub baseline_nats: f64,
    /// How many of them have a known truth, and the sum over these.
    pub truth: (u64, f64),
    /// Time of the newest of them, in ms since 1970; of events, not of a clock.
    pub time_ms: i64,
}

impl Scored {
    /// One event.
    pub fn one(model_nats: f64, baseline_nats: f64, truth_nats: Option<f64>, time_ms: i64) -> Self {
        let truth = truth_nats.map_or((0, 0.0), |nats| (1, nats));
        Self { events: 1, model_nats, baseline_nats, truth, time_ms }
    }

    /// These and others.
    pub fn add(&mut self, other: &Self) {
        self.time_ms = if self.events == 0 { other.time_ms } else { self.time_ms.max(other.time_ms) };
        self.events += other.events;
        self.model_nats += other.model_nats;
        self.baseline_nats += other.baseline_nats;
        self.truth.0 += other.truth.0;
        self.truth.1 += other.truth.1;
    }

    /// Means over the events: model, baseline, and truth where it is known; none where there are no events.
    pub fn means(&self) -> Option<(f64, f64, Option<f64>)> {
        let events = self.events as f64;
        let truth = (self.truth.0 > 0).then(|| self.truth.1 / self.truth.0 as f64);
        (self.events > 0).then(|| (self.model_nats / events, self.baseline_nats / events, truth))
    }
}

/// Averages of equally many events each; when there are too many points, two become one.
#[derive(Clone, Debug)]
pub struct Curve {
    points: Vec<Scored>,
    open: Scored,
    /// Events of a point.
    stride: u64,
    total: Scored,
    marks: VecDeque<(i64, String)>,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            open: Scored::default(),
            stride: POINT_EVENTS,
            total: Scored::default(),
            marks: VecDeque::new(),
        }
    }
}

impl Curve {
    /// Adds events; those with a score that is no number are left out, whatever came of them.
    pub fn add(&mut self, scored: &Scored) {
        let sums = scored.model_nats + scored.baseline_nats + scored.truth.1;
        if scored.events == 0 || !sums.is_finite() {
            return;
        }
        self.total.add(scored);
        self.open.add(scored);
        if self.open.events < self.stride {
            return;
        }
        self.points.push(std::mem::take(&mut self.open));
        if self.points.len() == POINTS_MAX {
            self.points = self.points.chunks(2).map(joined).collect();
            self.stride *= 2;
        }
    }

    /// Notes what begins with the events at `time_ms`.
    pub fn mark(&mut self, time_ms: i64, label: String) {
        if self.marks.len() == MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((time_ms, label));
    }

    /// The points in order, the one that is not full included; fewer than [`POINTS_MAX`].
    pub fn points(&self) -> impl Iterator<Item = &Scored> {
        self.points.iter().chain(Some(&self.open).filter(|open| open.events > 0))
    }

    /// All events.
    pub fn total(&self) -> &Scored {
        &self.total
    }

    /// What began when.
    pub fn marks(&self) -> impl Iterator<Item = &(i64, String)> {
        self.marks.iter()
    }
}

fn joined(points: &[Scored]) -> Scored {
    let mut sum = Scored::default();
    points.iter().for_each(|point| sum.add(point));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_bounded_and_lose_no_event() {
        let mut curve = Curve::default();
        let events = 1_000_000;
        for event in 0..events {
            let nats = event as f64;
            curve.add(&Scored::one(nats, nats + 1.0, (event % 2 == 0).then_some(nats - 1.0), event));
        }
        let points: Vec<_> = curve.points().copied().collect();
        assert!((POINTS_MAX / 2..POINTS_MAX).contains(&points.len()), "{}", points.len());
        assert_eq!(points.iter().map(|point| point.events).sum::<u64>(), events as u64);
        assert_eq!(joined(&points), *curve.total());
        let (model, baseline, truth) = curve.total().means().unwrap();
        assert_eq!(model, (events - 1) as f64 / 2.0);
        assert!((baseline - model - 1.0).abs() < 1e-6 && (truth.unwrap() - (model - 1.5)).abs() < 1e-6);
        assert!(
            points.windows(2).all(
                |pair| pair[0].time_ms < pair[1].time_ms && pair[0].means().unwrap().0 < pair[1].means().unwrap().0
            )
        );
        let whole = &points[..points.len() - 1];
        assert!(whole.iter().all(|point| point.events == whole[0].events), "each stands for equally many");
    }

    #[test]
    fn what_is_no_number_does_not_spoil_the_rest() {
        let mut curve = Curve::default();
        curve.add(&Scored::one(f64::NAN, 1.0, None, 0));
        curve.add(&Scored::one(1.0, f64::INFINITY, None, 0));
        assert_eq!(curve.points().count(), 0);
        assert!(curve.total().means().is_none());
        curve.add(&Scored::one(-2.0, 1.0, None, 5));
        assert_eq!(curve.total().means(), Some((-2.0, 1.0, None)));
        assert_eq!(curve.total().time_ms, 5);
    }

    #[test]
    fn marks_are_bounded() {
        let mut curve = Curve::default();
        (0..100).for_each(|n| curve.mark(n, n.to_string()));
        assert_eq!(curve.marks().count(), MARKS_MAX);
        assert_eq!(curve.marks().last(), Some(&(99, "99".to_string())));
    }
}
