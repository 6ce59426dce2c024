//! Users whose times and types come from a known process that changes twice: what a forecaster has to follow, and how well
//! the best one could do.
//!
//! Every user is a Hawkes process ([`Process`]) that browses (regime A), then buys at a sale (B), then browses again (A).
//! Each event carries the −log density that the process had for it when the user's previous event was over, in
//! [`TRUTH_COLUMN`]. Items are chosen as everywhere in [`super::Synthetic`]; nobody sends money, for what one gets from
//! others is no part of his own process.

use std::fmt::Write;

use super::{Settings, Synthetic, World, mix};
use crate::evaluate::regimes::{Draws, Process, Regime, Stretch};
use crate::metrics::curve::TRUTH_COLUMN;

/// The kinds of events.
pub const KINDS: [&str; 4] = ["view", "click", "cart", "buy"];
/// The names of the regimes.
const NAMES: [&str; 2] = ["browsing", "sale"];
/// The unit of the rates below.
const UNIT_MS: f64 = 60_000.0;

/// Called with the time (ms since 1970) of the first event under a regime, and the regime's name.
pub type OnChange = Box<dyn FnMut(i64, &'static str) + Send>;

/// An endless stream of events, in order of time.
pub struct Regimes {
    items: Synthetic,
    draws: Draws,
    start_ms: i64,
    seed: u64,
    count: u64,
    regime: Option<usize>,
    on_change: OnChange,
}

impl Regimes {
    /// The world of `settings` (its seed, users, items, categories and start), whose regime changes after one and two
    /// thirds of `events` events.
    pub fn new(settings: Settings, events: u64, on_change: OnChange) -> Self {
        let draws = process(settings.seed, settings.users as u32, events as usize).draws();
        let Settings { start_ms, seed, .. } = settings;
        Self { items: Synthetic::new(settings), draws, start_ms, seed, count: 0, regime: None, on_change }
    }
}

impl World for Regimes {
    fn items(&self) -> usize {
        self.items.items()
    }

    fn item(&self, item: usize, dim: usize, line: &mut Vec<u8>) {
        self.items.item(item, dim, line);
    }

    fn event(&mut self, line: &mut Vec<u8>) {
        let drawn = self.draws.next().expect("every user always has a next event");
        let (user, time) = (drawn.event.user as usize, self.start_ms + drawn.event.time_ms);
        if self.regime.replace(drawn.regime) != Some(drawn.regime) {
            (self.on_change)(time, NAMES[drawn.regime]);
        }
        self.count += 1;
        let id = mix(self.seed ^ 0xe7e7, self.count);
        let mut text = format!("{{\"user_id\":\"u{user}\",\"time\":{time},\"event_id\":\"{id:016x}\"");
        let item = self.items.choice(user);
        self.items.describe(KINDS[drawn.event.kind as usize], item, &mut text);
        if let Some(nats) = drawn.truth_nats {
            // A density per second is one per unit over the seconds of a unit.
            let nats = nats + (UNIT_MS / 1000.0).ln();
            let _ = write!(text, ",\"{TRUTH_COLUMN}\":{nats}");
        }
        text.push_str(",\"channel\":\"app\"}");
        line.extend_from_slice(text.as_bytes());
    }
}

/// Browsing for a third of `events`, a sale for a third, then browsing for ever.
fn process(seed: u64, users: u32, events: usize) -> Process {
    // Excitation is by kind caused (view, click, cart, buy), then by cause.
    let browsing = Regime {
        base: vec![0.10, 0.05, 0.01, 0.01],
        excitation: vec![
            vec![3.0, 2.4, 1.2, 1.8],
            vec![1.5, 0.6, 0.0, 0.0],
            vec![0.0, 1.2, 0.6, 0.0],
            vec![0.0, 0.0, 2.4, 0.0],
        ],
        decay: 6.0,
    };
    let sale = Regime {
        base: vec![0.02, 0.05, 0.10, 0.15],
        excitation: vec![
            vec![0.2, 0.0, 0.0, 0.2],
            vec![0.4, 0.2, 0.0, 0.0],
            vec![0.8, 1.0, 0.2, 0.4],
            vec![0.0, 0.2, 1.4, 0.8],
        ],
        decay: 2.0,
    };
    let third = (events / 3).max(1);
    let stretches = [0, 1, 0].map(|regime| Stretch { events: third, regime }).to_vec();
    Process { seed, users, unit_ms: UNIT_MS, regimes: vec![browsing, sale], stretches }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::sync::{Arc, Mutex};

    use super::*;

    const EVENTS: u64 = 30_000;

    fn world(changes: &Arc<Mutex<Vec<(i64, &'static str)>>>) -> Regimes {
        let settings = Settings { seed: 5, users: 300, ..Settings::default() };
        let changes = Arc::clone(changes);
        Regimes::new(settings, EVENTS, Box::new(move |time, name| changes.lock().unwrap().push((time, name))))
    }

    fn events(world: &mut Regimes) -> Vec<serde_json::Value> {
        let mut line = Vec::new();
        (0..EVENTS)
            .map(|_| {
                line.clear();
                world.event(&mut line);
                serde_json::from_slice(&line).unwrap()
            })
            .collect()
    }

    #[test]
    fn events_carry_their_truth_and_the_regime_changes_twice() {
        let changes = Arc::default();
        let all = events(&mut world(&changes));
        assert_eq!(all, events(&mut world(&Arc::default())), "one seed, one stream");
        let time = |event: &serde_json::Value| event["time"].as_i64().unwrap();
        assert!(all.windows(2).all(|pair| time(&pair[0]) <= time(&pair[1])));
        assert_eq!(all.iter().map(|event| event["event_id"].to_string()).collect::<HashSet<_>>().len(), all.len());
        let third = EVENTS as usize / 3;
        let starts = [0, third, 2 * third].map(|at| time(&all[at]));
        assert_eq!(*changes.lock().unwrap(), [(starts[0], "browsing"), (starts[1], "sale"), (starts[2], "browsing")]);

        let mut seen = HashSet::new();
        let (mut nats, mut buys) = ([(); 3].map(|()| Vec::new()), [0; 3]);
        for (at, event) in all.iter().enumerate() {
            let first = seen.insert(event["user_id"].to_string());
            assert_eq!(event[TRUTH_COLUMN].is_null(), first, "the first of a user has no gap: {event}");
            nats[at / third].extend(event[TRUTH_COLUMN].as_f64());
            buys[at / third] += usize::from(event["type"] == "buy");
            assert!(event["item_id"].is_string() && event["other_id"].is_null());
        }
        assert!(buys[1] > 3 * buys[0] && buys[1] > 3 * buys[2], "{buys:?}");
        let means = nats.map(|nats: Vec<f64>| nats.iter().sum::<f64>() / nats.len() as f64);
        assert!((means[0] - means[2]).abs() < 0.15, "the same process before and after: {means:?}");
    }

    /// A forecaster that knows only how often and which kinds, and not what came before, does worse than the truth.
    #[test]
    fn the_truth_is_below_a_forecaster_without_history() {
        let all = events(&mut world(&Arc::default()));
        let browsing = &all[..EVENTS as usize / 3];
        let (mut last, mut gaps, mut truth) = (HashMap::new(), Vec::new(), Vec::new());
        let mut kinds: HashMap<String, f64> = HashMap::new();
        for event in browsing {
            let time_s = event["time"].as_f64().unwrap() / 1000.0;
            if let Some(before) = last.insert(event["user_id"].to_string(), time_s) {
                gaps.push(time_s - before);
                truth.push(event[TRUTH_COLUMN].as_f64().unwrap());
                *kinds.entry(event["type"].to_string()).or_default() += 1.0;
            }
        }
        let n = gaps.len() as f64;
        let rate = n / gaps.iter().sum::<f64>();
        let entropy: f64 = kinds.values().map(|count| -(count / n) * (count / n).ln()).sum();
        let constant = 1.0 - rate.ln() + entropy;
        let truth = truth.iter().sum::<f64>() / n;
        assert!(truth + 0.3 < constant, "truth {truth}, constant {constant}");
    }
}
